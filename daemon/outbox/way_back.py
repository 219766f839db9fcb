"""Says what to do with a job that has ended: mend its manifest, start it again as it is, or hand it in once more."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from daemon.jobs.batch.alone import is_table
from daemon.jobs.record import Job
from daemon.jobs.untrusted import printable
from daemon.outbox.names import next_version, returned_names
from daemon.system import subfolders

#: Errors that the operator of the service can remove, so that the job runs as it was handed in.
OPERATOR_CAN_HELP = frozenset(
    {
        "voice-not-installed",
        "language-unsupported",
        "text-too-long",
        "audio-too-long",
        "image-too-large",
        "consent-missing",
    }
)

#: Errors of a file in which no line can be marked: it comes back as it was.
COMES_BACK_AS_IT_WAS = frozenset({"manifest-not-text", "manifest-empty"})

#: Errors of a table in which nothing is wrong; what they say is all that is to be done.
NOTHING_TO_MEND = frozenset({"batch-running", "report-unknown", "rows-done"})

#: Key of a manifest → how the codes of errors about it begin, where that is not the key.
_CODES = {
    "image": ("image-", "face-", "no-face", "mouth-", "several-faces"),
    "voice": ("voice-",),
    "avatar": ("avatar-", "profile-"),
}

_MEND_DEFAULTS = (
    "Your manifest is not the cause: the `_defaults.yaml` that the error names is. Whoever put it into the inbox, or may change "
    "it there, mends it."
)


def inbox_folder(job: Job) -> str:
    """Return how people call the folder of the inbox that a job came from."""
    folder = os.path.dirname(job.source)
    return f"the folder {folder} of the inbox" if folder else "the inbox"


def put_request(job: Job, op: str) -> str:
    """Return the request for an operation on a job, for people without a shell, as the end of a sentence."""
    folder, name = os.path.split(printable(job.name))
    if job.facts.row is not None:
        if not subfolders.is_looked_into(folder):
            return f"run `avatar jobs {op} {shlex.quote(job.name)}`"
        return f"put an empty file {name}.{op} into the folder {folder} of the inbox (make it, if it is not there)"
    return f"put an empty file {name}.{op} into {inbox_folder(job)}"


def returned_manifest(root: Path, job: Job) -> str | None:
    """Return the path below the outbox `root` of the manifest that was given back to its author; None where there is none."""
    if job.state not in ("failed", "cancelled") or job.error is None:
        return None
    own_first, folder = reversed(returned_names(job.name, job.id)), subfolders.split(job.name)[0]
    return next((name for name in own_first if subfolders.any_there(root, folder, (os.path.basename(name),))), None)


def how_to_mend(file: str, job: Job) -> str:
    """Return what to do with a manifest that was given back. `file`: its path below the outbox."""
    yours = f"{printable(os.path.basename(file))}, beside this job's status in the outbox, is your manifest"
    if _in_defaults(job):
        return f"{_MEND_DEFAULTS} {yours}: when that is done, move it into {inbox_folder(job)}, and it runs."
    if job.state == "cancelled":
        other_way = f", or {put_request(job, 'retry')}" if job.was_accepted else ""
        return f"{yours}. If you still want it, move it into {inbox_folder(job)}{other_way}."
    if _runs_as_it_is(job):
        return (
            f"{how_to_go_on(job)} {yours}: to change something, mend it and move it into {inbox_folder(job)} instead."
        )
    if inherited := _inherited_causes(job):
        own = ", ".join(f"`{key}`" for key in inherited)
        return (
            f"The cause is not in your manifest, but in the folder's defaults: {_come(job, inherited)}. Whoever put these into "
            f"the inbox can mend them; what your manifest says itself goes first. {yours}: write {own} in it, or have the "
            f"defaults mended, and move it into {inbox_folder(job)}: it runs again.{_after_help(job)}"
        )
    marked = (
        "as you handed it in"
        if job.error and job.error.get("code") in COMES_BACK_AS_IT_WAS
        else "with what is wrong marked in it"
    )
    return (
        f"{yours}, {marked}. Mend it, and move it into {inbox_folder(job)}: it runs again."
        f"{_of_defaults(job)}{_after_help(job)}"
    )


def how_to_go_on(job: Job) -> str:
    """Return what to do with a failed or cancelled job of which no manifest is known to have been given back."""
    if job.facts.batch is not None:
        name = printable(os.path.basename(job.name))
        return (
            f"{name}.report.csv, beside this status, says what became of each row. Rows that failed or were cancelled start "
            f"again with an empty file {name}.retry in {inbox_folder(job)}; what is to be mended in the table, mend in the "
            "report, and put that into the inbox: rows that are done are left out."
        )
    table = printable(os.path.basename(job.source))
    if job.state == "failed" and job.error is not None and job.error.get("code") in NOTHING_TO_MEND:
        return f"Nothing is to be mended in {table}. {job.error.get('hint', '')}"
    if is_table(job.source) and job.state == "failed" and not _runs_as_it_is(job):
        return f"Mend {table}, and put it into {inbox_folder(job)} again."
    if (row := job.facts.row) is not None:
        report = f"{os.path.basename(row.name)}.report.csv"
        return (
            f"It is row {row.number} of {row.name}. Mend it in {report}, beside that batch's status, and put {report} into the "
            f"inbox: rows that are done are left out. Or, if nothing is to be mended in it, put an empty file "
            f"{printable(os.path.basename(row.name))}.retry into {inbox_folder(job)}: all its rows that failed start again."
        )
    if job.state == "cancelled":
        return "Drop it again if you still want it" + (
            f", or {put_request(job, 'retry')}." if job.was_accepted else "."
        )
    if _in_defaults(job):
        return f"{_MEND_DEFAULTS} When that is done, drop the manifest again."
    if _runs_as_it_is(job):
        return f"Run `avatar jobs retry` to try it again, or {put_request(job, 'retry')}."
    return f"Correct what the error says, and drop it again.{_of_defaults(job)}{_after_help(job)}"


def how_to_release(job: Job) -> str:
    """Return what makes a held job go on."""
    way = put_request(job, "release")
    return f"It waits until it is released: {way}{'' if '`avatar jobs release' in way else ', or run `avatar jobs release`'}."


def _in_defaults(job: Job) -> bool:
    """Return whether a job failed by the defaults of its folder, so that its own manifest needs no mending."""
    return bool(job.error and job.error.get("code") == "defaults-wrong")


def _of_defaults(job: Job) -> str:
    """Return which keys that the error may be about are in files of folder defaults; empty where none is."""
    if not job.facts.inherited or job.error is None:
        return ""
    come = _come(job, _inherited_causes(job) or list(job.facts.inherited))
    return (
        f" Not from your manifest, but from the folder's defaults: {come}. What your manifest says itself goes first."
    )


def _inherited_causes(job: Job) -> list[str]:
    """Return the keys that are in files of folder defaults and that the error is about, by its code or its words."""
    if job.error is None:
        return []
    code, said = job.error.get("code", ""), f"{job.error.get('message', '')} {job.error.get('hint', '')}"
    return [
        key
        for key in job.facts.inherited
        if code.startswith(_CODES.get(key, (f"{key}-",))) or f"`{key}`" in said or _names(said, job.manifest.get(key))
    ]


def _come(job: Job, keys: Sequence[str]) -> str:
    """Return which file of folder defaults each key is from."""
    by_file: dict[str, list[str]] = {}
    for key in keys:
        by_file.setdefault(job.facts.inherited[key], []).append(f"`{key}`")
    return "; ".join(f"{', '.join(names)} from {file}" for file, names in by_file.items())


def _names(sentence: str, value: object) -> bool:
    """Return whether a sentence names a value of a manifest."""
    words = str(value)
    return isinstance(value, str | int) and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", sentence) is not None


def _runs_as_it_is(job: Job) -> bool:
    """Return whether a failed job was stopped by something outside of its manifest, so that a retry comes first."""
    return bool(job.error and job.error.get("fault") != "job" and job.was_accepted)


def _after_help(job: Job) -> str:
    if not (job.error and job.error.get("code") in OPERATOR_CAN_HELP and job.was_accepted):
        return ""
    return (
        f" Once whoever runs avatard has done what the error says, it also runs as it is: {put_request(job, 'retry')}."
    )


def why_no_retry(job: Job) -> str:
    """Return what to do in place of starting a job again that neither failed nor was cancelled."""
    if job.state == "done":
        return (
            f"To make it once more, drop {os.path.basename(job.source)} into {inbox_folder(job)} again, or use "
            "`avatar jobs rerun` or `POST /jobs/JOB/rerun`; the results then have a new name, such as "
            f"{next_version(os.path.basename(job.name))}."
        )
    return f"To let it go on, {put_request(job, 'release')}." if job.held else "It goes on by itself."
