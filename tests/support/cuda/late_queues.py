"""Queues of a device that do their work as late as they may, and as far ahead as they may: results must be right with both."""

from __future__ import annotations

from collections.abc import Callable

from stages.gpu.queues import QueueMark


class Later:
    """A queue of the device as slow as it may be: nothing is done before somebody waits for it."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.done = 0

    def do(self, work: Callable[[], None]) -> None:
        """Append work."""
        self.work.append(work)

    def mark(self) -> Moment:
        """Return the place after all work appended so far."""
        return Moment(self, len(self.work))

    def wait(self, mark: QueueMark) -> None:
        """Run no further work before another queue has reached `mark`."""
        self.work.append(mark.synchronize)

    def run(self, until: int) -> None:
        """Do the work up to a place."""
        while self.done < until:
            self.done += 1
            self.work[self.done - 1]()


class Eager(Later):
    """A queue that works as far ahead as it may."""

    def do(self, work: Callable[[], None]) -> None:
        """Append work, and do all of it."""
        super().do(work)
        self.run(len(self.work))


class Moment:
    """A place in such a queue."""

    def __init__(self, queue: Later, place: int) -> None:
        self.queue, self.place = queue, place

    def synchronize(self) -> None:
        """Let the queue reach this place."""
        self.queue.run(self.place)
