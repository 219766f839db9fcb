"""Points in time on the command line: a date, a time, or how long ago."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from daemon.jobs.iso_time import read_iso

_AGO = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Moment(click.ParamType[float]):
    """Seconds since the epoch. A date or a time without a zone is in UTC, as all times that `avatar` prints."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a moment.

        Raises:
            click.BadParameter: it is none.
        """
        if isinstance(value, float):
            return value
        if ago := _AGO.fullmatch(str(value).strip().lower()):
            return time.time() - int(ago[1]) * _SECONDS[ago[2]]
        try:
            return read_iso(str(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 2026-01-31, 2026-01-31T09:30, or 90m, 24h, 7d, 2w.", param, ctx)
