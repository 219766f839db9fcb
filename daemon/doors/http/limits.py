"""Holds what an API key may take: jobs a minute, waiting jobs, seconds of speech and bytes a day, priority, kinds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from daemon.doors.http.api_keys import Limits
from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import FOLDER
from daemon.doors.http.problems import RequestError
from daemon.history.query import Row
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import estimated_s, spoken_text

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
#: Largest ledger that is read, in bytes.
_LEDGER_BYTES: Final = 4096


def check_manifest(limits: Limits, name: str, manifest: Manifest) -> None:
    """Refuse a job that a key may not make.

    Args:
        name: of the key.

    Raises:
        RequestError: `not-allowed`.
    """
    if limits.kinds is not None and manifest.kind not in limits.kinds:
        raise RequestError(
            "not-allowed",
            f"The key of {name} makes no job of the kind {manifest.kind}.",
            f"It makes {', '.join(limits.kinds)}.",
        )
    if limits.priority is not None and manifest.priority > limits.priority:
        raise RequestError(
            "not-allowed", f"The key of {name} has no priority above {limits.priority}.", "Ask for a lower one."
        )


def check_amounts(
    limits: Limits,
    name: str,
    manifest: Manifest,
    *,
    since: Callable[[float], Sequence[Row]],
    unseen: int,
    unfinished: Callable[[], int],
) -> None:
    """Refuse a job that would be more than a key may take.

    Args:
        since: returns its jobs that were accepted since a time, seconds since the epoch.
        unseen: number of its jobs that the daemon has not seen yet.
        unfinished: returns the number of the others that have not ended.

    Raises:
        RequestError: `limit-reached`.
    """
    now = time.time()
    if limits.jobs_per_minute is not None and len(since(now - 60)) + unseen >= limits.jobs_per_minute:
        raise RequestError(
            "limit-reached", f"{name} has handed in {limits.jobs_per_minute} jobs within a minute.", "Wait a little."
        )
    if limits.waiting_jobs is not None and unfinished() + unseen >= limits.waiting_jobs:
        raise RequestError(
            "limit-reached", f"{limits.waiting_jobs} jobs of {name} have not ended.", "Wait until one has."
        )
    if limits.speech_s_per_day is not None:
        spoken = sum(row.audio_s or estimated_s(row.text, 1.0) for row in since(now - DAY_S))
        wanted = estimated_s(spoken_text(manifest), manifest.speed)
        if spoken + wanted > limits.speech_s_per_day:
            raise RequestError(
                "limit-reached",
                f"This text takes about {wanted:.0f} s, and {name} has had {spoken:.0f} s of {limits.speech_s_per_day:g} s of "
                "speech within a day.",
                "Wait, or hand in a shorter text.",
            )


class UploadLedger:
    """Counts the bytes that each key has sent within a day, by the hour, in a small file that all processes share.

    Args:
        inbox: the folder.
        clock: seconds since the epoch.
    """

    def __init__(self, inbox: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = inbox / FOLDER
        self._clock = clock

    def check(self, caller: Caller, wanted: int) -> None:
        """Refuse bytes that are more than a key may send. `wanted`: how many are to come, or have come.

        Raises:
            RequestError: `limit-reached`.
        """
        most = caller.limits.upload_bytes_per_day
        if most is None:
            return
        with self._open(caller) as (_, hours):
            sent = sum(hours.values())
        if sent + wanted > most:
            raise RequestError(
                "limit-reached",
                f"{caller.name} has sent {sent} bytes within a day, and with {wanted} more it would be over {most}.",
                "Wait, or send smaller files.",
            )

    def add(self, caller: Caller, sent: int) -> None:
        """Count bytes that have come. Errors as for `check`: they are counted all the same."""
        if caller.limits.upload_bytes_per_day is None or not sent:
            return
        self.check(caller, sent)
        with self._open(caller) as (fd, hours):
            hour = self._hour()
            hours[hour] = hours.get(hour, 0) + sent
            data = json.dumps(hours).encode()
            os.ftruncate(fd, 0)
            os.pwrite(fd, data, 0)

    def _hour(self) -> int:
        return int(self._clock()) // HOUR_S

    @contextlib.contextmanager
    def _open(self, caller: Caller) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield the locked file of a key, and its bytes by the hour of the last day."""
        self._folder.mkdir(mode=0o770, exist_ok=True)
        path = self._folder / f".bytes-{caller.key_id}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            with contextlib.suppress(OSError):  # a share without locks
                fcntl.flock(fd, fcntl.LOCK_EX)
            hours: dict[int, int] = {}
            with contextlib.suppress(ValueError, TypeError, AttributeError):  # cut off by a crash
                hours = {int(hour): int(sent) for hour, sent in json.loads(os.pread(fd, _LEDGER_BYTES, 0)).items()}
            first = self._hour() - DAY_S // HOUR_S
            yield fd, {hour: sent for hour, sent in hours.items() if hour > first}
        finally:
            os.close(fd)
