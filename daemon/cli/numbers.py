"""Numbers on the command line. None of them is `nan`, which every range takes, as it is neither below nor above a bound."""

from __future__ import annotations

from math import isfinite, isnan
from typing import Any

import click


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


#: The type of an option that says how long to wait.
SECONDS = Number("seconds", endless=True, min=0)
