"""Request files for users without a shell: `hello.cancel`, `hello.hold`, `hello.release`, `hello.retry`.

A request file acts on the job whose result is called `hello` and that came from the same folder of the inbox; `hello.cancel`
beside a `hello.yaml` that is still in the inbox cancels that manifest. One row of a batch is meant by the path of its result:
`welcome/welcome-7.hold`. Unmatched requests wait `companion_wait_s`, because a synchronised folder receives files in any order.
A successful request shows in the job's status; a refused one is answered by a text file in the outbox.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import structlog

from daemon.control.operations import Operations, Request
from daemon.errors import AvatarError, JobError, MachineError, from_exception
from daemon.intake.admission import Admission
from daemon.intake.batches.rows_without_jobs import row_without_job
from daemon.intake.fair_queue import FairQueue, Turn, owner_lines
from daemon.intake.inbox_names import REQUEST_ENDINGS
from daemon.jobs.record import JOB_ID
from daemon.jobs.untrusted import printable
from daemon.outbox.names import clean_path, clean_stem, without_ending
from daemon.outbox.outbox import Outbox
from daemon.outbox.stored_status import owner_of
from daemon.system import fs
from daemon.system.disk_thread import DiskThread
from daemon.system.permissions import user_name
from daemon.system.safe_open import path_by_descriptor
from daemon.system.spelling import folded

log = structlog.get_logger()

_NUMBERED = re.compile(r"(.+)-v?\d+")  # a job of a file with several, or a second version
#: An unmatched request is answered after so many times `companion_wait_s`, although manifests that came before are not read yet.
LONGEST_WAIT = 3
#: Answers that are flushed together.
BATCH = 64


@dataclass
class _Looks:
    """What one turn has found, shared by all request files, so that their cost does not grow with the number of requests.

    Attributes:
        names: the request files, in their turn.
        unread_since: since when the inbox has had a manifest whose result names are not known yet, by its clock, in s.
        there: which manifests are in the inbox still.
        answers: what is to be told in the outbox, by the request file.
    """

    names: Iterator[str]
    unread_since: float
    there: dict[str, bool] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


class InboxRequests:
    """Answers the request files that the last scan of the inbox found, one of each owner in turn.

    Args:
        disk: the thread that touches files in the inbox and outbox.
    """

    def __init__(self, admission: Admission, outbox: Outbox, operations: Operations, disk: DiskThread) -> None:
        self._admission = admission
        self._outbox = outbox
        self._operations = operations
        self._disk = disk
        self._queue: FairQueue[str] = FairQueue(self._lines)
        #: When an unmatched request was first seen, by the inbox's clock, in s.
        self._since: dict[str, float] = {}
        #: The requests of the last look, and those of them that were taken away since: several turns may come between two looks.
        self._found: list[str] = []
        self._gone: set[str] = set()
        #: Requests that were answered, but may not be taken away.
        self._stuck: set[str] = set()
        #: Requests for one row of a batch.
        self._for_rows: set[str] = set()
        #: Requests that match no row of the batch whose folder they lie in, and that batch.
        self._no_row: dict[str, str] = {}
        #: Whether the last turn ended before all of them were looked at and answered.
        self.unfinished = False

    async def answer_all(self) -> None:
        """Carry out the request files found by the last scan, and remove them, as far as one turn goes. Those that match
        something go first; then the others are answered in the outbox, in a turn of their own.

        Raises:
            MachineError: the machine is at fault; the request file stays and is tried again.
        """
        self.unfinished = False
        looks = await self._disk.run(self._begin)
        try:
            while (found := await self._disk.run(self._next_match, looks)) is not None:
                await self._carry_out(*found, looks)
        finally:
            self.unfinished = self._queue.unfinished
        turn = Turn(self._admission.inbox.clock)
        while looks.answers and turn.has_room():
            turn.jobs += await self._disk.run(self._tell, looks.answers)
        self.unfinished |= bool(looks.answers)

    def _begin(self) -> _Looks:
        requests = self._admission.inbox.requests
        if requests is not self._found:
            self._found, self._gone = requests, set()
        present = set(requests) - self._gone
        self._stuck &= set(requests)  # also those that were answered since the last look
        self._for_rows &= present
        self._no_row = {name: batch for name, batch in self._no_row.items() if name in present}
        self._since = {name: since for name, since in self._since.items() if name in present}
        self._queue.keep(sorted(present - self._stuck, key=self._arrival))
        turn = Turn(self._admission.inbox.clock)
        return _Looks(self._queue.serve(turn), self._admission.unread_since())

    def _lines(self, name: str) -> tuple[Hashable, ...]:
        look = self._admission.inbox.last_look(name)
        return *owner_lines(look.uid if look else -1, name), name

    def _arrival(self, name: str) -> tuple[int, str]:
        look = self._admission.inbox.last_look(name)
        return look.ctime_ns if look else 0, name

    def _next_match(self, looks: _Looks) -> tuple[str, Request] | None:
        """Return the next request file that matches something, and its operation; None at the end of the turn."""
        for name in looks.names:
            try:
                request = self._request(name, looks)
            except JobError as exc:
                looks.answers[name] = str(exc)
            else:
                if request is not None:
                    return name, request
        return None

    async def _carry_out(self, name: str, request: Request, looks: _Looks) -> None:
        try:
            told = await self._operations.run_request(request)
        except (
            Exception
        ) as exc:  # a request that cannot be carried out is its own fault, unless the machine is at fault
            error = from_exception(exc)
            if isinstance(error, MachineError):
                raise error from exc
            if not isinstance(exc, AvatarError):
                log.exception("request failed", name=os.path.basename(name))
            looks.answers[name] = str(error)
        else:
            log.info("request file answered", name=os.path.basename(name), answer=told)
            await self._disk.run(self._end, name)

    def _end(self, name: str) -> None:
        """Remove a request file that was carried out, and earlier answers about the same job, which are outdated."""
        self._take_away(name)
        stem = os.path.splitext(os.path.basename(name))[0]
        self._outbox.withdraw_answers(
            {self._outbox.name_for(name, one) for one in (stem, without_ending(stem))}, REQUEST_ENDINGS
        )

    def _tell(self, answers: dict[str, str]) -> int:
        """Write some answers into the outbox, and remove their request files. Returns how many."""
        names = list(answers)[:BATCH]
        told = {name: self._outbox.name_for(name, os.path.basename(name)) for name in names}
        self._outbox.withdraw_answers(told.values(), [""])  # one answer to the same request is enough
        self._outbox.publish_notes([(told[name], answers[name]) for name in names])
        for name in names:
            log.info("request file answered", name=os.path.basename(name), answer=answers.pop(name))
            self._take_away(name)
        return len(names)

    def _request(self, name: str, looks: _Looks) -> Request | None:
        """Return the operation that a request file asks for; None while its job may still arrive.

        Raises:
            JobError: `job-unknown`.
        """
        folder, (stem, ending) = os.path.dirname(name), os.path.splitext(os.path.basename(name))
        op = ending[1:].lower()
        if self._job(name, stem) is None:  # people also name one of the job's files: hello.yaml.cancel
            stem = without_ending(stem)
        coming = self._coming(folder, clean_stem(stem), looks)
        if op == "cancel":
            for manifest in coming:
                above, file = os.path.split(manifest)
                if above == folder and folded(file).startswith(folded(f"{stem}.")):
                    looks.there.pop(manifest, None)
                    return {"op": op, "manifest": manifest, "by": self._by(name)}
        job = self._job(name, stem)
        if job is not None and self._admission.waiting(job) is not None:
            return {"op": op, "job": job, "by": self._by(name)}
        if coming:
            self._refuse_for_one_of_several(name, stem, op, coming)
            return None
        if job is not None:
            return {"op": op, "job": job, "by": self._by(name)}
        self._refuse_for_row_without_job(name, stem)
        now, patience = self._admission.inbox.now, self._admission.settings.intake.companion_wait_s
        since = self._since.setdefault(name, now)
        # What came later than that does not count, so that an inbox that is never at rest delays no answer.
        may_come = looks.unread_since <= since + patience
        if now - since < (patience * LONGEST_WAIT if may_come else patience):
            return None
        raise JobError(
            "job-unknown",
            f"{os.path.basename(name)}: there is no job whose result is called {stem}, and none came within {patience:.0f} s.",
            "The names of the results are those of the .json files in the outbox. Put the request file into the folder that the "
            "manifest was in; for one row of a batch, into a folder there that is called like the batch.",
        )

    def _refuse_for_one_of_several(self, request: str, stem: str, op: str, coming: list[str]) -> None:
        """Refuse a request for one job of a manifest that waits for its files, since its jobs do not exist yet.

        Raises:
            JobError: `job-waiting`.
        """
        own = self._admission.results.of(clean_stem(stem))
        waiting = next((name for name in coming if name not in own and self._admission.is_waiting(name)), None)
        if waiting is None:
            return
        file = printable(os.path.basename(waiting))
        whole = os.path.splitext(file)[0]
        every = f"For all jobs of {file}, put {whole}.{op} there. " if op != "retry" else ""
        raise JobError(
            "job-waiting",
            f"{printable(os.path.basename(request))}: {file} waits for its files, and its jobs are made when these are there.",
            f"{every}For {stem} alone, put the request there again when {stem}.json is in the outbox.",
        )

    def _refuse_for_row_without_job(self, request: str, stem: str) -> None:
        """Refuse a request for a row of a batch of which no job is made.

        Raises:
            JobError: `row-without-job`.
        """
        place = clean_path(request, stem)
        batch = self._outbox.read_head(os.path.dirname(place)) if "/" in place else None
        known = str(batch and (batch.get("job"), batch.get("state")))
        if batch is None or self._no_row.get(request) == known:  # the table is read once for each state of the batch
            return
        self._no_row[request] = known
        if (error := row_without_job(self._admission.spool, self._outbox, place)) is not None:
            self._for_rows.add(request)
            raise JobError(error.code, f"{printable(os.path.basename(request))}: {error.message}", error.hint)

    def _by(self, name: str) -> str:
        """Return who owns a request file, as far as it is known. On a share that forces a user, everybody is that user."""
        look = self._admission.inbox.last_look(name)
        return f"{user_name(look.uid)} (shared folder)" if look else "shared folder"

    def _job(self, request: str, stem: str) -> str | None:
        """Return the id of the job that a request file means. Capitals count only where two results differ in nothing else."""
        job = self._job_from_folder(request, stem)
        if job is None and (job := self._row(request, stem)) is not None:
            self._for_rows.add(request)
        return job

    def _row(self, request: str, stem: str) -> str | None:
        """Return the id of the job of a row whose result is called as the request file, folders included: it came from the
        folder of its batch, and its result lies in one that is called like the batch.
        """
        place = clean_path(request, stem)
        if "/" not in place:
            return None
        for known in dict.fromkeys((place, *self._outbox.alike(place))):
            status = self._outbox.read_status(known)
            job = owner_of(status)
            if status is not None and job is not None and status.get("row"):
                return job
        return None

    def _job_from_folder(self, request: str, stem: str) -> str | None:
        """Return the id of the job that came from the folder of a request file. Without folders in the outbox, it may have come
        from any.
        """
        if not self._outbox.has_subfolders():
            wanted = self._outbox.name_for(request, stem)
            owners = (self._outbox.owner_of(name) for name in (wanted, *self._outbox.alike(wanted)))
            return next((owner for owner in owners if owner is not None), None)
        folder = printable(os.path.dirname(request))
        # Before there were folders, every job was answered in the outbox itself, as is one whose folder refuses its files.
        places = list(dict.fromkeys((*self._outbox.places_for(request, stem), clean_stem(stem))))
        alike = [name for known in places for name in self._outbox.alike(known)]
        for place in dict.fromkeys((*places, *alike)):
            status = self._outbox.read_head(place)
            job = owner_of(status)
            if status is not None and job is not None and os.path.dirname(str(status.get("source"))) == folder:
                return job
        return None

    def _coming(self, folder: str, stem: str, looks: _Looks) -> list[str]:
        """Return manifests that are still in the inbox and may become a job of this name, for a request file in a folder."""
        results, numbered = self._admission.results, _NUMBERED.fullmatch(stem)
        names = [*results.of(stem), *(results.of(numbered[1]) if numbered else ())]
        if self._outbox.has_subfolders():
            names = [name for name in names if os.path.dirname(name) == folder]
        return [name for name in names if self._there(name, looks)]

    def _there(self, name: str, looks: _Looks) -> bool:
        if name not in looks.there:
            looks.there[name] = self._admission.inbox.at(name) is not None
        return looks.there[name]

    def _take_away(self, name: str) -> None:
        self._gone.add(name)
        try:
            with path_by_descriptor(self._admission.settings.paths.inbox, name) as path:
                fs.OPS.unlink(path)
                if name in self._for_rows:
                    self._remove_empty(os.path.dirname(name))
        except FileNotFoundError:
            return
        except OSError as exc:
            self._stuck.add(name)  # answered once is enough
            log.warning("request file cannot be removed", name=os.path.basename(name), error=str(exc))

    def _remove_empty(self, folder: str) -> None:
        """Remove the folder that was made for requests for the rows of a batch, when its last one was taken away."""
        spool, batch = self._admission.spool, self._outbox.owner_of(printable(folder))
        with contextlib.suppress(OSError, ValueError):  # the batch is gone, or unreadable
            place = spool.find_job(batch) if batch is not None and JOB_ID.fullmatch(batch) else None
            if place is not None and spool.load_job(place).facts.folder_was_there:
                return  # people have it for something else
        with contextlib.suppress(OSError), path_by_descriptor(self._admission.settings.paths.inbox, folder) as path:
            path.rmdir()  # refused where anything lies in it
