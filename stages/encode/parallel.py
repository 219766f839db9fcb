"""Draws the frames of one video in several processes: each of n processes draws every n-th frame, and they are read in turn.

Frames are independent of each other, so the video is identical for any number of processes. No process gets more than a frame
ahead of the reader, so memory does not grow. `python -m stages.encode.parallel` is one of the processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from daemon.config import Settings
from daemon.errors import MachineError, UnknownError
from daemon.jobs.manifest import Manifest
from daemon.system.process import die_with
from stages.context import Context
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.planes import PlanarFrame

#: Minimum number of frames for several processes: a process takes about a second to start.
_MIN_FRAMES = 150
_MOST = 4  # processes chosen automatically; with more, the encoder is the slower part
_PIPE_BYTES = 1 << 20


def processes_for(settings: Settings, frame_count: int) -> int:
    """Choose the number of processes that draw a video of `frame_count` frames."""
    if frame_count < _MIN_FRAMES:
        return 1
    if settings.stages.encode.processes:
        return settings.stages.encode.processes
    cores = len(os.sched_getaffinity(0))
    beside = settings.lanes.cpu.processes or max(2, cores // 2)
    return max(1, min(_MOST, cores // beside))


class ParallelFrames:
    """A frame source whose frames, those of `source`, are drawn by `processes` processes for the job of `ctx`."""

    def __init__(self, ctx: Context, source: FrameSource, processes: int) -> None:
        self.width, self.height, self.frame_count = source.width, source.height, source.frame_count
        self.transparent = source.transparent
        self._ctx, self._processes = ctx, processes

    def frames(self) -> Iterator[PlanarFrame]:
        """See `FrameSource`.

        Raises:
            UnknownError: `frames-missing`: a process died.
        """
        frame = PlanarFrame.empty(self.width, self.height, self.transparent)
        with contextlib.ExitStack() as stack:
            drawers = [
                stack.enter_context(_DrawingProcess(self._ctx, part, self._processes))
                for part in range(self._processes)
            ]
            for index in range(self.frame_count):
                drawers[index % self._processes].read(frame.data.data)
                yield frame


class _DrawingProcess:
    """One drawing process, and the pipe that its frames come through."""

    def __init__(self, ctx: Context, part: int, parts: int) -> None:
        request = {
            "parent": os.getpid(), "part": part, "parts": parts, "job": ctx.job_id, "name": ctx.name,
            "dir": str(ctx.job_dir.absolute()), "manifest": ctx.manifest.model_dump(mode="json"),
            "settings": ctx.settings.model_dump(mode="json"),
        }  # fmt: skip
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stages.encode.parallel"],
                cwd=Path(__file__).resolve().parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
            )
        except OSError as exc:  # no right to run it, no more processes or memory
            raise MachineError(
                "worker-broken",
                f"A process that draws frames cannot be started: {exc.strerror}.",
                "Run `avatar doctor` and see the log.",
            ) from exc
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._frames: IO[bytes] = self._process.stdout
        with contextlib.suppress(OSError):  # a smaller pipe is only slower
            fcntl.fcntl(self._frames, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(json.dumps(request).encode())

    def __enter__(self) -> _DrawingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._frames.close()
        self._complaints.close()

    def read(self, view: memoryview) -> None:
        """Fill `view` with the next frame.

        Raises:
            UnknownError: `frames-missing`: the process ended.
        """
        while view:
            count = self._frames.readinto(view)  # type: ignore[attr-defined]
            if not count:
                self._complaints.seek(0)
                words = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
                last = words[-1] if words else f"exit status {self._process.wait()}"
                raise UnknownError(
                    "frames-missing", f"A process that draws frames ended early: {last}.", "The job is tried again."
                )
            view = view[count:]


def main() -> None:
    """Draw a share of the frames of the job described on stdin, and write them to stdout as raw bytes."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    die_with(request["parent"])
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # libraries print to stdout
    from stages.encode.compose import Composer

    ctx = Context(
        request["job"],
        request["name"],
        Path(request["dir"]),
        Manifest.model_validate(request["manifest"]),
        Settings.model_validate(request["settings"]),
    )
    with contextlib.suppress(BrokenPipeError):  # the reader is finished or has ended
        for frame in Composer.for_job(ctx).frames(request["part"], request["parts"]):
            view = frame.data.data
            while view:
                view = view[out.write(view) :]


if __name__ == "__main__":
    main()
