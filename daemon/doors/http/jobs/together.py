"""Hands in at once what many clients send at once: the disk commits their jobs together, and few threads compete for Python.

Of a job alone, most time goes to waiting for the disk and for a processor. Where each request has a thread of its own, dozens of
them wait for each other at every call of the system.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from daemon.doors.hand_in import check_rights, plain_submission
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs.found import FoundJobs
from daemon.doors.http.jobs.wanted import check_wanted
from daemon.doors.submission import HandedIn, Submission, WrittenJob, place_jobs
from daemon.system.mount_guard import kept_mounted

#: While one group waits for the disk, another one is checked.
THREADS: Final = 2
#: Most jobs of a group: the first waits for the check of the last.
MOST: Final = 32


class PlainJob(NamedTuple):
    """A job that brings no file, has no idempotency key, and is not counted for a key's limits.

    Attributes:
        manifest: its keys.
        caller: who hands it in.
        name: what its results are to be called, as the caller says; None: a new name.
    """

    manifest: Mapping[str, Any]
    caller: Caller
    name: str | None


class _Waiting(NamedTuple):
    job: PlainJob
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[HandedIn]


class HandInGroups:
    """Hands in plain jobs for one app.

    Args:
        jobs: the installation's.
    """

    def __init__(self, jobs: FoundJobs) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._idle = THREADS
        self._threads = ThreadPoolExecutor(THREADS, "hand-in")

    async def hand_in(self, job: PlainJob) -> HandedIn:
        """Hand in a job. When this returns, it is on the disk. A caller that goes away before does not stop it.

        Raises:
            RequestError, AvatarError, OSError: as `daemon.doors.http.jobs.Jobs.hand_in`.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, loop, loop.create_future())
        with self._lock:
            self._waiting.append(waiting)
            begins = self._idle > 0
            self._idle -= begins
        if begins:
            self._threads.submit(self._work)
        return await waiting.answer

    def _work(self) -> None:
        """Hand in groups until nobody waits."""
        while True:
            with self._lock:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                if not group:
                    self._idle += 1
                    return
            try:
                done = hand_in_together(self._jobs, [one.job for one in group])
            except Exception as exc:  # the disk failed for all
                done = [exc] * len(group)
            for loop in {one.loop for one in group}:
                answers = [(one.answer, what) for one, what in zip(group, done, strict=True) if one.loop is loop]
                with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(_answer, answers)


def _answer(answers: Sequence[tuple[asyncio.Future[HandedIn], HandedIn | Exception]]) -> None:
    for answer, done in answers:
        if answer.done():
            continue  # the client has gone
        if isinstance(done, Exception):
            answer.set_exception(done)
        else:
            answer.set_result(done)


def hand_in_together(jobs: FoundJobs, wanted: Sequence[PlainJob]) -> list[HandedIn | Exception]:
    """Hand in jobs that need not know of each other.

    Returns:
        for each what was handed in, or what is wrong with it.

    Raises:
        MachineError: `inbox-missing`: the inbox is not mounted.
        AvatarError: `not-allowed`: this process lacks a right that handing in needs.
        OSError: the disk failed, so that nobody can tell which of them are there.
    """
    with kept_mounted(jobs.paths.inbox, jobs.paths.spool):
        return _hand_in_mounted(jobs, wanted)


def _hand_in_mounted(jobs: FoundJobs, wanted: Sequence[PlainJob]) -> list[HandedIn | Exception]:
    check_rights(jobs.paths)
    defaults = functools.cache(jobs.defaults.read)
    results: list[HandedIn | Exception | None] = []
    written: list[tuple[int, Submission, WrittenJob]] = []
    for index, (manifest, caller, name) in enumerate(wanted):
        try:
            caller.check_may_submit()
            complete, checked, _, data = check_wanted(jobs, manifest, {}, caller, defaults=defaults)
            submission = plain_submission(
                complete, caller.name, paths=jobs.paths, outbox=jobs.outbox, name=name, checked=checked, data=data
            )
            job = submission.write()
            results.append(submission.hand_in() if job is None else None)
            if job is not None:
                written.append((index, submission, job))
        except Exception as exc:  # of this one alone
            results.append(exc)
    placed = place_jobs([job for *_, job in written], jobs.paths.inbox)
    for (index, submission, job), is_there in zip(written, placed, strict=True):
        try:
            if isinstance(is_there, OSError):
                raise is_there
            results[index] = job.done if is_there else submission.hand_in()  # under another name, if it may have one
        except Exception as exc:
            results[index] = exc
    told = [one for one in results if one is not None]
    for one in told:
        if isinstance(one, HandedIn):
            jobs.remember(one.job, one.name)
    return told
