"""Finds, starts and ends ffmpeg; no other module does."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, AvatarError, MachineError, UnknownError
from daemon.system.process import start_program, widen_pipe
from stages.media.shared_pages import give_pages

#: Names another ffmpeg than the packaged one: a path, or a command on PATH.
FFMPEG_ENV = "AVATAR_FFMPEG"
#: Last lines of ffmpeg's stderr that are kept, for error messages and for what its filters print at the end.
_KEPT_LINES = 24
#: What ffmpeg writes in place of a message that it wrote before, and what says nothing without that message.
_REPEATED = re.compile(r" *Last message repeated \d+ times$")


def ffmpeg_path(configured: str | None = None) -> str:
    """Return the path of the ffmpeg program.

    Args:
        configured: `stages.encode.ffmpeg`; None: `$AVATAR_FFMPEG` if set, otherwise imageio-ffmpeg's.

    Raises:
        MachineError: `ffmpeg-missing`.
    """
    setting, wanted = ("stages.encode.ffmpeg", configured) if configured else (FFMPEG_ENV, os.environ.get(FFMPEG_ENV))
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise MachineError(
                "ffmpeg-missing",
                f"{setting} is {wanted}, which is not an executable program.",
                f"Correct {setting}, or unset it to use the ffmpeg that was installed with avatard.",
            )
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as exc:
        raise MachineError(
            "ffmpeg-missing", "No ffmpeg program was found.", f"Install avatard again, or set {FFMPEG_ENV} to one."
        ) from exc


class FfmpegProcess:
    """A running ffmpeg process. A thread drains its stderr, and it never outlives the process of its stage.

    Use it as a context manager and call `finish` at the end; leaving the block kills it if it is still running.

    Args:
        command: program and arguments.
        cwd: folder in which relative names in the command are looked up.
        feed: make `stdin` a pipe to write to.
        read: make `stdout` a pipe to read from.
        keep: how many of the last lines of stderr are kept.
        accept: says which lines of stderr count and may be kept.
        environment: its environment; None for that of this process.

    Raises:
        MachineError: `ffmpeg-missing`.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        *,
        feed: bool = False,
        read: bool = False,
        keep: int = _KEPT_LINES,
        accept: Callable[[str], bool] = lambda line: True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        try:
            self._process = start_program(
                command,
                cwd=cwd,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE if read else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except OSError as exc:  # no right to run it, no more processes or memory
            raise MachineError(
                "ffmpeg-missing", f"ffmpeg cannot be started: {command[0]}: {exc.strerror}.", "See `avatar doctor`."
            ) from exc
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                widen_pipe(pipe)
        self._lines: deque[str] = deque(maxlen=keep)
        self._count = 0
        self._accept = accept
        self._drain = threading.Thread(target=self._read_stderr, name="ffmpeg-stderr", daemon=True)
        self._drain.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe to write to; only with `feed`."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe to read from; only with `read`."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def log(self) -> str:
        """The last lines ffmpeg wrote to stderr."""
        return "\n".join(self._lines)

    @property
    def log_lines(self) -> int:
        """How many lines ffmpeg wrote to stderr, without its notes that the last one was repeated."""
        return self._count

    def feed(self, data: npt.NDArray[np.uint8], stays: bool) -> None:
        """Write bytes to `stdin`.

        Args:
            data: the bytes, contiguous.
            stays: they lie in memory that processes share, and stay as they are until `PIPE_BYTES` more have been fed.

        Raises:
            BrokenPipeError: ffmpeg has ended.
        """
        given = give_pages(self.stdin, data) if stays else 0
        if given < data.nbytes:
            self.stdin.write(data[given:].data)

    def end_input(self) -> None:
        """Close `stdin`: nothing more is fed. ffmpeg encodes the rest meanwhile."""
        _close(self.stdin)

    def finish(self) -> int:
        """Close `stdin`, wait for the process to end, and return its exit status (negative: the signal that ended it)."""
        if self._process.stdin is not None:
            _close(self._process.stdin)
        # No time limit here: ffmpeg's last step rewrites the whole file, and the stage's time limit ends a hang.
        status = self._process.wait()
        self._drain.join()
        return status

    def kill(self) -> None:
        """Kill the process and wait until it has ended."""
        self._process.kill()
        self._process.wait()
        self._drain.join()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip()
                if not _REPEATED.match(line) and self._accept(line):
                    self._count += 1
                    self._lines.append(line)


def _close(pipe: IO[bytes]) -> None:
    # Closing flushes the rest of the buffer, which fails if ffmpeg has ended; its exit status says why it ended.
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def ffmpeg_error(status: int, log: str, what: str) -> AvatarError:
    """Make the error for an ffmpeg that failed.

    Args:
        status: exit status; negative for a signal.
        log: last lines of its stderr; they decide the class and code of the error.
        what: what failed, for the message.

    Returns:
        MachineError `disk-full` or `out-of-memory`, or UnknownError `ffmpeg-failed`.
    """
    words = log.lower()
    if "no space left on device" in words or "disk quota exceeded" in words:
        return MachineError("disk-full", f"The disk is full: {what}.", "Free some space.")
    if "cannot allocate memory" in words:
        return MachineError("out-of-memory", f"ffmpeg ran out of memory: {what}.", "Free memory or ask for less.")
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last = log.strip().splitlines()[-3:] or ["it printed no message"]
    return UnknownError("ffmpeg-failed", f"ffmpeg {how}: {what}: {' / '.join(last).rstrip('. ')}.", TRIED_AGAIN)
