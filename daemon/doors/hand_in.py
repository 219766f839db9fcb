"""Hands in jobs. Every door does it by `hand_in`, and needs only to write into the inbox; the daemon may be down.

Steps: the record of the job (`daemon/jobs/hand_in_record.py`), the files, the record with the names that the files got, and last
the manifest, by a rename. Each is durable before the next where there are files, or a key that must find its job again; else
record and manifest are flushed together, and the folder once for both, as nothing was promised of a job that was never confirmed.
What is cut short leaves no job, and litter that the daemon clears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from daemon.config.paths import Paths
from daemon.doors.job_names import check_name, made_up_name
from daemon.doors.keys import KeyFile, opened_key, request_digest
from daemon.doors.row_files import ROWS, bring_files_of_rows, check_there, files_of_rows
from daemon.doors.shared_files import (
    file_digest,
    replace_readable,
    share,
    temporary_name,
    usual_name,
    usual_names,
    write_readable,
)
from daemon.errors import AvatarError, JobError
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.hand_in_record import MAX_BY, MAX_KEY, HandInRecord, digest_of, record_name
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.record import new_job_id
from daemon.jobs.yaml_positions import DocumentError
from daemon.outbox.names import clean_stem
from daemon.outbox.outbox import Outbox
from daemon.system import fs
from daemon.system.permissions import check_right

#: Names that are tried for a manifest whose caller names none.
TRIES = 5


@dataclass(frozen=True)
class Wording:
    """How a door speaks of a manifest that nobody wrote as a file. `where`: what it says of each place."""

    where: str = "in the job"

    def place(self, path: tuple[str | int, ...]) -> str:
        """Return where the value at a path comes from, such as `--set fps`."""
        return self.where

    def tell(self, sentences: str) -> str:
        """Return sentences of an error in the words of this door."""
        return sentences


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
    """

    job: str
    name: str
    manifest: Path
    again: bool = False
    notes: tuple[str, ...] = ()
    replaced: str | None = None


def submit_job(
    manifest: Mapping[str, Any], files: Mapping[str, Path], by: str, key: str, *, paths: Paths, name: str | None = None
) -> str:
    """Hand in a job and return its id; see `hand_in`."""
    return hand_in(manifest, files, by, key, paths=paths, name=name).job


def hand_in(
    manifest: Mapping[str, Any],
    files: Mapping[str, Path] | None = None,
    by: str = "",
    key: str = "",
    *,
    paths: Paths,
    name: str | None = None,
    chosen: bool = False,
    defaults: Sequence[FolderDefaults] = (),
    checked: Manifest | None = None,
    complete: bool = False,
    beside: bool = False,
    take: bool = False,
    wait: bool = True,
    admit: Callable[[], None] = lambda: None,
) -> HandedIn:
    """Hand in a job. When this returns, the job is on the disk, and is made once.

    Args:
        manifest: its keys, as in a manifest file.
        files: key of the manifest, such as `image` → the file that is brought into the inbox for it.
        by: who hands in. Believed only of the HTTP door; the daemon otherwise takes the user whose files these are.
        key: idempotency key. The same key of the same user is the same job, until retention has removed that.
        paths: the folders of the installation.
        name: what the manifest is called, and the results unless it has `output`; a new name by default.
        chosen: whether the door chose `name`; another one then does not make it another job of its key.
        defaults: those of the inbox (`daemon.intake.folder_defaults.read_defaults`), which complete the manifest.
        checked: what `check` returned for the manifest and the files; by default it is checked here.
        complete: nothing comes later: a file that the manifest names is among `files`, or lies in the inbox.
        beside: whether what rows name is brought from beside the table; not where the uploads of others lie there.
        take: `files` are flushed, lie below the inbox, and may be moved instead of copied.
        wait: whether to wait while somebody else hands in with the same key.
        admit: called before a new job is handed in, and not for one that was handed in before; what it raises ends it.

    Raises:
        JobError: the manifest is wrong, with the manifest's own codes; `manifest-invalid`: `by` or `key` is; `file-missing`.
        AvatarError: `name-taken`; `key-reused`: the key was used for another job; `key-busy`: it is in use now;
            `key-blocked`; `not-allowed`.
        OSError: a file cannot be read, or the inbox not be written.
    """
    files = dict(files or {})
    if name is not None:
        check_name(name)  # `_defaults` would be no job, but hold for all
    _check_label("by", by, MAX_BY)
    _check_label("key", key, MAX_KEY)
    _check_files(files)
    if checked is None:
        checked = check(with_files(manifest, usual_names(files)), defaults)
    output = checked.output
    check_right(paths.inbox, "write")
    check_right(paths.outbox, "read")  # else which names are free cannot be told
    given = {*files, *checked.inherited}
    named = {field: file for field, file in checked.companions().items() if complete and field not in given}
    digests = {field: file_digest(path) for field, path in files.items()}

    def begin() -> None:
        check_there(named, paths.inbox)
        of_rows = files_of_rows(checked, files, paths.inbox) if beside and ROWS in files and not checked.base else {}
        admit()
        bring_files_of_rows(of_rows, paths.inbox)

    if not key:
        begin()
        return _Submission(
            dict(manifest), files, digests, by, key, paths, name, new_job_id(), output, take=take
        ).hand_in()
    with opened_key(paths.inbox, by, key, wait=wait) as register:
        request = request_digest({**manifest, "": "" if chosen else name or ""}, digests)
        if register.request and register.request != request:
            raise AvatarError(
                "key-reused",
                f"The key {key!r} was used for another job, {register.job}.",
                "Use a new key for a new job; the same key is for handing in the same job again.",
            )
        resumed = bool(register.job)
        if not resumed:
            begin()
            stem = name or made_up_name(_words(manifest, files))
            register.begin(new_job_id(), stem, request)
        submission = _Submission(
            dict(manifest), files, digests, by, key, paths, register.stem, register.job, output, resumed, take
        )
        if register.published or submission.is_known():
            return submission.as_known()
        return _with_key(submission, register)


