"""Writes one job into the inbox: its record, the files that it brings, and its manifest, each in its durable order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.config.paths import Paths
from daemon.doors.job_names import made_up_name
from daemon.doors.reserved_names import ReservedName, reserve_name
from daemon.doors.row_files import ROWS
from daemon.doors.shared_files import replace_readable, share, temporary_name, usual_name, write_readable
from daemon.errors import RefusedError
from daemon.jobs.hand_in_record import HandInRecord, digest_of, record_name
from daemon.jobs.yaml_positions import to_yaml
from daemon.outbox.names import clean_stem, next_version
from daemon.outbox.outbox import Outbox
from daemon.system import fs

#: Names that are tried for a manifest whose caller names none.
TRIES = 5


class NameTakenError(RefusedError):
    """`name-taken`: another job has the name, or gets it.

    Args:
        name: of the results.
        key: what the caller named them by, such as `output`; empty where the door chose the name.
    """

    def __init__(self, name: str, key: str) -> None:
        super().__init__("name-taken", f"{name} is in use already.", "Choose another name.")
        self.key = key


@dataclass(frozen=True)
class HandedIn:
    """A job that was handed in.

    Attributes:
        job: its id.
        name: what its results are to be called; the status says what they are called.
        manifest: its manifest in the inbox, until the daemon takes it.
        again: the key had been used for it before, so that nothing was handed in now.
        notes: sentences for whoever handed it in.
        replaced: id of a job that failed under this name before, whose status stands there until this one has its own.
        kind: of the job; empty where only an earlier job says it.
    """

    job: str
    name: str
    manifest: Path
    again: bool = False
    notes: tuple[str, ...] = ()
    replaced: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class WrittenJob:
    """A job whose record and manifest are written into the inbox, under names that nobody takes for them, and not flushed.

    Attributes:
        done: what is returned once it is placed.
        manifest: the file that becomes `done.manifest`.
        record: the file that becomes its record; None where that is in its place.
        in_turn: the record must be durable before the manifest has its name.
        reserved: the name that somebody chose for its results; None: a random one.
    """

    done: HandedIn
    manifest: Path
    record: Path | None
    in_turn: bool
    reserved: ReservedName | None = None

    @property
    def files(self) -> list[Path]:
        """What is to be flushed before anything gets its name."""
        return [self.manifest] if self.record is None else [self.record, self.manifest]

    def publish(self) -> bool:
        """Give both their names, of which the folder is not flushed; False where the manifest's is taken."""
        inbox = self.done.manifest.parent
        if self.record is not None:
            fs.rename(self.record, inbox / record_name(self.done.job))
            if self.in_turn:
                fs.OPS.sync_dir(inbox)
        if fs.publish(self.manifest, self.done.manifest, sync=False):
            return True
        fs.discard(inbox / record_name(self.done.job))
        return False

    def give_up(self) -> None:
        """Remove what has not got its name."""
        for file in self.files:
            fs.remove(file)


def place_jobs(jobs: Sequence[WrittenJob], inbox: Path) -> list[bool | OSError]:
    """Put jobs that are written in their places, durably and all at once, so that the disk commits them together.

    Returns:
        for each whether it is there: False where the name of its manifest is taken, and the error where it could not be placed.

    Raises:
        OSError: the disk failed, so that nobody can tell which of them are there.
    """
    placed: list[bool | OSError] = []
    try:
        fs.OPS.sync_all([file for job in jobs for file in job.files])
        for job in jobs:
            try:
                placed.append(job.publish())
            except OSError as exc:
                placed.append(exc)
        fs.OPS.sync_dir(inbox)
    finally:
        for index, job in enumerate(jobs):
            if index >= len(placed) or placed[index] is not True:
                job.give_up()
            if job.reserved is not None:
                job.reserved.close()
    return placed


