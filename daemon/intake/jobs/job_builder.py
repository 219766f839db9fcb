"""Makes jobs in the spool of claimed manifests, each once, and acknowledges them in the outbox.

Each job is built in `spool/tmp`, published by one rename, and then acknowledged by its status. After a crash in between the
same is done once more: ids follow from the claim's, so that no job is made twice.

Every step is taken for a whole batch before it is flushed: a burst costs a few flushes for each batch, not for each job.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.config.hooks import check_notify
from daemon.errors import AvatarError, JobError, Postponed
from daemon.events import Events
from daemon.intake.batches.earlier_batches import EarlierBatches, unknown_report
from daemon.intake.batches.input_file import write_input
from daemon.intake.companion_names import opened_companion, with_missing_files
from daemon.intake.drop import Look
from daemon.intake.fair_queue import Turn
from daemon.intake.inbox_names import DEFAULTS, REQUEST_ENDINGS, resembles_defaults
from daemon.intake.jobs.avatar_copies import AvatarCopies
from daemon.intake.jobs.claimed import WITHDRAWN, Claimed, NextTurn, Unsettled
from daemon.intake.jobs.companion_files import CompanionFiles
from daemon.intake.jobs.file_facts import FileFacts
from daemon.intake.jobs.new_records import Build, NewRecords, describe
from daemon.jobs.batch.alone import batch_of_report
from daemon.jobs.companions import copy_name
from daemon.jobs.facts import SourceFile
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import FINISHED, REFUSED, Job
from daemon.jobs.speech_length import bytes_while_spoken, check_text_length
from daemon.outbox.name_choice import NameRequest
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.queue.base_jobs import BaseJobs
from daemon.queue.free_space import check_room
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.json_files import dump_json

#: Jobs that are built between two flushes.
BATCH = 100
#: What a job takes on the disk beside its copies and its record: folder, and the blocks of the small files.
JOB_BYTES = 16 * 2**10
#: Claims whose files differ by less than this are made in the order of their arrival; otherwise the smaller one goes first.
SIZE_STEP = 32 * 2**20

#: Runs a call with its arguments in the event loop.
Post = Callable[..., None]


class JobBuilder:
    """Builds the jobs of claimed manifests in the spool, and acknowledges them in the outbox.

    Args:
        facts: gives what is known of the files that manifests name.
        clock: monotonic seconds.
        post: has the event loop do something; `make` may run in another thread, the ready queue and events may not.

    Attributes:
        describe: returns the content of a new job's status file, for a job that comes behind so many others that are new too; set
            by the service, whose parts need each other.
        earlier: finds the batches of one table.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        outbox: Outbox,
        ready_queue: ReadyQueue,
        events: Events,
        facts: Callable[[], FileFacts],
        clock: Callable[[], float] = time.monotonic,
        post: Post | None = None,
    ) -> None:
        self.describe: Callable[[Job, int], dict[str, Any]] = lambda job, behind: status_of(job)
        self._settings = settings
        self._facts = facts
        self._clock = clock
        self._post = post or _at_once
        self._spool = spool
        self._outbox = outbox
        self._ready_queue = ready_queue
        self._events = events
        self._companion_files = CompanionFiles()
        self._bases = BaseJobs(spool, outbox)
        self.earlier = EarlierBatches(spool)
        self._records = NewRecords(spool, outbox)
        self._avatars = AvatarCopies(settings, self._companion_files, self._begin_copy)
        self._turn = Turn(clock)
        #: How many jobs of a claim are in the spool, where the rest is left for later turns.
        self._made: dict[str, int] = {}
        #: Ids of jobs that this process brought into the spool, but whose status could not be written yet.
        self._without_status: set[str] = set()

    def make(self, claimed: Sequence[Claimed], *, new: bool) -> tuple[list[Job], dict[str, AvatarError]]:
        """Make the jobs of claimed manifests, each once, as many as one turn may. `new`: none of them can be in the spool yet.

        Returns:
            The jobs, and for each claim of which something could not be made now, why. Such a claim is to be tried again.
        """
        self._companion_files.forget_unused()
        self._turn = Turn(self._clock)
        jobs: list[Job] = []
        postponed: dict[str, AvatarError] = {}
        builds = self._builds(sorted(claimed, key=self._order), postponed)
        while batch := list(islice(builds, BATCH)):
            jobs += self._make_batch(batch, postponed, new=new)
        for one in claimed:
            if one.claim not in postponed:
                self._made.pop(one.claim, None)
        return jobs, postponed

    def begin(self, claim: str) -> None:
        """Begin with the first job of a claim again, which may ask for other ones now."""
        self._made.pop(claim, None)

    def _order(self, claimed: Claimed) -> tuple[int, bool]:
        return self._size(claimed) // SIZE_STEP, len(claimed.items) > BATCH

    def _builds(self, claimed: Sequence[Claimed], postponed: dict[str, AvatarError]) -> Iterator[Build]:
        for one in claimed:
            for number in range(self._made.get(one.claim, 0), len(one.items)):
                if one.claim in postponed:
                    break
                yield self._records.begin(one, number)

    def _complete(self, build: Build, item: Manifest) -> Manifest:
        """Return the whole manifest of a job, by its base where it names one.

        Raises:
            JobError: what `BaseJobs.complete` raises; `report-unknown`.
        """
        if item.base is None:
            return item
        if build.claimed.table is not None:  # only a report names a base
            item = item.model_copy(update={"base": self.earlier.kept(item.base)})
        try:
            build.completed = self._bases.complete(item, build.job.by, build.job.source)
        except JobError as exc:
            if build.claimed.table is None or exc.code != "base-not-found":
                raise
            raise unknown_report(os.path.basename(build.job.source), item.base or "") from exc
        describe(build.job, build.completed.manifest)
        build.job.facts.base = build.completed.base
        if build.claimed.table is not None:
            build.job.facts.rows_folder = build.completed.rows_folder
        return build.completed.manifest

    def _earlier_batch(self, build: Build, manifest: Manifest, building: Path) -> str:
        """Return the id of the batch whose rows a new one has: that of its report, also where its manifest names no `base`, as
        those that are handed in at a door. Empty where there is none: rows of another table are others, also with a `base`.
        """
        job, found = build.job, batch_of_report(building / copy_name("rows"), manifest.rows or "")
        if found is None:
            return ""
        if build.completed is not None and (not found or build.claimed.table is not None):
            return build.completed.base
        found = self.earlier.kept(found) if found else ""
        return found if found and self._bases.may_name(found, job.by, job.source) else ""

    def _size(self, claimed: Claimed) -> int:
        """Return bytes of the files that a manifest names, each counted once."""
        manifests = [item for item in claimed.items if isinstance(item, Manifest)]
        folder = os.path.dirname(claimed.source)
        named = {file for manifest in manifests for file in manifest.named_files(folder)}
        return sum(map(self._facts().size, {self._facts().spelled(*file).name for file in named}))

    def _is_due(self, build: Build) -> bool:
        """Return whether something is left to do for a job that an earlier try may have made."""
        build.place = self._spool.find_job(build.job.id)
        if build.place is None:
            return True
        known = self._unacknowledged(build.place)
        build.job = known or build.job
        return known is not None

    def _make_batch(self, builds: Sequence[Build], postponed: dict[str, AvatarError], *, new: bool) -> list[Job]:
        """Bring jobs into the spool and acknowledge them, all flushed together."""
        made: list[Build] = []
        reached: dict[str, int] = {}
        written: list[Path] = []
        for build in builds:
            claim = build.claimed.claim
            if claim in postponed:
                continue
            if not (build.item is WITHDRAWN or self._turn.has_room()):
                postponed[claim] = NextTurn()
                continue
            if new or self._is_due(build):
                try:
                    written += self._write(build) if build.place is None else ()
                except Postponed as exc:
                    fs.remove(self._spool.tmp / build.job.id)
                    postponed[claim] = exc
                    continue
                self._turn.jobs += 1
                made.append(build)
            reached[claim] = build.number + 1
        fresh = [build for build in made if build.place is None]
        if fresh:
            self._publish(fresh, written)
        if made:
            self._acknowledge(made, {build.job.id for build in fresh})
        self._made.update(reached)
        return [build.job for build in made]

    def _publish(self, builds: Sequence[Build], written: Sequence[Path]) -> None:
        """Make the jobs' directories appear in their queues (or among the failed). `written`: what is to be flushed before."""
        fs.OPS.sync_all(written)
        for build in builds:
            self._without_status.add(build.job.id)
            build.place = self._spool.folder_of(build.job)
            fs.rename(self._spool.tmp / build.job.id, build.place)

    def _write(self, build: Build) -> list[Path]:
        """Make a job's directory in `spool/tmp`; returns what is to be flushed."""
        job, building = build.job, self._spool.tmp / build.job.id
        fs.remove(building)
        fs.OPS.mkdir(building)
        claimed, told = build.claimed, os.path.basename(job.source)
        is_free = build.item is WITHDRAWN  # one small job, which does not wait for room: it makes some
        room_for = _allow if is_free else partial(self._begin_copy, told)
        self._companion_files.write_manifest(*claimed.text(build.number), building / "manifest.yaml", room_for)
        copies: list[Path] = []
        try:
            if isinstance(build.item, JobError):
                facts, root = self._facts(), self._settings.paths.inbox
                raise with_missing_files(
                    build.item, root, os.path.dirname(claimed.source), facts.spelled, facts.resembling
                )
            if claimed.table is not None:  # first: it comes back where the job is refused
                check_room(self._settings, told, len(claimed.table))
                copies.append(building / copy_name("rows"))
                fs.OPS.write(copies[0], claimed.table, sync=False)
            manifest = self._complete(build, build.item)
            check_text_length(manifest, self._settings)
            check_notify(manifest.notify, self._settings.hooks)
            if spoken := bytes_while_spoken(manifest):
                check_room(self._settings, f"The speech of {told}", spoken)
            copies += self._copy_companions(build, manifest, building)
            if manifest.kind_of_job.makes_jobs:
                copies.append(write_input(manifest, job.source, building, self._facts(), self._settings.paths.inbox))
                if earlier := self._earlier_batch(build, manifest, building):
                    self.earlier.check_ended(earlier)
                    copies += self.earlier.write(earlier, job.id, building)
            if build.completed is not None:
                self._bases.link_artifacts(build.completed, building)
            copies += self._avatars.copy_profile(build.job, manifest, building)
            if claimed.held:
                job.state, job.held = "held", claimed.held
                job.note("held", by=claimed.held["by"], reason=claimed.held["reason"])
        except (JobError, Postponed) as exc:
            if isinstance(exc, Postponed) and not build.claimed.fails_by(exc):
                raise
            job.state, job.stage, job.finished = "cancelled" if exc is WITHDRAWN else "failed", None, time.time()
            if exc is WITHDRAWN and (by := build.claimed.cancelled_by):
                job.note("cancelled", by=by)
                exc = JobError(exc.code, f"{by} cancelled the manifest before it was taken in.", exc.hint)
            if job.state == "failed" and isinstance(exc, JobError) and resembles_defaults(told):
                name = f"If it holds the defaults of its folder, it must be called {DEFAULTS[0]}."
                exc = JobError(exc.code, exc.message, f"{exc.hint} {name}".strip())
            job.set_error(exc, REFUSED)
        job.name = self._outbox.choose_name(NameRequest(build.wanted, job.id, status_of(job)))
        if isinstance(build.item, Manifest) and build.item.kind_of_job.makes_jobs:
            job.facts.folder_was_there = (self._settings.paths.inbox / job.name).is_dir()
        record = dump_json(job.to_json())
        if not is_free:  # also for a job that fails; with the spare record and the status
            check_room(self._settings, told, JOB_BYTES + 3 * len(record))
        fs.OPS.write(building / "job.json", record, sync=False)
        return [building / "manifest.yaml", *copies, building / "job.json", building]

    def _acknowledge(self, builds: Sequence[Build], new: Set[str]) -> None:
        """Reserve the jobs' names in the outbox, which tells people that they are accepted: now that they cannot be lost.

        `new`: ids of those whose name was chosen just now; the others may have a name since an earlier try.
        """
        fs.OPS.sync_all(list({build.place.parent for build in builds if build.place}))
        chosen = {
            b.job.id: b.job.name for b in builds if b.job.id in new or self._outbox.owner_of(b.job.name) == b.job.id
        }
        requests = [
            NameRequest(b.wanted, b.job.id, self.describe(b.job, behind), chosen.get(b.job.id))
            for behind, b in enumerate(builds)
        ]
        names = self._outbox.reserve_names(requests)
        self._outbox.withdraw_answers(
            (n for b, n in zip(builds, names, strict=True) if b.job.id in new), REQUEST_ENDINGS
        )
        for build, name in zip(builds, names, strict=True):
            self._correct_name(build, name)
            self._without_status.discard(build.job.id)
            self._post(self._announce, build.job, build.place)

    def _announce(self, job: Job, place: Path) -> None:
        """Tell of a job, in the event loop. Somebody may have cancelled it since it came into the spool."""
        if job.state == "queued" and place.is_dir():
            self._ready_queue.add(job)
        self._events.job_accepted(job)
        if job.state in FINISHED:
            self._events.job_finished(job)

    def _correct_name(self, build: Build, name: str) -> None:
        """Correct the record where somebody took the name that was chosen."""
        if name != build.job.name and build.place is not None:
            build.job.name = name
            self._spool.save_job(build.job, build.place)
            fs.OPS.sync_dir(build.place)

    def _unacknowledged(self, place: Path) -> Job | None:
        """Return the job, where a crash or a full disk came between its hop into the spool and its status in the outbox."""
        try:
            job = self._spool.load_job(place)
        except ValueError:
            return None  # recovery sets it aside
        if job.id in self._without_status:
            return job
        resting = job.state in FINISHED or job.state == "held" or job.id in self._ready_queue
        return job if resting and self._outbox.owner_of(job.name) != job.id else None

    def _copy_companions(self, build: Build, manifest: Manifest, building: Path) -> list[Path]:
        """Copy the files the job names, so that exchanging them later cannot change a job that was accepted."""
        copies = []
        folder = os.path.dirname(build.claimed.source)
        for field, path in manifest.companion_paths(folder).items():
            if field == "rows" and build.claimed.table is not None:
                continue  # it is written already
            target, name = copy_name(field), os.path.basename(path)
            if build.completed is not None and field in build.completed.files:
                self._bases.link_file(build.completed, field, building / target)
                copies.append(building / target)
                continue
            found = self._facts().spelled(path, field)
            path = found.name
            if found.warning:
                build.job.manifest_warnings.append(f"{field}: {found.warning}")
            beside = manifest.inherited.get(field, "")
            with opened_companion(self._settings.paths.inbox, found, self._facts().resembling, folder, beside) as fd:
                if not build.claimed.last and (wait_s := self._facts().whole_in(path, Look.of(os.fstat(fd)))):
                    if wait_s < math.inf:
                        raise Unsettled(name, wait_s)
                    raise Postponed(
                        "file-changing", f"{name} is written to again.", "Close the program that writes it."
                    )
                limit = self._settings.intake.max_file_bytes
                room_for = partial(self._begin_copy, name)
                key = self._companion_files.copy_file(fd, building / target, limit, name, room_for)
            build.job.facts.sources[target] = SourceFile(path, list(key), round(self._facts().still_s(path), 1))
            copies.append(building / target)
        return copies

    def _begin_copy(self, name: str, size: int) -> None:
        check_room(self._settings, name, size)
        self._turn.copied += size


def _allow(_size: int) -> None:
    """Refuse nothing."""


def _at_once(call: Callable[..., object], *args: Any) -> None:
    call(*args)
