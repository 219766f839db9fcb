"""Checks status files that are read back: everybody in the drop group can write into the outbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from daemon.jobs.record import JOB_ID
from daemon.jobs.stages import STAGES
from daemon.outbox.status_file import NEXT

#: A year: what is more is not a time that a job may take.
MAX_ETA_S = 3e7


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


#: What the keys of a status that are used here may be; another value is left out.
_FITS: dict[str, Callable[[Any], bool]] = {
    "stage": lambda value: value in STAGES,
    "accepted": _is_time,
    "finished": _is_time,
    "progress": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
    "eta_s": lambda value: isinstance(value, int | float) and 0 <= value <= MAX_ETA_S,
    "source": _is(str),
    "by": lambda value: isinstance(value, str) and value.isprintable(),
    "next": _is(str),
    "waiting_for": _is(list),
    "error": _is(dict),
    "outputs": _is(list),
    "warnings": _is(list),
    "stages": _is(dict),
}
#: Those of them that are null where nothing is known.
_NULLABLE = ("stage", "accepted", "by")


def checked(name: str, record: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a status that can be one of ours, without what does not fit its key, or with null in its place where that key always
    stands in a status; None for anything else.
    """
    if record is None or record.get("name") != name or str(record.get("state")) not in NEXT:
        return None
    if not JOB_ID.fullmatch(str(record.get("job"))):
        return None
    wrong = {key for key, value in record.items() if key in _FITS and value is not None and not _FITS[key](value)}
    return {
        key: None if key in wrong else value for key, value in record.items() if key not in wrong or key in _NULLABLE
    }
