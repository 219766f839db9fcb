"""A process that helps to draw a video: a copy of the stage's own, made by fork when the video begins.

A copy has the portrait's planes and all modules from its first moment, shares their memory, and ends with the video, so that
nothing can be left over from another job. A new process would need a second to import them, and as much memory again.
Only the thread that forks goes on in a copy. It therefore does nothing but draw, with OpenCV and numpy on one thread: it writes
no log, runs no cleanup of the stage's, and holds none of its pipes.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import select
import signal
import socket
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from daemon.errors import TRIED_AGAIN, MachineError, UnknownError
from daemon.system.process import close_pipes, die_with
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.planes import PlanarFrame

_FORK = multiprocessing.get_context("fork")
#: Bytes read at once: more than the numbers of all frames that a helper may be given, and what is left of the words of an error.
_MESSAGE_BYTES, _ERROR_CHARS = 4096, 1000


class DrawnFrames(FrameSource, Protocol):
    """A frame source that can draw any frame, independently of the others."""

    @property
    def still(self) -> PlanarFrame:
        """What a frame holds before it is drawn for the first time."""
        ...

    def draw(self, index: int, frame: PlanarFrame) -> None:
        """Draw one frame into `frame`, which holds `still` or another frame."""
        ...


@dataclass(frozen=True)
class Ring:
    """Frames in memory that processes share, into which a video is drawn by turns.

    Attributes:
        frames: frame i of the video is drawn into `frames[i % len(frames)]`.
        first: number of the frame that is drawn first.
    """

    frames: Sequence[PlanarFrame]
    first: int

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> PlanarFrame:
        """Return the place of frame `index`."""
        return self.frames[index % len(self.frames)]

    def draw(self, source: DrawnFrames, index: int) -> None:
        """Draw frame `index`. The process that is the first to draw into its place fills it, so that all share that work."""
        frame = self[index]
        if index - self.first < len(self.frames):
            frame.data[:] = source.still.data
        source.draw(index, frame)


class DrawingHelper:
    """A process that draws frames into the ring that it shares with this one. Use it as a context manager.

    The two exchange lines through a pair of sockets: numbers of frames, and the words of an error. multiprocessing's own pipes
    take 12 µs more of processor time a frame.

    Attributes:
        given: number of frames that it has been given and that `finished` has not yielded.
    """

    def __init__(self, source: DrawnFrames, ring: Ring) -> None:
        """Start it.

        Args:
            source: draws the frames.
            ring: where it draws them.

        Raises:
            MachineError: `worker-broken`.
        """
        self.given = 0
        self._connection, other_end = socket.socketpair()
        self._process = _FORK.Process(target=_draw_frames, args=(source, ring, other_end, os.getpid()), daemon=True)
        try:
            with warnings.catch_warnings():  # Python 3.12 warns of other threads: see above
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
        except OSError as exc:  # no more processes or memory
            self._connection.close()
            raise MachineError(
                "worker-broken",
                f"A process that draws frames cannot be started: {exc.strerror}.",
                "Run `avatar doctor` and see the log.",
            ) from exc
        finally:
            other_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    @property
    def connection(self) -> socket.socket:
        """What becomes readable when it has finished a frame, or has ended."""
        return self._connection

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def give(self, index: int) -> None:
        """Let it draw a frame, after those that it was given before.

        Raises:
            UnknownError: `frames-missing`: the process ended.
        """
        self.given += 1
        try:
            self._connection.sendall(b"%d\n" % index)
        except OSError as exc:
            raise self._ended() from exc

    def finished(self) -> Iterator[int]:
        """Yield the frames that it has finished since the last call; does not wait.

        Raises:
            UnknownError: `frames-missing`: the process ended.
        """
        try:
            lines = self._connection.recv(_MESSAGE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as exc:
            raise self._ended() from exc
        if not lines:
            raise self._ended()
        for line in lines.splitlines():
            if not line.isdigit():
                raise _frames_missing(line.decode())
            self.given -= 1
            yield int(line)

    def _ended(self) -> UnknownError:
        self._process.join()
        code = self._process.exitcode or 0
        return _frames_missing(signal.Signals(-code).name if code < 0 else f"exit status {code}")


def wait_for_any(helpers: Sequence[DrawingHelper]) -> None:
    """Wait until one of them has finished a frame or has ended."""
    poll = select.poll()  # unlike select(), for any number of open files
    for helper in helpers:
        poll.register(helper.connection, select.POLLIN)
    poll.poll()


def _frames_missing(why: str) -> UnknownError:
    return UnknownError("frames-missing", f"A process that draws frames ended early: {why}.", TRIED_AGAIN)


def _draw_frames(source: DrawnFrames, ring: Ring, connection: socket.socket, parent: int) -> None:
    """Draw each frame whose number comes through `connection`, and send the number back, or why it cannot be drawn."""
    die_with(parent)
    close_pipes(keep=connection.fileno())
    logging.getLogger().handlers.clear()  # a lock of theirs may have been held by a thread that does not exist here
    gc.freeze()  # collecting would write to, and so copy, memory that is shared until then
    try:
        while lines := connection.recv(_MESSAGE_BYTES):  # until the video is finished
            for index in map(int, lines.splitlines()):
                ring.draw(source, index)
                connection.sendall(b"%d\n" % index)
    except Exception as exc:
        connection.sendall(" ".join(f"{type(exc).__name__}: {exc}".split())[:_ERROR_CHARS].encode() + b"\n")
