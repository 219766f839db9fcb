"""Draws the frames of one video in several processes: the stage's own, and others that help it.

The own process draws alone until the helpers have started, so that no time is lost; from then on each of n processes draws every
n-th frame, and they are read in turn. Frames are independent of each other: the video is identical for any number of processes.
No process gets more than a frame ahead of the reader, so memory does not grow. `python -m stages.encode.parallel` is a helper.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from daemon.config import Settings
from daemon.errors import MachineError, UnknownError
from daemon.jobs.manifest import Manifest
from daemon.system.process import die_with, widen_pipe
from stages.context import Context
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.planes import PlanarFrame
from stages.encode.torch_sampler import samples_on_gpu

#: Minimum number of pixels, in all frames, for several processes: about four seconds of drawing. A helper takes one to start.
_MIN_PIXELS = 150e6
_MOST = 4  # processes chosen automatically; with more, the encoder is the slower part
_READY = b"r"


class DividedFrames(FrameSource, Protocol):
    """A frame source that can draw a share of its frames."""

    def frames(self, first: int = 0, step: int = 1) -> Iterator[PlanarFrame]:
        """Yield every `step`-th frame from `first` on, each valid until the next."""
        ...


def processes_for(settings: Settings, source: FrameSource) -> int:
    """Choose the number of processes that draw a video, the stage's own included; one where a GPU samples the frames."""
    if source.width * source.height * source.frame_count < _MIN_PIXELS or samples_on_gpu(settings):
        return 1
    if settings.stages.encode.processes:
        return settings.stages.encode.processes
    cores = len(os.sched_getaffinity(0))
    beside = settings.lanes.cpu.processes or max(2, cores // 2)
    # A drawing process and the encoder do not fill two cores, so there are two even if the lane's other workers may be busy.
    return min(cores, max(2, min(_MOST, cores // beside)))


class ParallelFrames:
    """A frame source whose frames, those of `source`, are drawn by `processes` processes for the job of `ctx`."""

    def __init__(self, ctx: Context, source: DividedFrames, processes: int) -> None:
        self.width, self.height, self.frame_count = source.width, source.height, source.frame_count
        self.transparent = source.transparent
        self._ctx, self._source, self._processes = ctx, source, processes

    def frames(self) -> Iterator[PlanarFrame]:
        """See `FrameSource`.

        Raises:
            UnknownError: `frames-missing`: a process died.
        """
        with contextlib.ExitStack() as stack:
            helpers = [stack.enter_context(DrawingHelper(self._ctx)) for _ in range(self._processes - 1)]
            alone = 0
            for frame in self._source.frames():
                yield frame
                alone += 1
                if all(helper.is_ready() for helper in helpers):
                    break
            yield from self._frames_together(helpers, alone)

    def _frames_together(self, helpers: list[DrawingHelper], first: int) -> Iterator[PlanarFrame]:
        """Yield the frames from `first` on, the first of every round drawn here."""
        if first == self.frame_count:
            return
        for number, helper in enumerate(helpers, 1):
            helper.start(first + number, self._processes)
        received = PlanarFrame.empty(self.width, self.height, self.transparent)
        own = self._source.frames(first, self._processes)
        for index in range(first, self.frame_count):
            turn = (index - first) % self._processes
            if turn == 0:
                yield next(own)
            else:
                helpers[turn - 1].read(received.data.data)
                yield received


class DrawingHelper:
    """Another process that draws, and the pipe that its frames come through."""

    def __init__(self, ctx: Context) -> None:
        request = {
            "parent": os.getpid(), "job": ctx.job_id, "name": ctx.name,
            "dir": str(ctx.job_dir.absolute()), "manifest": ctx.manifest.model_dump(mode="json"),
            "settings": ctx.settings.model_dump(mode="json"),
        }  # fmt: skip
        self._ready = False
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
        self._requests: IO[bytes] = self._process.stdin
        self._frames: IO[bytes] = self._process.stdout
        widen_pipe(self._frames)
        self._send(request)

    def __enter__(self) -> DrawingHelper:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._frames.close()
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self._complaints.close()

    def is_ready(self) -> bool:
        """Return whether it can draw; does not wait.

        Raises:
            UnknownError: `frames-missing`: the process ended.
        """
        if not self._ready and _has_bytes(self._frames):
            self.read(memoryview(bytearray(len(_READY))))
            self._ready = True
        return self._ready

    def start(self, first: int, step: int) -> None:
        """Make it draw every `step`-th frame from `first` on."""
        self._send({"first": first, "step": step})

    def _send(self, request: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it ended; reading says why
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

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


def _has_bytes(stream: IO[bytes]) -> bool:
    """Return whether `stream` can be read without waiting. Unlike `select`, `poll` takes descriptors above 1023."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(0))


def main() -> None:
    """Draw frames of the job described on stdin, and write them to stdout as raw bytes."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    die_with(request["parent"])
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # libraries print to stdout
    from stages.encode.framing import frames_of_job

    ctx = Context(
        request["job"],
        request["name"],
        Path(request["dir"]),
        Manifest.model_validate(request["manifest"]),
        Settings.model_validate(request["settings"]),
    )
    source = frames_of_job(ctx)
    with contextlib.suppress(BrokenPipeError):  # the reader is finished or has ended
        out.write(_READY)
        share: dict[str, int] = json.loads(sys.stdin.buffer.readline())
        for frame in source.frames(share["first"], share["step"]):
            view = frame.data.data
            while view:
                view = view[out.write(view) :]


if __name__ == "__main__":
    main()