def _with_key(submission: _Submission, register: KeyFile) -> HandedIn:
    try:
        done = submission.hand_in()
    except AvatarError:
        if not submission.resumed:
            register.forget()  # nothing was handed in: the key may be used with another name
        raise
    register.finish()
    return done


@dataclass
class _Submission:
    """One job on its way into the inbox.

    Attributes:
        digests: key of the manifest → SHA-256 of the file for it.
        output: the name that the results ask for; None: the manifest's.
        resumed: an earlier try with its key was cut short, maybe after the manifest was taken in. The daemon makes nothing of the
            manifest then, as the job has its id.
        take: the files are moved into the inbox instead of copied.
        sizes: key of the manifest → bytes of the file for it.
    """

    manifest: dict[str, Any]
    files: dict[str, Path]
    digests: dict[str, str]
    by: str
    key: str
    paths: Paths
    stem: str | None
    job: str
    output: str | None
    resumed: bool = False
    take: bool = False
    sizes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = {name: path.stat().st_size for name, path in self.files.items()}

    def hand_in(self) -> HandedIn:
        for _ in range(TRIES if self.stem is None else 1):
            stem = self.stem or made_up_name(_words(self.manifest, self.files))
            if (done := self._try(stem)) is not None:
                return done
        taken = self.stem or "Each name that was tried"
        raise AvatarError("name-taken", f"{taken} is in use already.", "Choose another name.")

    def _try(self, stem: str) -> HandedIn | None:
        """Hand in under a name; None where it is taken."""
        inbox, outbox = self.paths.inbox, Outbox(self.paths.outbox)
        result = self._result(stem)
        if not (self.resumed or outbox.is_free(result)):
            if self.stem is None and self.output is None:
                return None
            raise AvatarError("name-taken", f"{result} is in use already.", "Choose another name.")
        inbox.mkdir(parents=True, exist_ok=True)
        replaced = outbox.owner_of(result)
        names = {key: usual_name(path, key, self.digests[key]) for key, path in self.files.items()}
        contents, recorded = self._contents(stem, names), None
        notes: list[str] = []
        if self.files:
            recorded = contents
            replace_readable(inbox / record_name(self.job), recorded.record)
            notes = self._bring_files(names)
            contents = self._contents(stem, names)
        target = inbox / f"{stem}.yaml"
        if not self._place(contents, target, recorded=contents == recorded):
            fs.discard(inbox / record_name(self.job))
            return None
        return HandedIn(self.job, result, target, notes=tuple(notes), replaced=replaced)

    def _bring_files(self, names: dict[str, str]) -> list[str]:
        """Bring the files in, and set the names that they got; returns sentences on those that are not the usual ones."""
        notes = []
        for key, path in self.files.items():
            names[key], said = share(path, key, self.paths.inbox, take=self.take)
            notes += [said] if said else []
        return notes

    def _place(self, contents: _Contents, target: Path, *, recorded: bool) -> bool:
        """Put the record, unless it is there, and then the manifest into the inbox, durably; False where the name is taken.

        The two are flushed together before either has its name.
        """
        inbox = self.paths.inbox
        manifest, record = temporary_name(inbox), temporary_name(inbox)
        written = {manifest: contents.manifest} if recorded else {record: contents.record, manifest: contents.manifest}
        try:
            for path, data in written.items():
                write_readable(path, data, sync=False)
            fs.OPS.sync_all(list(written))
            if not recorded:
                fs.rename(record, inbox / record_name(self.job))
                if self.key or self.files:
                    fs.OPS.sync_dir(inbox)
            return fs.publish(manifest, target)
        finally:
            for path in written:
                fs.remove(path)

    def is_known(self) -> bool:
        """Return whether its manifest lies in the inbox or its job has a status. An earlier try may have died after that."""
        return self.resumed and (self._lies_in_inbox() or self._owner(self.stem or "") == self.job)

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

    def _owner(self, stem: str) -> str | None:
        return Outbox(self.paths.outbox).owner_of(self._result(stem))

    def as_known(self) -> HandedIn:
        """Return the job that was handed in before."""
        stem = self.stem or ""
        return HandedIn(self.job, self._result(stem), self.paths.inbox / f"{stem}.yaml", again=True)

    def _result(self, stem: str) -> str:
        return clean_stem(self.output or stem)

    def _contents(self, stem: str, names: Mapping[str, str]) -> _Contents:
        """Return what is written. `names`: those of the files."""
        data = dump(with_files(self.manifest, names))
        sizes = {shared: self.sizes[key] for key, shared in names.items()}
        record = HandInRecord(self.job, f"{stem}.yaml", digest_of(data), self.by, self.key, sizes)
        return _Contents(data, record.to_bytes())


