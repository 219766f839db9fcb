"""The one place that knows where ffmpeg is and how it is started and ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from daemon.errors import AvatarError, MachineError, UnknownError
from daemon.system.process import die_with_parent

#: Names another ffmpeg than the packaged one: a path, or a command on PATH.
FFMPEG_ENV = "AVATAR_FFMPEG"
#: Lines of ffmpeg's stderr that are kept: for error messages, and for what its filters print at the end.
_KEPT_LINES = 24


def ffmpeg_path() -> str:
    """The ffmpeg binary: `$AVATAR_FFMPEG` if set, else the one that comes with imageio-ffmpeg.

    Raises:
        MachineError: `ffmpeg-missing`.
    """
    wanted = os.environ.get(FFMPEG_ENV)
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise MachineError(
                "ffmpeg-missing",
                f"{FFMPEG_ENV} names {wanted}, which is not a program that can be run.",
                f"Correct {FFMPEG_ENV}, or unset it to use the ffmpeg that was installed with avatard.",
            )
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as exc:
        raise MachineError(
            "ffmpeg-missing", "No ffmpeg program was found.", f"Install avatard again, or name one with {FFMPEG_ENV}."
        ) from exc


class Ffmpeg:
    """One running ffmpeg whose stderr is drained, and which never outlives its stage.

    Use as a context manager: leaving with an error kills it; leaving without one waits for it (`finish`).

    Args:
        command: program and arguments.
        cwd: where relative names in the command are looked up.
        feed: whether `stdin` is a pipe to write to.
        read: whether `stdout` is a pipe to read from.

    Raises:
        MachineError: `ffmpeg-missing`.
    """

    def __init__(self, command: Sequence[str], cwd: Path, *, feed: bool = False, read: bool = False) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE if read else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                preexec_fn=die_with_parent,
            )
        except OSError as exc:  # no right to run it, no more processes or memory
            raise MachineError(
                "ffmpeg-missing", f"ffmpeg cannot be started: {command[0]}: {exc.strerror}.", "See `avatar doctor`."
            ) from exc
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
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
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def log(self) -> str:
        """The last lines ffmpeg wrote to stderr."""
        return "\n".join(self._lines)

    def finish(self) -> int:
        """Close the input, wait for the end, and give the exit status (negative: the signal that ended it)."""
        if self._process.stdin is not None:
            _close(self._process.stdin)
        # No time limit: the last step rewrites the whole file, and a hang is ended by the stage's own timeout.
        status = self._process.wait()
        self._drain.join()
        return status

    def kill(self) -> None:
        """End it now and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._drain.join()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._lines.append(line.decode("utf-8", "replace").rstrip())


def _close(pipe: IO[bytes]) -> None:
    # A broken pipe here is the unsent rest of the buffer; why ffmpeg went away is told by its exit status.
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def failure(status: int, log: str, what: str) -> AvatarError:
    """The error for an ffmpeg that ended badly: whose fault it is, told by its last words."""
    words = log.lower()
    if "no space left on device" in words or "disk quota exceeded" in words:
        return MachineError("disk-full", f"The disk is full: {what}.", "Free some space.")
    if "cannot allocate memory" in words:
        return MachineError("out-of-memory", f"ffmpeg ran out of memory: {what}.", "Free memory or ask for less.")
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last = log.strip().splitlines()[-3:] or ["it said nothing"]
    return UnknownError(
        "ffmpeg-failed", f"ffmpeg {how}: {what}: {' / '.join(last)}", "See the log; the job is tried again."
    )