@dataclass
class Submission:
    """One job on its way into the inbox.

    Attributes:
        manifest: its keys, without the files.
        files: key of the manifest → the file for it.
        digests: key of the manifest → SHA-256 of the file for it.
        by, key: who hands in, and with which idempotency key.
        outbox: where its results will be.
        stem: name of the manifest without ending; None: a new one.
        job: its id.
        output: the name that the results ask for; None: the manifest's.
        resumed: an earlier try with its key was cut short, maybe after the manifest was taken in. The daemon makes nothing of the
            manifest then, as the job has its id.
        take: the files are moved into the inbox instead of copied.
        chosen: the door chose `stem`, and takes the next version where it is taken.
        renamed: called with such a version, before anything is written under it.
        made_up: `stem` has random characters.
        data: the manifest as it is written, where that is known and it names no file of `files`.
        kind: of the job; empty where only an earlier job says it.
        sizes: key of the manifest → bytes of the file for it.
    """

    manifest: dict[str, Any]
    files: dict[str, Path]
    digests: dict[str, str]
    by: str
    key: str
    paths: Paths
    outbox: Outbox
    stem: str | None
    job: str
    output: str | None
    resumed: bool = False
    take: bool = False
    chosen: bool = False
    renamed: Callable[[str], None] = lambda stem: None
    made_up: bool = False
    data: bytes | None = None
    kind: str = ""
    sizes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = {name: path.stat().st_size for name, path in self.files.items()}

    def hand_in(self) -> HandedIn:
        """Put the job into the inbox, durably.

        Raises:
            AvatarError: `name-taken`.
            OSError: the inbox cannot be written, or a file not be read.
        """
        for _ in range(TRIES if self.stem is None or self.chosen else 1):
            written = self.write()
            if written is None:
                continue
            (placed,) = place_jobs([written], self.paths.inbox)
            if isinstance(placed, OSError):
                raise placed
            if placed:
                return written.done
        raise self._taken(self.stem or "Each name that was tried")

    def write(self) -> WrittenJob | None:
        """Write the job without placing it; None where the name that the door chose for it is taken: then the next try has
        another one. Errors as `hand_in`.
        """
        stem = self.stem or made_up_name(subject_of(self.manifest, self.files))
        result = self._result(stem)
        if not os.path.isdir(self.paths.inbox):
            self.paths.inbox.mkdir(parents=True, exist_ok=True)
        if self.output is None and (self.stem is None or self.made_up):
            # Of a name with random characters only the status is looked for: each of the other looks, one for each ending of
            # results, costs as much.
            is_free = self.resumed or not self.outbox.has_status(result)
            return self._write(stem, result, None, None) if is_free else None
        reserved = reserve_name(self.paths.inbox, result, self.job)
        if reserved is not None:
            with contextlib.ExitStack() as at_end:
                at_end.callback(reserved.close)
                if self._may_have(result):
                    written = self._write(stem, result, reserved, self.outbox.owner_of(result))
                    at_end.pop_all()
                    return written
        if not self.chosen or self.output is not None or self.resumed:
            raise self._taken(result)
        self.stem = next_version(stem)
        self.renamed(self.stem)
        return None

    def _write(self, stem: str, result: str, reserved: ReservedName | None, replaced: str | None) -> WrittenJob:
        inbox = self.paths.inbox
        names = {key: usual_name(path, key, self.digests[key]) for key, path in self.files.items()}
        data, record = self._contents(stem, names)
        is_recorded = False
        notes: list[str] = []
        if self.files:
            replace_readable(inbox / record_name(self.job), record)
            notes = self._bring_files(names)
            before, (data, record) = record, self._contents(stem, names)
            is_recorded = record == before
        done = HandedIn(self.job, result, inbox / f"{stem}.yaml", notes=tuple(notes), replaced=replaced, kind=self.kind)
        written = WrittenJob(
            done,
            temporary_name(inbox),
            None if is_recorded else temporary_name(inbox),
            in_turn=bool(self.key or self.files),
            reserved=reserved,
        )
        try:
            if written.record is not None:
                write_readable(written.record, record, sync=False)
            write_readable(written.manifest, data, sync=False)
        except BaseException:
            written.give_up()
            raise
        return written

    def is_known(self) -> bool:
        """Return whether its manifest lies in the inbox or its job has a status. An earlier try may have died after that."""
        return self.resumed and (
            self._lies_in_inbox() or self.outbox.owner_of(self._result(self.stem or "")) == self.job
        )

    def as_known(self) -> HandedIn:
        """Return the job that was handed in before."""
        stem = self.stem or ""
        return HandedIn(self.job, self._result(stem), self.paths.inbox / f"{stem}.yaml", again=True, kind=self.kind)

    def _may_have(self, result: str) -> bool:
        """Return whether the results may have a name that was chosen."""
        return self.resumed or (
            self.outbox.is_free(result) and not os.path.lexists(self.paths.inbox / f"{self.stem}.yaml")
        )

    def _taken(self, name: str) -> NameTakenError:
        return NameTakenError(
            name, "output" if self.output is not None else "" if self.stem is None or self.made_up else "name"
        )

    def _bring_files(self, names: dict[str, str]) -> list[str]:
        """Bring the files in, and set the names that they got; returns sentences on those that are not the usual ones."""
        notes = []
        for key, path in self.files.items():
            names[key], said = share(path, key, self.paths.inbox, take=self.take)
            notes += [said] if said else []
        return notes

    def _lies_in_inbox(self) -> bool:
        """Return whether the manifest of its name in the inbox is its own: another job's may wait there under that name."""
        record, manifest = self.paths.inbox / record_name(self.job), self.paths.inbox / f"{self.stem}.yaml"
        try:
            return (
                manifest.is_file()
                and record.is_file()
                and HandInRecord.from_bytes(record.read_bytes()).sha256 == digest_of(manifest.read_bytes())
            )
        except (OSError, ValueError):
            return False

    def _result(self, stem: str) -> str:
        return clean_stem(self.output or stem)

    def _contents(self, stem: str, names: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return the content of the manifest and of the record. `names`: those of the files."""
        data = self.data or to_yaml(with_files(self.manifest, names))
        sizes = {shared: self.sizes[key] for key, shared in names.items()}
        record = HandInRecord(self.job, f"{stem}.yaml", digest_of(data), self.by, self.key, sizes, self.kind)
        return data, record.to_bytes()


def with_files(manifest: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a manifest that names files. Those of a batch are its rows': its template names them, beside its own table.

    Args:
        names: key of the manifest → name of the file in the inbox.
    """
    if manifest.get("kind") != "batch":
        return {**manifest, **names}
    own = {key: name for key, name in names.items() if key == ROWS}
    others = {key: name for key, name in names.items() if key != ROWS}
    template = manifest.get("template")
    if not others or not (template is None or isinstance(template, Mapping)):
        return {**manifest, **names}
    return {**manifest, **own, "template": {**(template or {}), **others}}


def subject_of(manifest: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """Return what a job is about, for a name: its text, or the name of its table or first file."""
    path = files.get(ROWS) or next(iter(files.values()), None)
    return str(manifest.get("text") or ("" if path is None else path.stem))
