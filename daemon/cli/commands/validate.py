"""`avatar validate FILE` and `avatar schema`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.file_checks import check_files
from daemon.config import Settings
from daemon.config.hooks import check_notify
from daemon.doors.expected_times import describe_times, expected_times
from daemon.errors import JobError, MachineError
from daemon.intake.batches.input_file import input_of
from daemon.intake.companion_names import opened_companion, with_missing_files
from daemon.intake.folder_defaults import parsed_defaults, read_defaults, read_defaults_file
from daemon.intake.inbox_names import is_defaults
from daemon.intake.jobs.avatar_copies import with_profile
from daemon.intake.scanner import InboxScanner
from daemon.jobs.batch.alone import is_table
from daemon.jobs.batch.rows import ERROR_COLUMNS, BatchRows, RowMistake
from daemon.jobs.kinds import keys_without_use
from daemon.jobs.manifest import Manifest, json_schema
from daemon.jobs.manifest_values import NewProfile
from daemon.jobs.parse import parse_manifest
from daemon.jobs.speech_length import check_text_length
from daemon.jobs.untrusted import read_manifest
from daemon.jobs.yaml_positions import to_yaml
from daemon.profiles.avatars import AvatarStore
from daemon.profiles.profile_folders import ProfileFolders

#: Wrong rows of a table that are shown for people.
SHOWN_ROWS = 20


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def validate(shell: Shell, file: Path, as_json: bool) -> None:
    """Check a manifest, its text and the files it names, or a `_defaults.yaml`, without handing it in.

    Or a table whose columns are keys of a manifest. Exit code 1 when something is wrong.

    \b
    Example:
      avatar validate hello.yaml
    """
    results = check(file, shell.settings_or_defaults, voices=shell.configured)

    def text() -> None:
        for number, result in enumerate(results, start=1):
            head = f"{file.name}, job {number}" if len(results) > 1 else file.name
            said = "good" if result["ok"] else f"{result['message']} {result['hint']}".strip()
            click.echo(f"{head}: {said}")
            if result.get("defaults"):
                click.echo(f"{head}: with the defaults of {' and '.join(result['defaults'])}")
            for key, origin in result.get("inherited", {}).items():
                click.echo(f"{head}: `{key}` is not in it, but comes from {origin}")
            if "sets" in result:
                keys = ", ".join(result["sets"]) or "nothing"
                click.echo(f"{head}: the defaults of the manifests in its folder and below; it sets {keys}")
            for warning in result.get("warnings", ()):
                click.echo(f"{head}: warning: {warning}")
            for unchecked in result.get("unchecked", ()):
                click.echo(f"{head}: not checked: {unchecked}")
            for row in result.get("wrong_rows", ())[:SHOWN_ROWS]:
                click.echo(f"{head}: {row['message']} {row['hint']}")
            if "rows" in result:
                click.echo(f"{head}: {result['rows']} row{'s' * (result['rows'] != 1)}")
            if "expected" in result:
                click.echo(f"{head}: {describe_times(result['expected'])}.")

    show(results, as_json, text)
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(1)


def check(file: Path, settings: Settings, *, voices: bool) -> list[dict[str, Any]]:
    """Return one result for each document of a manifest file. Without `voices` it is left open whether there is such a voice.

    The defaults of its folder hold, and in the inbox those of the folders above.
    """
    limit, path = settings.intake.max_manifest_bytes, file.absolute().resolve()
    inbox = settings.paths.inbox.resolve()
    root = inbox if path.is_relative_to(inbox) else path.parent
    name = str(path.relative_to(root))
    if is_defaults(path.name):
        return [_defaults_result(root, name, limit)]
    try:
        defaults = read_defaults(root, name, limit)
        alone = is_table(name) and to_yaml({"kind": "batch", "rows": path.name})
        items = parse_manifest(alone or read_manifest(root, name, limit), settings.intake.max_documents, defaults)
    except JobError as exc:
        items = [exc]
    return [_result(item, root, os.path.dirname(name), settings, voices) for item in items]


def _defaults_result(root: Path, name: str, limit: int) -> dict[str, Any]:
    """Check a file of folder defaults, which lacks what the manifests of its folder give."""
    try:
        (defaults,) = parsed_defaults([read_defaults_file(root, name, limit)])
    except JobError as exc:
        return {"ok": False, **exc.to_dict()}
    return {"ok": True, "manifest": None, "sets": sorted(defaults.values), "warnings": [], "unchecked": []}


def _result(item: Manifest | JobError, root: Path, folder: str, settings: Settings, voices: bool) -> dict[str, Any]:
    from stages.tts.checks import text_warnings  # needs neither a model nor the packages of one

    scanner, warnings = InboxScanner(root, settings), list[str]()
    files: dict[str, Path] = {}
    try:
        if isinstance(item, JobError):
            raise with_missing_files(item, root, folder, scanner.spelled, scanner.resembling)
        for key, path in item.companion_paths(folder).items():
            found = scanner.spelled(path, key)
            warnings += [f"{key}: {found.warning}"] if found.warning else []
            files[key] = root / found.name
            with opened_companion(root, found, scanner.resembling, folder, item.inherited.get(key, "")):
                pass
        check_notify(item.notify, settings.hooks)
        warnings += check_files(item, files, settings)
        if item.profile and "profile" not in keys_without_use(item.kind_of_job):
            _check_profile(item, item.profile, settings, voices)
        if item.kind_of_job.makes_jobs and item.base is None:
            return _rows_result(item, files["rows"], root, folder, scanner, settings, warnings)
        spoken, unchecked = _with_avatar(item, settings, voices)
        unchecked += _check_text(spoken, settings, voices)
        warnings += text_warnings(item, settings)
    except JobError as exc:
        inherited = {} if isinstance(item, JobError) else dict(item.inherited)
        return {"ok": False, **exc.to_dict(), **({"inherited": inherited} if inherited else {})}
    told: dict[str, Any] = {
        "ok": True,
        "manifest": item.model_dump(mode="json"),
        "defaults": list(item.defaults),
        "warnings": [*item.warnings, *warnings],
        "unchecked": [*unchecked, *_not_looked_at(item)],
    }
    return told if item.base is not None else {**told, "expected": expected_times(item, files, settings)}


def _rows_result(
    batch: Manifest,
    table: Path,
    root: Path,
    folder: str,
    scanner: InboxScanner,
    settings: Settings,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Check the rows of a batch as its first stage does.

    Raises:
        JobError: the table as a whole cannot be used.
    """
    from stages.check.rows import RowChecks

    given = input_of(batch, os.path.join(folder, "batch.yaml"), table, scanner, root)
    rows = BatchRows(batch, table, batch.inherited)
    told = [*batch.warnings, *warnings, *rows.check_columns()]
    checks, wrong, total = RowChecks(settings, given, rows), list[dict[str, Any]](), 0
    for row in rows.rows():
        total += 1
        if isinstance(found := checks.check(rows.resolve(row)), RowMistake):
            mistake = dict(zip(ERROR_COLUMNS, found.cells(""), strict=True))
            wrong.append({**mistake, "row": row.number, "line": row.line})
    result = {
        "manifest": batch.model_dump(mode="json"),
        "rows": total,
        "wrong_rows": wrong,
        "warnings": told,
        "unchecked": [],
    }
    if not wrong:
        return {"ok": True, **result}
    several = "are" if len(wrong) > 1 else "is"
    error = JobError(
        "rows-wrong", f"{len(wrong)} of {total} row{'s' * (total != 1)} {several} wrong.", "Mend the table."
    )
    return {"ok": False, **error.to_dict(), **result}