class _Contents(NamedTuple):
    """The manifest of a job and its record, as they lie in the inbox."""

    manifest: bytes
    record: bytes


def check(
    manifest: dict[str, Any],
    defaults: Sequence[FolderDefaults] = (),
    wording: Wording | None = None,
) -> Manifest:
    """Return the manifest as the daemon would read it.

    Args:
        defaults: those of its folder.
        wording: how the door names places and values: there is no file with lines.

    Raises:
        JobError: what is wrong with the manifest.
    """
    wording = wording or Wording()
    try:
        checked = parse_manifest(dump(manifest), 1, defaults, wording.place)[0]
    except JobError as exc:
        checked = exc
    if isinstance(checked, JobError):
        told = DocumentError(checked.code, wording.tell(checked.message), wording.tell(checked.hint))
        told.key = checked.key if isinstance(checked, DocumentError) else ""
        raise told from checked
    return checked


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


def dump(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as YAML."""

    def dumped(dumper: type) -> bytes:
        text = yaml.dump(dict(manifest), Dumper=dumper, allow_unicode=True, sort_keys=False)
        return str(text).encode()

    try:
        return dumped(yaml.CSafeDumper)
    except UnicodeEncodeError:  # half a pair: only the slower one writes it, as an escape that the check refuses
        return dumped(yaml.SafeDumper)


def _words(manifest: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    path = files.get(ROWS) or next(iter(files.values()), None)
    return str(manifest.get("text") or ("" if path is None else path.stem))


def _check_label(name: str, value: str, most: int) -> None:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise JobError(
            "manifest-invalid", f"`{name}` is not a printable text of at most {most} characters.", "Use a shorter one."
        )


def _check_files(files: Mapping[str, Path]) -> None:
    for key, path in files.items():
        if key not in COMPANIONS:
            raise JobError("manifest-invalid", f"`{key}` names no file.", f"Use one of {', '.join(COMPANIONS)}.")
        if not path.is_file():
            raise JobError("file-missing", f"{path} is not a file.", "Name a file that is there and can be read.")
