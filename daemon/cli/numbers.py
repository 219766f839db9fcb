"""Numbers on the command line: those that are typed, and sizes that are shown. None of the former is `nan`, which every range
takes, as it is neither below nor above a bound.
"""

from __future__ import annotations

from contextlib import suppress
from math import isfinite, isnan
from typing import Any

import click

#: From this size on, a file's size is told in MB. bytes
_MEGABYTES_FROM = 100_000


class Number(click.FloatRange):
    """A number of a range, never `nan`.

    Args:
        what: what it counts, for the error: "seconds".
        endless: whether `inf` may be given.
        bounds: those of `click.FloatRange`.
    """

    def __init__(self, what: str, *, endless: bool = False, **bounds: Any) -> None:
        super().__init__(**bounds)
        self._what, self._endless = what, endless

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number.

        Raises:
            click.BadParameter: it is none, or none of the range.
        """
        number = float(super().convert(value, param, ctx))
        if isnan(number) or not (self._endless or isfinite(number)):
            self.fail(f"{value} is no number of {self._what}.", param, ctx)
        return number


class Priority(click.ParamType[int]):
    """A job's place among those that wait: a whole number, or one of the words that a manifest may have."""

    name = "priority"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a priority.

        Raises:
            click.BadParameter: it is none.
        """
        from daemon.jobs.manifest_values import (
            PRIORITY_WORDS,
        )  # 0.1 s of imports, which the help of a command need not wait for

        words: dict[str, int] = PRIORITY_WORDS
        if (word := str(value).strip().lower()) in words:
            return words[word]
        with suppress(ValueError):
            if -100 <= (number := int(word)) <= 100:
                return number
        sentence = f"{value!r} is no priority: write low, normal, high or a whole number from -100 to 100."
        raise click.BadParameter(sentence, ctx, param)


#: The type of an option that says how long to wait.
SECONDS = Number("seconds", endless=True, min=0)


def size_of_file(size: int) -> str:
    """Return the size of a file for people, such as "1.41 MB"; small ones in bytes."""
    return f"{size / 1e6:.2f} MB" if size >= _MEGABYTES_FROM else f"{size:,} bytes"
