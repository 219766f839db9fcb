"""`avatar submit`: write the manifest, hand it in, and wait for the result if asked to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from daemon.cli.common import Shell, json_option, note, show
from daemon.cli.complete import complete_files, complete_voices
from daemon.cli.numbers import SECONDS
from daemon.cli.progress_view import StandstillNotes, progress_view
from daemon.config.hooks import check_notify
from daemon.doors.hand_in import Wording, check, hand_in
from daemon.doors.job_names import check_name, free_name, possible_name
from daemon.doors.manifest_files import batch_of, names_jobs, read_jobs
from daemon.doors.shared_files import usual_names
from daemon.doors.standstill import Absence, standstill
from daemon.doors.submission import HandedIn, with_files
from daemon.doors.words import option_of, with_settings, words_of
from daemon.errors import JobError, UnavailableError
from daemon.intake.folder_defaults import read_defaults
from daemon.intake.inbox_names import MANIFESTS
from daemon.jobs.defaults import FolderDefaults, merge_values
from daemon.jobs.kinds import KINDS
from daemon.jobs.manifest import COMPANIONS, Manifest
from daemon.jobs.record import FINISHED
from daemon.jobs.speech_length import check_text_length
from daemon.outbox.checked_status import checked
from daemon.outbox.names import clean_stem
from daemon.outbox.outbox import Outbox

LOOK_S = 0.2


_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each key of the manifest that names a file."""
    for key, mark in COMPANIONS.items():
        words = Manifest.model_fields[key].description if mark.option is None else mark.option
        if words:
            names = [f"--{key.replace('_', '-')}", *(f"-{letter}" for letter in mark.letter)]
            command = click.option(*names, type=_file, help=words)(command)
    return command


def hand_in_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every command that hands in a job."""
    for option in (
        click.option("--timeout", type=SECONDS, default=3600.0, show_default=True, help="Longest wait, in seconds."),
        click.option("--wait", "-w", is_flag=True, help="Show progress and wait for the result."),
        click.option("--key", help="Idempotency key: the same key again is the same job, and hands in nothing."),
        click.option(
            "--set",
            "-s",
            "pairs",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any other key of the manifest, such as fps=30 or motion.head=0.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("text", required=False, shell_complete=complete_files)
@file_options
@click.option(
    "--voice", "-v", shell_complete=complete_voices,
    help="Who speaks TEXT, by name or engine/name; see `avatar voice list`.",
)  # fmt: skip
@click.option("--name", "-n", help="Name of the result; default: from the text.")
@hand_in_options
@json_option
@click.pass_obj
def submit(
    shell: Shell,
    /,
    text: str | None,
    voice: str | None,
    name: str | None,
    pairs: tuple[str, ...],
    key: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
    **given: Path | None,
) -> None:
    """Hand in a job: TEXT or --audio, spoken by the face in --image.

    TEXT may be - for standard input, or name a file with a manifest (.yaml), whose jobs are handed in, or a table (.csv), of
    whose rows each becomes a job.

    \b
    Examples:
      avatar submit "Good morning." --image portrait.png --wait
      avatar submit hello.yaml --wait
      avatar submit people.csv --set "text=Hello {{name}}." --image portrait.png
      avatar submit --audio anna.wav --set kind=voice --name anna
    """
    files = files_of(given)
    if text is not None and names_jobs(text):
        _submit_file(
            shell, Path(text), pairs, voice, files, name, key or "", wait=wait, timeout=timeout, as_json=as_json
        )
        return
    words = None if text is None else words_of(text)
    wording = option_of({"voice": voice, "text": words, **files})
    manifest, files = manifest_of(pairs, {"voice": voice, "text": words}, files)
    defaults = read_defaults(shell.settings.paths.inbox, "job.yaml", shell.settings.intake.max_manifest_bytes)
    _check_needs(manifest, files, defaults)
    wanted = None if name is None else checked_name(name)
    hand_in_and_tell(shell, manifest, files, wanted, key or "", defaults, wording, wait=wait, timeout=timeout,
                     as_json=as_json)  # fmt: skip


def _submit_file(
    shell: Shell,
    path: Path,
    pairs: tuple[str, ...],
    voice: str | None,
    files: Mapping[str, Path],
    name: str | None,
    key: str,
    *,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Hand in the jobs of a manifest file, or a batch of a table, with what the options say in place of what is written there.

    All are checked before the first is handed in.

    Raises:
        click.UsageError: --name or --key for several jobs.
        JobError, click.exceptions.Exit: as `hand_in_and_tell`, and what is wrong with the file.
    """
    intake, paths = shell.settings.intake, shell.settings.paths
    defaults = read_defaults(paths.inbox, "job.yaml", intake.max_manifest_bytes)
    wording = option_of({"voice": voice, **files})
    values, brought = manifest_of(pairs, {"voice": voice}, files)
    if path.name.lower().endswith(MANIFESTS):
        jobs = read_jobs(path, intake, defaults, values, brought)
    else:
        jobs = [batch_of(path, values, brought)]
    if len(jobs) > 1 and (name or key):
        raise click.UsageError(f"{path.name} has {len(jobs)} jobs: --name and --key are for one.")
    for job in jobs:
        _check(shell, job.values, job.files, defaults, wording)
    stem = checked_name(name) if name else possible_name(path.stem)
    handed_in = []
    for number, job in enumerate(jobs, start=1):
        for warning in job.warnings:
            note(f"{path.name}: {warning}")
        asked = free_name(paths, stem if number == 1 else f"{stem}-{number}") if name is None else stem
        output = job.values.get("output")
        renamed = {} if output is None else {"output": free_name(paths, clean_stem(output))}
        handed_in.append(
            hand_in({**job.values, **renamed}, job.files, key=key, paths=paths, name=asked, chosen=name is None,
                    defaults=defaults, complete=True, beside=True)
        )  # fmt: skip
    _tell_of(shell, handed_in, wait=wait, timeout=timeout, as_json=as_json)


