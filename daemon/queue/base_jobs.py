"""Completes a manifest that names an earlier job as its `base`: what it does not say is as it was there, files and seeds too.

The earlier job's copies of its files are used, so that nothing needs to be in the inbox any more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.errors import JobError
from daemon.jobs.companions import copy_name
from daemon.jobs.defaults import merge_values
from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_conflicts import ConflictsError
from daemon.jobs.mistakes.unused_keys import unused_keys
from daemon.jobs.record import DRAWN, HEARD, JOB_ID, MOVED, SAID, Job, seed_of
from daemon.outbox.names import without_ending
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.system import fs

#: Who may use everybody's jobs.
OPERATOR = "root"
#: Keys of a base that are not taken over: each result has a name of its own, and whoever waits for it.
NOT_TAKEN = frozenset({"output", "notify", "stream"})
#: A job hops while its files are linked; so often that is tried.
TRIES = 5

_KEPT = (
    "A job can be named once its status is in the outbox; jobs that have ended, and their files, are kept for a time only, "
    "which whoever runs avatard sets (`retention` in config.yaml). "
)
_WAY_OUT = "Name another one, by its result or its id, or drop the whole manifest with its files and without `base`."


@dataclass(frozen=True)
class Completed:
    """A manifest that was completed by its base.

    Attributes:
        manifest: the whole, without `base`.
        base: id of the earlier job.
        name: of its result.
        files: keys whose files are the earlier job's.
        rows_folder: where that is a batch: the folder of the outbox in which the results of its rows lie.
    """

    manifest: Manifest
    base: str
    name: str
    files: tuple[str, ...]
    rows_folder: str = ""


class BaseJobs:
    """Finds the jobs that manifests are based on.

    Args:
        outbox: says by its status files which job has which name.
    """

    def __init__(self, spool: Spool, outbox: Outbox) -> None:
        self._spool = spool
        self._outbox = outbox

    def complete(self, manifest: Manifest, by: str, source: str) -> Completed:
        """Return a manifest with everything that its base says and it does not.

        Args:
            manifest: gives `base`.
            by: who handed it in.
            source: its path in the inbox.

        Raises:
            JobError: `base-not-found`; `manifest-invalid`: the two do not go together.
        """
        base = self._find(manifest.base or "", by, source)
        given = {
            key: value
            for key, value in manifest.model_dump(mode="json", exclude_unset=True).items()
            if value is not None and key != "base"
        }
        try:
            whole = Manifest.model_validate(merge_values(given, _values(base)))
        except ValidationError as exc:
            raise _mismatch(exc, base.name) from exc
        unused = unused_keys(given, whole)
        files = tuple(key for key in whole.companions() if key not in given)
        return Completed(
            whole.with_warnings([*manifest.warnings, *unused]),
            base.id,
            base.name,
            files,
            base.facts.rows_folder or base.name,
        )

    def may_name(self, job_id: str, by: str, source: str) -> bool:
        """Return whether somebody may name a job as `base`. Arguments: as for `complete`."""
        try:
            return self._find(job_id, by, source).id == job_id
        except JobError:
            return False

    def link_file(self, completed: Completed, key: str, target: Path) -> None:
        """Give a job a file of its base: another name in the spool, or a copy where the file can have no other name.

        Args:
            key: of the manifest.
            target: the file in the new job's folder.

        Raises:
            JobError: `base-not-found`: it is gone.
        """
        for _ in range(TRIES):
            place = self._spool.find_job(completed.base)
            if place is None:
                break
            try:
                fd = os.open(place / copy_name(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fs.link_or_copy(fd, target)
            finally:
                os.close(fd)
            return
        raise _not_found(f"The file in `{key}` of {completed.name} is not kept any more.")

    def link_artifacts(self, completed: Completed, folder: Path) -> None:
        """Give a job what its base has made, as far as it is there: spoken pieces, words of a recording, motion, the video.

        The stages find out what of it fits, and make the rest.

        Args:
            folder: of the new job.
        """
        if "tts" not in completed.manifest.stages or (place := self._spool.find_job(completed.base)) is None:
            return
        kept = {"tts": (SAID, HEARD), "lipsync": tuple(reversed(MOVED)), "encode": (DRAWN,)}
        for name in (name for stage, names in kept.items() if stage in completed.manifest.stages for name in names):
            with contextlib.suppress(OSError):
                _link_all(place / name, folder / name)

    def _find(self, wanted: str, by: str, source: str) -> Job:
        for job_id in self._ids(wanted, source):
            place = self._spool.find_job(job_id)
            if place is None:
                continue
            try:
                job = self._spool.load_job(place)
            except ValueError:
                continue
            if not _may_use(job, by, source):
                continue
            if not job.was_accepted:
                what = f"`base` names {job.name}, which was refused before it was taken in, so that nothing of it is there."
                raise JobError("base-not-found", what, _WAY_OUT)
            return job
        raise _not_found(f"`base` names {wanted}, and no job of yours of that name or id is kept.")

    def _ids(self, wanted: str, source: str) -> Iterator[str]:
        """Yield ids of jobs that may be meant: by the name of a result in the manifest's own folder, then in the outbox."""
        if JOB_ID.fullmatch(wanted):
            yield wanted
            return
        for name in dict.fromkeys((wanted, without_ending(wanted))):
            folder = os.path.dirname(self._outbox.name_for(source, "job"))
            for path in dict.fromkeys((os.path.join(folder, name), name)):
                owner = self._outbox.owner_of(path)
                if owner is not None and JOB_ID.fullmatch(owner):
                    yield owner


def _may_use(base: Job, by: str, source: str) -> bool:
    """Return whether a job may be taken up again: by who handed it in, from the same folder at the top of the inbox or from the
    inbox itself. Where several people share one user, such a folder is a person's own.
    """
    folder, old = _top_folder(source), _top_folder(base.source)
    return by == OPERATOR or (base.by == by and folder in ("", old))


def _top_folder(source: str) -> str:
    return source.split("/")[0] if "/" in source else ""


def _values(base: Job) -> dict[str, Any]:
    """Return what a job's manifest and its folder said, and the seeds that followed from its id."""
    everything: Mapping[str, Any] = base.manifest
    given = base.facts.given or list(everything)
    values = {key: everything[key] for key in given if everything.get(key) is not None and key not in NOT_TAKEN}
    if "lipsync" in base.stages:
        seed = (everything.get("motion") or {}).get("seed")
        values["motion"] = {**values.get("motion", {}), "seed": seed_of(base.id) if seed is None else seed}
    if "generate" in base.stages:
        values.setdefault("seed", seed_of(base.id))
    return values


def _mismatch(exc: ValidationError, name: str) -> JobError:
    cause = exc.errors()[0].get("ctx", {}).get("error")
    found = cause.conflicts[0] if isinstance(cause, ConflictsError) else None
    what = found.message if found else exc.errors()[0]["msg"].removeprefix("Value error, ")
    hint = found.hint if found and found.hint else "Give the key in the manifest, so that that of the base is not used."
    return JobError("manifest-invalid", f"The manifest does not go together with its base, {name}: {what}.", hint)


def _not_found(message: str) -> JobError:
    return JobError("base-not-found", message, _KEPT + _WAY_OUT)


def _link_all(source: Path, target: Path) -> None:
    """Link a file, or all files of a folder but those that are being written."""
    if source.is_dir():
        target.mkdir()
        for path in source.glob("[!.]*"):
            fs.link_path(path, target / path.name)
    elif source.exists():
        fs.link_path(source, target)
