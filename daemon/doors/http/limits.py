"""Holds what an API key may take: jobs a minute, waiting jobs, seconds of speech and bytes a day, priority, kinds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from daemon.doors.http.api_keys import Limits
from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import FOLDER
from daemon.doors.http.problems import RequestError, in_bytes
from daemon.history.query import STATES, Row
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import estimated_s, spoken_text
from daemon.system.permissions import private_folder

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
#: By then a job that the daemon took is in the index, s.
INDEXED_S: Final = 30.0
#: Jobs so old are not looked for in the index to tell those that it has not yet, s.
_KNOWN_S: Final = 600.0
#: Returns jobs in the index that were accepted since a time (None: ever), and are in some states (none: all).
Rows = Callable[[float | None, Sequence[str]], Sequence[Row]]
#: What was noted so much later than now is of a clock that was wrong, and is not counted, s.
AHEAD_S: Final = 60.0
#: Largest ledger that is read, in bytes.
_LEDGER_BYTES: Final = 4096


class Amount(NamedTuple):
    """What is to be handed in at once. `jobs`: how many; `speech_s`: their estimated speech in all."""

    jobs: int = 1
    speech_s: float = 0.0


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
    check_priority(limits, name, manifest)


def check_priority(limits: Limits, name: str, manifest: Manifest) -> None:
    """Refuse a job of a higher priority than a key may ask for. Args and errors as `check_manifest`."""
    if limits.priority is not None and manifest.priority > limits.priority:
        raise RequestError(
            "not-allowed", f"The key of {name} has no priority above {limits.priority}.", "Ask for a lower one."
        )


class Entry(NamedTuple):
    """What one request handed in.

    Attributes:
        at: when, seconds since the epoch.
        job: its id.
        speech_s: its estimated speech.
        jobs: how many jobs it makes; more than one for a batch.
        source: the manifest of a batch, by which its rows are known in the index; empty else.
    """

    at: float
    job: str
    speech_s: float
    jobs: int = 1
    source: str = ""


class JobLedger:
    """Remembers what one key handed in, in a small file that all processes share; held by one at a time.

    The index of jobs lags behind what is handed in, and stands still while the daemon is down.

    Args:
        keep_s: for how long a job that is no batch counts; batches count for a day.

    Attributes:
        entries: what was handed in.
    """

    def __init__(self, fd: int, now: float, keep_s: float = DAY_S) -> None:
        self._fd = fd
        self.now = now
        self.entries: list[Entry] = []
        with contextlib.suppress(ValueError, TypeError):  # cut off by a crash
            data = os.pread(fd, os.fstat(fd).st_size, 0)
            found = [Entry(*values) for values in json.loads(data)]
            since = {True: now - DAY_S, False: now - keep_s}
            self.entries = [one for one in found if since[bool(one.source)] < one.at <= now + AHEAD_S]

    def add(self, job: str, amount: Amount, source: str = "") -> Entry:
        """Note what was handed in, and return that. `source`: as in `Entry`."""
        entry = Entry(self.now, job, amount.speech_s, amount.jobs, source)
        self.entries.append(entry)
        self._write()
        return entry

    def remove(self, entry: Entry) -> None:
        """Forget what was noted by `add` and then refused."""
        if entry in self.entries:
            self.entries.remove(entry)
            self._write()

    def _write(self) -> None:
        _rewrite(self._fd, self.entries)


def is_counted(caller: Caller) -> bool:
    """Return whether the jobs of a caller are counted, as its key may take so many only."""
    limits = caller.limits
    return not (limits.jobs_per_minute is limits.waiting_jobs is limits.speech_s_per_day is None)


@contextlib.contextmanager
def job_ledger(inbox: Path, caller: Caller) -> Iterator[JobLedger | None]:
    """Yield what a key handed in, as far as it counts, held meanwhile; None where nothing of what it hands in is bounded."""
    if not is_counted(caller):
        yield None
        return
    with _locked(inbox / FOLDER / f".jobs-{caller.key_id}") as fd:
        yield JobLedger(fd, time.time(), MINUTE_S if caller.limits.speech_s_per_day is None else DAY_S)


def check_amounts(
    limits: Limits, name: str, wanted: Amount, ledger: JobLedger, rows: Rows, unseen: Callable[[], set[str]]
) -> None:
    """Refuse a job that would be more than a key may take.

    Args:
        name: of the key.
        wanted: what is to be handed in.
        rows: returns its jobs in the index that were accepted since a time in seconds since the epoch, and are in some states.
        unseen: returns the ids of its jobs that the daemon has not seen yet.

    Raises:
        RequestError: `limit-reached`.
    """
    now = ledger.now
    minute = sum(one.jobs for one in ledger.entries if one.at > now - MINUTE_S)
    if limits.jobs_per_minute is not None and minute + wanted.jobs > limits.jobs_per_minute:
        raise RequestError(
            "limit-reached",
            f"{name} has handed in {limits.jobs_per_minute} jobs within a minute."
            if wanted.jobs == 1
            else f"These are {wanted.jobs} jobs, and {name} may hand in {limits.jobs_per_minute} within a minute.",
            "Wait a little." if wanted.jobs == 1 else "Hand in fewer rows at once.",
        )
    if limits.waiting_jobs is None and limits.speech_s_per_day is None:
        return
    batches = {one.source: one for one in ledger.entries if one.source}
    counts_speech = limits.speech_s_per_day is not None and wanted.speech_s > 0
    # Of thousands of jobs a day, those of the last minutes are enough where nothing else is counted by them.
    today = rows(now - (DAY_S if counts_speech or batches else _KNOWN_S), ())
    known = {row.job for row in today}
    fresh = [one for one in ledger.entries if one.source or one.job not in known]
    if limits.waiting_jobs is not None:
        waiting = {row.job for row in rows(None, STATES[:4]) if row.source not in batches} | (unseen() - known)
        waiting |= {one.job for one in fresh if not one.source and one.at > now - INDEXED_S}
        waiting -= {one.job for one in batches.values()}
        left = sum(_left(one, today) for one in batches.values())
        if len(waiting) + left + wanted.jobs > limits.waiting_jobs:
            raise RequestError(
                "limit-reached",
                f"{limits.waiting_jobs} jobs of {name} have not ended."
                if wanted.jobs == 1
                else f"These are {wanted.jobs} jobs, {len(waiting) + left} of {name} have not ended, and it may have "
                f"{limits.waiting_jobs}.",
                "Wait until one has." if wanted.jobs == 1 else "Hand in fewer rows at once.",
            )
    if limits.speech_s_per_day is not None and counts_speech:
        singles = (row for row in today if row.source not in batches and row.accepted <= now + AHEAD_S)
        spoken = sum(row.audio_s or estimated_s(row.text, 1.0) for row in singles) + sum(one.speech_s for one in fresh)
        if spoken + wanted.speech_s > limits.speech_s_per_day:
            raise RequestError(
                "limit-reached",
                f"This text takes about {wanted.speech_s:.0f} s, and {name} has had {spoken:.0f} s of "
                f"{limits.speech_s_per_day:g} s of speech within a day.",
                "Wait, or hand in a shorter text.",
            )


def _left(batch: Entry, today: Sequence[Row]) -> int:
    """Return how many jobs of a batch have not ended. `today`: the jobs of its key that were accepted within a day."""
    own = [row for row in today if row.source == batch.source]
    if any(row.job == batch.job and row.state in STATES[4:] for row in own):
        return 0
    return max(0, batch.jobs - sum(row.state in STATES[4:] for row in own if row.job != batch.job))


def speech_s(manifest: Manifest) -> float:
    """Return about how long the speech of a job is, in s."""
    return estimated_s(spoken_text(manifest), manifest.speed)


def _rewrite(fd: int, value: object) -> None:
    """Write a small file anew. On a full disk it stays as it was.

    Raises:
        OSError: there is no room for it.
    """
    data = json.dumps(value).encode()
    os.posix_fallocate(fd, 0, len(data))
    os.pwrite(fd, data, 0)
    os.ftruncate(fd, len(data))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Yield an open file that nobody else has meanwhile."""
    private_folder(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        with contextlib.suppress(OSError):  # a share without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


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
        if caller.limits.upload_bytes_per_day is not None:
            with self._open(caller) as (_, hours):
                self._check(caller, hours, wanted)

    def add(self, caller: Caller, sent: int) -> None:
        """Count bytes that have come. Errors as for `check`: they are not counted then."""
        if caller.limits.upload_bytes_per_day is None or not sent:
            return
        with self._open(caller) as (fd, hours):
            self._check(caller, hours, sent)
            hour = self._hour()
            hours[hour] = hours.get(hour, 0) + sent
            _rewrite(fd, hours)

    @staticmethod
    def _check(caller: Caller, hours: Mapping[int, int], wanted: int) -> None:
        most, sent = caller.limits.upload_bytes_per_day, sum(hours.values())
        if most is not None and sent + wanted > most:
            raise RequestError(
                "limit-reached",
                f"{caller.name} has sent {in_bytes(sent)} within a day, and with {wanted} more it would be over {most}.",
                "Wait, or send smaller files.",
            )

    def _hour(self) -> int:
        return int(self._clock()) // HOUR_S

    @contextlib.contextmanager
    def _open(self, caller: Caller) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield the locked file of a key, and its bytes by the hour of the last day."""
        with _locked(self._folder / f".bytes-{caller.key_id}") as fd:
            hours: dict[int, int] = {}
            with contextlib.suppress(ValueError, TypeError, AttributeError):  # cut off by a crash
                hours = {int(hour): int(sent) for hour, sent in json.loads(os.pread(fd, _LEDGER_BYTES, 0)).items()}
            this = self._hour()
            yield fd, {hour: sent for hour, sent in hours.items() if this - DAY_S // HOUR_S < hour <= this + 1}