def _check(
    shell: Shell,
    manifest: Mapping[str, Any],
    files: Mapping[str, Path],
    defaults: Sequence[FolderDefaults],
    wording: Wording,
) -> None:
    named = with_files(manifest, usual_names(files))
    found = check(named, defaults, wording, shell.settings.intake.max_manifest_bytes)
    check_text_length(found, shell.settings)
    check_notify(found.notify, shell.settings.hooks)


def files_of(given: Mapping[str, Path | None]) -> dict[str, Path]:
    """Return the files that the options of `file_options` name, by their key in the manifest."""
    return {key: path for key in COMPANIONS if (path := given.get(key)) is not None}


def manifest_of(
    pairs: tuple[str, ...], given: Mapping[str, Any], files: Mapping[str, Path]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the manifest that `--set` and the options describe, without the keys that files are brought for, and these files.

    `--set image=portrait.png` brings a file that is here as `--image portrait.png` does.

    Raises:
        click.BadParameter: as `with_settings`.
    """
    manifest = with_settings(pairs, {**given, **files})
    here = {key: Path(value) for key, value in manifest.items() if key in COMPANIONS and is_file_here(key, value)}
    brought = {**here, **files}
    return {key: value for key, value in manifest.items() if key not in brought}, brought


def is_file_here(key: str, value: Any) -> bool:
    """Return whether the value of a key that may name a file names one that is here, by its ending too."""
    return isinstance(value, str) and value.lower().endswith(COMPANIONS[key].endings) and Path(value).is_file()


def hand_in_and_tell(
    shell: Shell,
    manifest: dict[str, Any],
    files: Mapping[str, Path],
    name: str | None,
    key: str,
    defaults: Sequence[FolderDefaults],
    wording: Wording,
    *,
    chosen: bool = False,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Hand in a job as `daemon.doors.hand_in.hand_in` does, and say where its status is; with `wait`, follow it to its end.

    `wording` as for `daemon.doors.hand_in.check`.

    Raises:
        AvatarError: the manifest is wrong, the name is taken, or waiting ended before the job did.
        click.exceptions.Exit: the job ended without a result.
    """
    _check(shell, manifest, files, defaults, wording)
    handed_in = hand_in(
        manifest,
        files,
        key=key,
        paths=shell.settings.paths,
        name=name,
        chosen=chosen,
        defaults=defaults,
        complete=True,
        beside=True,
    )
    _tell_of(shell, [handed_in], wait=wait, timeout=timeout, as_json=as_json)


def _tell_of(shell: Shell, jobs: Sequence[HandedIn], *, wait: bool, timeout: float, as_json: bool) -> None:
    """Say where the status of each job is; with `wait`, follow all of them to their end.

    Raises:
        AvatarError: waiting ended before a job did.
        click.exceptions.Exit: a job ended without a result.
    """
    outbox = shell.settings.paths.outbox
    places = [outbox / f"{job.name}.json" for job in jobs]
    for said in dict.fromkeys(said for job in jobs for said in job.notes):
        note(said)
    if not wait:
        told: list[dict[str, Any]] = [
            {"job": job.job, "manifest": str(job.manifest), "status": str(status)}
            for job, status in zip(jobs, places, strict=True)
        ]
        words = "\n".join(f"Handed in. Watch {status}" for status in places)
        show(told if len(told) > 1 else told[0], as_json, lambda: click.echo(words))
        if why := standstill(shell.spool.root, "waiting"):
            note(why)
        return
    finals = [
        _wait(shell, status, job.job, timeout, job.replaced, quiet=as_json)
        for job, status in zip(jobs, places, strict=True)
    ]
    if as_json:
        show(finals if len(finals) > 1 else finals[0], True, lambda: None)
    for final in () if as_json else finals:
        _tell(final, outbox)
    if any(final["state"] != "done" for final in finals):
        raise click.exceptions.Exit(1)


#: How what a kind of job needs is given here.
_OPTIONS = {
    ("text", "audio"): "Say what is to be heard: TEXT, or --audio FILE.",
    ("audio",): "Say whose voice it is: --audio FILE.",
    ("image",): "Say whose face it is: --image FILE.",
    ("image", "prompt"): "Say whose face it is: --image FILE, or describe a person: --set prompt=WORDS.",
    ("image", "avatar"): "Say whose face it is: --image FILE, or --set avatar=NAME.",
}


def checked_name(name: str) -> str:
    """Return the name of a result.

    Raises:
        click.BadParameter: it cannot be one as it stands; names one that can.
    """
    try:
        return check_name(name)
    except JobError as exc:
        raise click.BadParameter(f"{exc.message} {exc.hint}", param_hint="--name") from exc


def _check_needs(manifest: dict[str, Any], files: dict[str, Path], defaults: Sequence[FolderDefaults]) -> None:
    """See that what the kind of job needs was given, by the inbox's defaults too."""
    given: dict[str, Any] = {**manifest, **files}
    for one in reversed(defaults):
        given = merge_values(given, one.values)
    kind = KINDS.get(str(given.get("kind", "video")))  # what is no kind is refused with the rest of the manifest
    if "base" not in manifest and kind and (needs := kind.missing(given.__contains__)):
        raise click.UsageError(_OPTIONS.get(needs[0][0], f"{needs[0][1]}."))


def follow(
    shell: Shell, status: Path, job: str, timeout_s: float, before: str | None = None
) -> Iterator[dict[str, Any]]:
    """The job's status at every change, until it is finished. `before`: id of a job that failed under the same name earlier, and
    whose status is passed over. Says on standard error why nothing happens with it.

    Raises:
        AvatarError: `daemon-absent` when the daemon is gone for a while, `answer-late` when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    outbox, name = Outbox(status.parent), status.name.removesuffix(".json")
    last: dict[str, Any] | None = None
    notes, absence = StandstillNotes(), Absence(shell.may_run, job)
    while True:
        now = checked(name, outbox.read_status(name))
        if now is not None and now["job"] == before:
            now = None
        if now is not None and now != last:
            last = now
            yield now
        if now is not None and now["state"] in FINISHED:
            return
        state, next_step = ("waiting", "") if now is None else (now["state"], str(now.get("next") or ""))
        notes.tell(standstill(shell.spool.root, state, next_step))
        absence.check()
        if time.monotonic() > deadline:
            raise UnavailableError(
                "answer-late", f"The job is not finished after {timeout_s:g} s.", f"It goes on; watch {status}."
            )
        time.sleep(LOOK_S)


def _wait(shell: Shell, status: Path, job: str, timeout_s: float, before: str | None, *, quiet: bool) -> dict[str, Any]:
    final: dict[str, Any] = {}
    with progress_view(quiet=quiet) as shown:
        try:
            for final in follow(shell, status, job, timeout_s, before):
                shown(final["state"], final.get("stage"), final.get("progress") or 0.0)
        except KeyboardInterrupt:
            note(f"The job goes on, and its results come into {status.parent}. `avatar jobs cancel {job}` ends it.")
            raise
    return final


def _tell(final: dict[str, Any], outbox: Path) -> None:
    if final["state"] == "done":
        for output in final.get("outputs", []):
            click.echo(os.path.join(outbox, output["file"]))
    else:
        error = final.get("error", {})
        click.echo(f"{final['state']} ({error.get('code')}): {error.get('message')} {error.get('hint')}", err=True)