def _not_looked_at(manifest: Manifest) -> list[str]:
    """Return what only the job itself finds out."""
    if manifest.base is not None:
        return [f"what the job {manifest.base} says, on which this one is based."]
    if manifest.image is None or "face" not in manifest.kind_of_job.stages:
        return []
    return [f"whether {manifest.image} has a face that can be animated; `avatar avatar detect` says it of a picture."]


def _with_avatar(manifest: Manifest, settings: Settings, configured: bool) -> tuple[Manifest, list[str]]:
    """Return a manifest with what its avatar profile says, and what cannot be told of that from here.

    Raises:
        JobError: there is no such profile, or it cannot be used.
    """
    if manifest.avatar is None or not manifest.kind_of_job.draws or manifest.base is not None:
        return manifest, []
    unknown = [f"whether the service has an avatar profile {manifest.avatar!r}."]
    store = AvatarStore(settings.paths.avatars)
    if not configured:
        return manifest, unknown
    try:
        profile = store.find_profile(manifest.avatar)
        store.check_usable(profile, require_consent=settings.stages.face.require_consent)
        return with_profile(manifest, profile), []
    except OSError:
        return manifest, unknown


def _check_profile(manifest: Manifest, asked: NewProfile, settings: Settings, configured: bool) -> None:
    """Check what a manifest says of the profile that its job makes. Its name, where it says one: else it is the result's.

    Raises:
        JobError: it cannot be made so.
    """
    from stages.tts.profile_store import ProfileStore  # needs neither a model nor the packages of one

    ProfileFolders.check_expiry(asked.expires)
    store: ProfileFolders[Any]
    if manifest.kind_of_job.makes_avatar:
        store, is_required = AvatarStore(settings.paths.avatars), settings.stages.face.require_consent
    else:
        store, is_required = ProfileStore(settings.paths.profiles), settings.stages.tts.require_consent
    if configured and is_required and manifest.prompt is None:
        store.check_consent(asked.consent or "", asked.name or "the profile")
    if asked.name:
        with contextlib.suppress(OSError, MachineError):  # the service's folders may not be ours to read
            store.check_name(asked.name)


def _check_text(manifest: Manifest, settings: Settings, voices: bool) -> list[str]:
    """Check whether the text can be said, and by the voice it is for. Returns what cannot be told from here, as sentences.

    Raises:
        JobError: it cannot.
    """
    from stages.tts.checks import check_request, check_text  # need neither a model nor the packages of one
    from stages.tts.length_bounds import check_reachable

    if manifest.text is not None and manifest.audio is None and "tts" in manifest.kind_of_job.stages:
        check_text_length(manifest, settings)
        check_text(manifest.text, manifest.language, settings)
        check_reachable(manifest, settings)
        # What the machine lacks is `avatar doctor`'s matter; the service's folders may not be ours to read.
        with contextlib.suppress(MachineError, OSError):
            try:
                check_request(manifest, settings)
            except JobError as exc:
                if voices:
                    raise
                # The service may have other voices than this installation without a configuration.
                return [f"the service's own voices; of those that are here: {exc.message} {exc.hint}"]
    return []


@click.command()
@json_option
def schema(as_json: bool) -> None:
    """Print the JSON Schema of a manifest, for editors.

    \b
    Example:
      avatar schema > manifest.schema.json
    """
    show(json_schema(), True, lambda: None)
