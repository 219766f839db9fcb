"""Hands in jobs. Every door does it by `hand_in`, and needs only to write into the inbox; the daemon may be down.

Steps: the record of the job (`daemon/jobs/hand_in_record.py`), the files, the record with the names that the files got, and last
the manifest, by a rename. Each is durable before the next where there are files, or a key that must find its job again; else
record and manifest are flushed together, and the folder once for both, as nothing was promised of a job that was never confirmed.
What is cut short leaves no job, and litter that the daemon clears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config.paths import Paths
from daemon.doors.job_names import check_name, made_up_name
from daemon.doors.keys import KeyFile, opened_key, request_digest
from daemon.doors.row_files import ROWS, bring_files_of_rows, check_there, files_of_rows
from daemon.doors.shared_files import file_digest, usual_names
from daemon.doors.submission import HandedIn, Submission, subject_of, with_files
from daemon.errors import AvatarError, JobError, RefusedError
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.hand_in_record import MAX_BY, MAX_KEY
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.record import new_job_id
from daemon.jobs.yaml_positions import DocumentError, to_yaml
from daemon.outbox.outbox import Outbox
from daemon.system.mount_guard import kept_mounted
from daemon.system.permissions import check_right


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
    outbox: Outbox | None = None,
) -> HandedIn:
    """Hand in a job. When this returns, the job is on the disk, and is made once.

    Args:
        manifest: its keys, as in a manifest file.
        files: key of the manifest, such as `image` → the file that is brought into the inbox for it.
        by: who hands in. Believed only of the HTTP door; the daemon otherwise takes the user whose files these are.
        key: idempotency key. The same key of the same user is the same job, until retention has removed that.
        paths: the folders of the installation.
        name: what the manifest is called, and the results unless it has `output`; a new name by default.
        chosen: whether the door chose `name`; another one then does not make it another job of its key, and where it is taken
            the job gets its next version.
        defaults: those of the inbox (`daemon.intake.folder_defaults.read_defaults`), which complete the manifest.
        checked: what `check` returned for the manifest and the files; by default it is checked here.
        complete: nothing comes later: a file that the manifest names is among `files`, or lies in the inbox.
        beside: whether what rows name is brought from beside the table; not where the uploads of others lie there.
        take: `files` are flushed, lie below the inbox, and may be moved instead of copied.
        wait: whether to wait while somebody else hands in with the same key.
        admit: called before a new job is handed in, and not for one that was handed in before; what it raises ends it.
        outbox: that of `paths`, of a door that hands in often: it remembers which names there are alike.

    Raises:
        JobError: the manifest is wrong, with the manifest's own codes; `manifest-invalid`: `by` or `key` is; `file-missing`.
        AvatarError: `name-taken`; `key-reused`: the key was used for another job; `key-busy`: it is in use now;
            `key-blocked`; `not-allowed`.
        MachineError: `inbox-missing`: the inbox is not mounted.
        OSError: a file cannot be read, or the inbox not be written.
    """
    files = dict(files or {})
    _check_call(name, by, key)
    _check_files(files)
    if checked is None:
        checked = check(with_files(manifest, usual_names(files)), defaults)
    output = checked.output
    check_rights(paths)
    outbox = outbox or Outbox(paths.outbox)
    given = {*files, *checked.inherited}
    named = {field: file for field, file in checked.companions().items() if complete and field not in given}
    digests = {field: file_digest(path) for field, path in files.items()}

    def begin() -> None:
        check_there(named, paths.inbox)
        of_rows = files_of_rows(checked, files, paths.inbox) if beside and ROWS in files and not checked.base else {}
        admit()
        bring_files_of_rows(of_rows, paths.inbox)

    if not key:
        with kept_mounted(paths.inbox, paths.spool):
            begin()
            return Submission(
                dict(manifest),
                files,
                digests,
                by,
                key,
                paths,
                outbox,
                name,
                new_job_id(),
                output,
                take=take,
                chosen=chosen,
                kind=_kind_of(checked),
            ).hand_in()
    with kept_mounted(paths.inbox, paths.spool), opened_key(paths.inbox, by, key, wait=wait) as register:
        request = request_digest({**manifest, "": "" if chosen else name or ""}, digests)
        if register.request and register.request != request:
            raise RefusedError(
                "key-reused",
                f"The key {key!r} was used for another job, {register.job}.",
                "Use a new key for a new job; the same key is for handing in the same job again.",
            )
        resumed = bool(register.job)
        if not resumed:
            begin()
            stem = name or made_up_name(subject_of(manifest, files))
            register.begin(new_job_id(), stem, request)
        submission = Submission(
            dict(manifest), files, digests, by, key, paths, outbox, register.stem, register.job, output, resumed, take,
            chosen, lambda stem: register.begin(register.job, stem, request), made_up=name is None, kind=_kind_of(checked),
        )  # fmt: skip
        if register.published or submission.is_known():
            return submission.as_known()
        return _with_key(submission, register)


def plain_submission(
    manifest: Mapping[str, Any],
    by: str,
    *,
    paths: Paths,
    outbox: Outbox,
    name: str | None,
    checked: Manifest,
    data: bytes,
) -> Submission:
    """Return a job that brings no file and has no key, to be written into the inbox. Args and errors as `hand_in`, but for
    `not-allowed` (`check_rights`).

    Args:
        data: the manifest as it was checked.
    """
    _check_call(name, by, "")
    kind = _kind_of(checked)
    return Submission(
        dict(manifest), {}, {}, by, "", paths, outbox, name, new_job_id(), checked.output, data=data, kind=kind
    )


def _kind_of(checked: Manifest) -> str:
    """Return the kind of a job; empty where an earlier job may say it."""
    return "" if checked.base is not None else checked.kind


def _with_key(submission: Submission, register: KeyFile) -> HandedIn:
    try:
        done = submission.hand_in()
    except AvatarError:
        if not submission.resumed:
            register.forget()  # nothing was handed in: the key may be used with another name
        raise
    register.finish()
    return done


def check(
    manifest: dict[str, Any],
    defaults: Sequence[FolderDefaults] = (),
    wording: Wording | None = None,
    limit: int | None = None,
) -> Manifest:
    """Return the manifest as the daemon would read it.

    Args:
        defaults: those of its folder.
        wording: how the door names places and values: there is no file with lines.
        limit: most bytes that the daemon reads of it, where that is known.

    Raises:
        JobError: what is wrong with the manifest.
    """
    return check_dumped(to_yaml(manifest), defaults, wording, limit)


def check_dumped(
    data: bytes, defaults: Sequence[FolderDefaults] = (), wording: Wording | None = None, limit: int | None = None
) -> Manifest:
    """As `check`, for the manifest as it is written into the inbox."""
    if limit is not None and len(data) > limit:
        raise JobError(
            "manifest-too-large",
            f"As a manifest file the job would be larger than {limit} bytes.",
            "Shorten what it says, such as `metadata`; whoever runs avatard can raise `intake.max_manifest_bytes`.",
        )
    wording = wording or Wording()
    try:
        checked = parse_manifest(data, 1, defaults, wording.place)[0]
    except JobError as exc:
        checked = exc
    if isinstance(checked, JobError):
        told = DocumentError(checked.code, wording.tell(checked.message), wording.tell(checked.hint))
        told.key = checked.key if isinstance(checked, DocumentError) else ""
        raise told from checked
    return checked


def _check_call(name: str | None, by: str, key: str) -> None:
    if name is not None:
        check_name(name)  # `_defaults` would be no job, but hold for all
    _check_label("by", by, MAX_BY)
    _check_label("key", key, MAX_KEY)


def check_rights(paths: Paths) -> None:
    """Check that this process may hand in.

    Raises:
        AvatarError: `not-allowed`.
    """
    check_right(paths.inbox, "write")
    check_right(paths.outbox, "read")  # else which names are free cannot be told


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
