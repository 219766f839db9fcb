"""Keeps the figure of the last video, since the next job is often about the same portrait: batches are sorted by it."""

from __future__ import annotations

from dataclasses import dataclass

from stages.context import Context
from stages.encode.figure.prepared import FigureSource, PreparedFigure
from stages.kept_in_memory import KeptValue

#: Pixels of the largest portrait whose figure is kept: it takes 80 to 90 bytes for each.
_MOST_PIXELS = 1920 * 1080
_KEPT = KeptValue[FigureSource, PreparedFigure]()


@dataclass(frozen=True)
class JobFigure:
    """The figure of a job, and the source that it was made from."""

    source: FigureSource
    figure: PreparedFigure

    @classmethod
    def take(cls, ctx: Context) -> JobFigure:
        """Take the figure that an earlier job has kept, if it is that of this job; else prepare it.

        Raises:
            UnknownError: `portrait-unreadable`.
        """
        source = FigureSource.of_job(ctx)
        return cls(source, _KEPT.take(source) or PreparedFigure.load(source, ctx.settings.paths.cache))

    def keep(self) -> None:
        """Keep the figure for the next job. Only after a job that ended well: what a failed one has left in it is not known."""
        if self.figure.height * self.figure.width <= _MOST_PIXELS:
            _KEPT.keep(self.source, self.figure)
