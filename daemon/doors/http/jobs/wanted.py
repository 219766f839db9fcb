"""Checks what a request wants made: what any manifest is checked for, and what holds only for callers from afar."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from daemon.config.hooks import check_notify
from daemon.doors.hand_in import Wording, check_dumped
from daemon.doors.http.body import older_keys
from daemon.doors.http.callers import Caller
from daemon.doors.http.incoming import ROWS, batch_refused
from daemon.doors.http.jobs.found import FoundJobs
from daemon.doors.http.limits import Amount, check_manifest, check_priority, speech_s
from daemon.doors.http.problems import RequestError
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.doors.shared_files import usual_name
from daemon.doors.submission import with_files
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.speech_length import check_text_length
from daemon.jobs.yaml_positions import to_yaml

_BESIDE: Final = re.compile(r"`(\w+)` is missing: name (.+?),? next to the manifest")


class Wanted(NamedTuple):
    """What a request wants made.

    Attributes:
        manifest: as it may be handed in.
        found: as the daemon would read it.
        amount: what it takes.
        data: the manifest as it was checked, with the names that its files had for that.
    """

    manifest: dict[str, Any]
    found: Manifest
    amount: Amount
    data: bytes


def check_wanted(
    jobs: FoundJobs,
    manifest: Mapping[str, Any],
    files: Mapping[str, Path],
    caller: Caller,
    of_rows: Collection[str] = (),
    defaults: Callable[[], Sequence[FolderDefaults]] | None = None,
) -> Wanted:
    """Check a manifest.

    Args:
        jobs: those that its `base` may be among.
        files: key of the manifest → file of the request.
        of_rows: names of the files that rows bring.
        defaults: returns those of the inbox; by default they are read now.

    Raises:
        RequestError: `manifest-unknown-key`: a key of the older system; `path-refused`: a file of the server;
            `batch-refused`; `rows-wrong`; `not-allowed`; `job-unknown`: its `base` is not the caller's.
        JobError: what is wrong with it.
    """
    if remarks := older_keys(dict(manifest)):
        raise RequestError(
            "manifest-unknown-key",
            f"There is no key {remarks[0]['pointer'].removeprefix('#/')}: {remarks[0]['detail']}.",
            "docs/http.md has a table of the older names.",
            errors=remarks,
        )
    wanted = dict(manifest)
    if ROWS in wanted:
        raise batch_refused()
    given = {key: wanted[key] for key in COMPANIONS if isinstance(wanted.get(key), str)}
    _refuse_names({key: name for key, name in given.items() if "/" in name or "\\" in name})
    brought = names_brought(files)
    read = jobs.defaults.read() if defaults is None else defaults()
    data = to_yaml(with_files(wanted, brought))
    found = check_dumped(data, read, Sent("in the request"), jobs.settings.intake.max_manifest_bytes)
    makes_jobs = found.kind_of_job.makes_jobs
    if makes_jobs != (ROWS in files):  # a table that no batch names would be taken for one of its own
        raise batch_refused()
    _refuse_names({key: name for key, name in found.companions().items() if key not in {*files, *found.inherited}})
    check_text_length(found, jobs.settings)
    check_notify(found.notify, jobs.settings.hooks)
    profiles = SeenProfiles(jobs.settings, caller)
    if found.base is not None:
        if makes_jobs:
            raise batch_refused()
        _check_base(jobs, str(found.base), caller)
    if not makes_jobs:
        profiles.check(found)
        check_manifest(caller.limits, caller.name, found)
        return Wanted(wanted, found, Amount(1, speech_s(found)), data)
    from daemon.doors.http.batches.wanted_rows import check_rows

    check_priority(caller.limits, caller.name, found)
    amount = check_rows(
        found,
        files[ROWS],
        caller,
        jobs.settings,
        lambda base: _check_base(jobs, base, caller),
        profiles,
        brought,
        of_rows,
    )
    return Wanted(wanted, found, amount, data)


class Sent(Wording):
    """How errors speak to those who send a manifest: there is no folder in which a file could lie next to it."""

    def tell(self, sentences: str) -> str:
        """Return sentences with what to send in place of what to put next to the manifest."""
        return _BESIDE.sub(r"`\1` is missing: send \2 as the part `\1`", sentences)


def names_brought(files: Mapping[str, Path]) -> dict[str, str]:
    """Return names for the files of a request, by their key in the manifest. The table has its own, which people read in errors;
    the others have names of the right form that no row can know.
    """
    return {
        key: path.name if key == ROWS else usual_name(path, key, secrets.token_hex(32)) for key, path in files.items()
    }


def _check_base(jobs: FoundJobs, base: str, caller: Caller) -> None:
    """Refuse an earlier job that the caller may not see, and a batch, whose rows nobody would check again.

    Raises:
        RequestError: `job-unknown`, `batch-refused`.
    """
    if not caller.sees_all and jobs.status(base, caller).get("kind") == "batch":
        raise batch_refused()


def _refuse_names(named: Mapping[str, str]) -> None:
    """Refuse a manifest that names files of the server. `named`: key → name."""
    if named:
        key, name = next(iter(named.items()))
        raise RequestError(
            "path-refused",
            f"`{key}` names {name[:80]}, and this door takes no file of the server.",
            f"Send the file as the part `{key}` of a multipart body, or upload it first and write `upload:ID`.",
            errors=[{"pointer": f"#/{one}", "detail": "send the file itself"} for one in named],
        )
