"""Starts the workers of a copied daemon as copies of that daemon, which holds the modules that they import.

Otherwise each would be an interpreter that imports them anew, several hundred times in a run of all tests: for a speech and a
look at a picture, a daemon and its workers take 2.7 s of processor time so, and 1.2 s as copies. A copy is like a worker that was
started by itself, but for its arguments as the kernel lists them.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import structlog

_MODULE = "stages.worker"
#: What most workers import before their first job is done. None of it starts a thread, which a copy would not have.
_IMPORTED = (
    _MODULE,
    "multiprocessing.popen_fork",
    "numpy",
    "soundfile",
    "cv2",
    "PIL.Image",
    "PIL.ImageFont",
    "scipy.ndimage",
    "stages.deliver",
    "stages.check",
    "stages.check.pictures",
    "stages.check.speech",
    "stages.tts.engines.voices",
    "stages.tts.synthesize",
    "stages.tts.phonemes.reading",
    "stages.face.detect",
    "stages.face.measure",
    "stages.lipsync.choose",
    "stages.lipsync.kept_motion",
    "stages.lipsync.motion",
    "stages.encode.captions.burn",
    "stages.encode.compose",
    "stages.encode.device.choose",
    "stages.encode.ffmpeg_command",
    "stages.encode.parallel",
    "stages.encode.video",
)
#: Descriptors of the files that the base voice reads as long as it is used.
_files_of_voice: set[int] = set()


def prepare() -> None:
    """Import what workers import, and let this process and its copies start them as copies; for the process that is copied."""
    for name in _IMPORTED:
        importlib.import_module(name)
    sys.modules["stages.face.landmarker"].import_mediapipe()
    before = _descriptors()
    _load_voice()
    _files_of_voice.update(_descriptors() - before)
    subprocess.Popen = _Popen  # type: ignore[misc]


def _load_voice() -> None:
    """Load the voice of the base install and its dictionaries, as the first speech of each worker would.

    Its network runs in the thread that calls it. onnxruntime starts one thread when it is imported, which only waits. Copies do
    not have it, and speak the same, also with networks that they load themselves; `run_to_the_end` says how they end.
    """
    from daemon.config import Settings
    from stages.tts.engines.base import Piece
    from stages.tts.engines.registry import ENGINES

    engine, settings = ENGINES["hibari"], Settings()
    (voice,) = engine.voices(settings)
    for _ in engine.load(voice, settings).say(Piece(("Hello.",), voice.languages[0], 1.0, (0,))):
        pass


class _Popen(subprocess.Popen[Any]):
    """As `subprocess.Popen`, but for workers."""

    def _execute_child(self, args: Any, *rest: Any) -> None:  # as the library calls it
        command = [args] if isinstance(args, (str, bytes, Path)) else list(args)
        if command[:3] != [sys.executable, "-m", _MODULE]:
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        folder, environment = rest[4], rest[5]
        pipes = rest[9:15]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # what is left in them would be written twice
        self.pid = os.fork()
        if not self.pid:
            _become([str(word) for word in command[3:]], folder, environment, (pipes[0], pipes[3], pipes[5]))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def _become(
    arguments: Sequence[str], folder: str, environment: dict[str, str] | None, streams: tuple[int, int, int]
) -> NoReturn:
    """Become a worker in this copy of a daemon, and end. The daemon's own functions are never returned to."""
    gc.freeze()  # the daemon's objects stay: to end them would close descriptors that are others by then

    def work() -> None:
        os.setsid()
        _take_streams(streams)
        os.chdir(folder)
        if environment is not None:
            os.environ.clear()
            os.environ.update(environment)
        _forget_the_daemon()
        sys.argv = [_MODULE, *arguments]
        sys.orig_argv = [sys.executable, "-m", *sys.argv]
        _open_seam()
        sys.modules[_MODULE].main()

    run_to_the_end(work)


def run_to_the_end(work: Callable[[], object]) -> NoReturn:
    """Run what a copy is for, and end it as Python does, but for its libraries: onnxruntime would abort without its thread."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _open_seam() -> None:
    """Run the `sitecustomize.py` of a test that reaches into workers (`worker_seam.py`), as a new interpreter does first."""
    if "TEST_GATES" in os.environ:
        path = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0], "sitecustomize.py")
        exec(compile(path.read_text(), path, "exec"), {"__name__": path.stem})


def _take_streams(streams: tuple[int, int, int]) -> None:
    kept = [os.dup(one) for one in streams]  # above those that they become
    for number, one in enumerate(kept):
        os.dup2(one, number)
    for one in _descriptors() - _files_of_voice - {0, 1, 2}:
        os.close(one)


def _descriptors() -> set[int]:
    """Return the open descriptors, without that by which they are listed: the next file that is opened has its number."""
    return {number for number in map(int, os.listdir("/proc/self/fd")) if os.path.lexists(f"/proc/self/fd/{number}")}


def _forget_the_daemon() -> None:
    faulthandler.disable()
    for one in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        one.atexit = False  # such as to remove a folder that is only temporary, which the daemon or command still uses
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    structlog.reset_defaults()
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
