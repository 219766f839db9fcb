"""`avatar avatar`: avatar profiles by command. The commands work whether or not the daemon runs."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from daemon.cli.commands.avatar_detect import detect
from daemon.cli.common import Shell, check_may_make, json_option, note, show
from daemon.cli.complete import complete_avatars, complete_value, complete_voices, or_files
from daemon.doors.hand_in import check
from daemon.doors.shared_files import usual_name, usual_names
from daemon.doors.words import option_of, with_settings
from daemon.errors import JobError
from daemon.jobs.companions import PICTURE_ENDINGS, copy_name
from daemon.jobs.generated import GENERATED_SHAPES
from daemon.jobs.manifest import Manifest
from daemon.jobs.stages import DELIVER, LaneName, Stage
from daemon.profiles.avatars import AvatarProfile, AvatarStore
from daemon.profiles.profile_folders import UnusableProfileError
from daemon.system.permissions import check_right, current_user
from daemon.wire import Result, RunRequest

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_set = click.option(
    "--set", "-s", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other key, such as motion.head=0 or face=1."
)


@click.group()
def avatar() -> None:
    """Avatar profiles: portraits of people, kept under a name with framing, voice, background and motion."""


avatar.add_command(detect)


@avatar.command()
@click.argument("picture", type=_file)
@click.option("--name", "-n", required=True, help="What the avatar is called in manifests.")
@click.option(
    "--voice", "-v", shell_complete=complete_voices, help="Who speaks in its videos; see `avatar voice list`."
)
@click.option(
    "--background",
    "-b",
    shell_complete=or_files(complete_value("background")),
    help="What is behind the person: a picture file, or a word such as blur.",
)
@click.option("--aspect", shell_complete=complete_value("aspect"), help="Shape of its videos, such as 9:16.")
@click.option("--consent", help="Who agreed that this portrait is kept, when, and on what basis.")
@click.option("--expires", metavar="YYYY-MM-DD", help="Last day on which it may be used.")
@_set
@json_option
@click.pass_obj
def add(
    shell: Shell,
    picture: Path,
    name: str,
    voice: str | None,
    background: str | None,
    aspect: str | None,
    consent: str | None,
    expires: str | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Keep the portrait in PICTURE as the avatar NAME, if it can be animated.

    \b
    Example:
      avatar avatar add anna.jpg --name anna --voice emma --consent "Anna agreed by letter, 2026-05-02"
    """
    files = {"image": picture}
    if background is not None and Path(background).is_file():
        files["background"] = Path(background)
        background = None
    given = {
        "voice": voice,
        "background": background,
        "aspect": aspect,
        "profile": {"name": name, "consent": consent, "expires": expires},
        **usual_names(files),
    }
    given = {key: value for key, value in given.items() if value}
    manifest = check(with_settings(pairs, {"kind": "avatar"} | given), (), option_of(given, image="PICTURE"))
    _make(shell, manifest, files, name, as_json)


@avatar.command()
@click.argument("prompt")
@click.option("--name", "-n", required=True, help="What the avatar is called in manifests.")
@click.option("--negative", help="What the portrait should not show.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Same seed, same portrait; default: by chance.")
@click.option("--aspect", type=click.Choice(tuple(GENERATED_SHAPES)), help="Shape of the portrait and its videos.")
@click.option(
    "--voice", "-v", shell_complete=complete_voices, help="Who speaks in its videos; see `avatar voice list`."
)
@click.option("--expires", metavar="YYYY-MM-DD", help="Last day on which it may be used.")
@_set
@json_option
@click.pass_obj
def generate(
    shell: Shell,
    prompt: str,
    name: str,
    negative: str | None,
    seed: int | None,
    aspect: str | None,
    voice: str | None,
    expires: str | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Keep the avatar NAME of a person who does not exist, whose portrait is generated from PROMPT. It takes a GPU, or patience.

    The model is SDXL, whose licence (CreativeML Open RAIL++-M) restricts what may be made with it: docs/avatars.md.

    \b
    Example:
      avatar avatar generate "a smiling woman of 40 in an office" --name guide --seed 7 --aspect 9:16
    """
    given = {
        "prompt": prompt,
        "negative": negative,
        "seed": seed,
        "aspect": aspect,
        "voice": voice,
        "profile": {"name": name, "expires": expires},
    }
    manifest = check(with_settings(pairs, {"kind": "avatar"} | given), (), option_of(given, prompt="PROMPT"))
    _make(shell, manifest, {}, name, as_json)


def _make(shell: Shell, manifest: Manifest, files: dict[str, Path], name: str, as_json: bool) -> None:
    """Make a profile by the stages of its job, and show it."""
    source = "".join(f"--{key} {shlex.quote(str(path))} " for key, path in files.items())
    prompt = f"--set {shlex.quote(f'prompt={manifest.prompt}')} " if manifest.prompt else ""
    command = f"avatar submit {source}{prompt}--set kind=avatar --set {shlex.quote(f'profile.name={name}')} --wait"
    check_may_make(shell.settings_or_defaults.paths.avatars, command)
    *before, face = [stage for stage in manifest.stages if stage != DELIVER]
    job_id, warnings = f"command-{secrets.token_hex(8)}", list(manifest.warnings)
    with _stages(shell, "gpu" if before else "cpu") as stages, stages.job(manifest, files) as job:
        for stage in before:
            warnings += job.run(job_id, name, stage).warnings
        answer = job.run(job_id, name, face)
    profile = _store(shell).find_profile(answer.facts["profile"])
    warnings += answer.warnings

    def text() -> None:
        click.echo(f"{profile.id}  {profile.name}")
        if profile.generated:
            click.echo(f"  seed {profile.generated['seed']}, {profile.generated['model']}")
        for warning in warnings:
            click.echo(f"  {warning}")

    show({**profile.record(), "warnings": warnings}, as_json, text)


@avatar.command("list")
@json_option
@click.pass_obj
def list_(shell: Shell, as_json: bool) -> None:
    """Every avatar profile, also those that cannot be used.

    \b
    Examples:
      avatar avatar list
      avatar avatar list --json
    """
    store = _store(shell)
    profiles, unusable = store.all_profiles(), store.unusable_profiles()
    rows = [{**profile.record(), "expired": profile.expired} for profile in profiles]
    rows += [{"id": error.profile_id, "name": error.name, "error": error.to_dict()} for error in unusable]

    def text() -> None:
        if not rows:
            click.echo("No avatar profiles. `avatar avatar add PICTURE --name NAME` makes one.")
        width = max((len(row["name"]) for row in rows), default=0)
        for profile in profiles:
            facts = [f"{profile.face.get('width')}x{profile.face.get('height')}", profile.defaults.get("voice", "")]
            facts += ["EXPIRED"] if profile.expired else []
            click.echo(f"{profile.id}  {profile.name:{width}}  {'; '.join(filter(None, facts))}")
        for error in unusable:
            click.echo(f"{error.profile_id}  {error.name:{width}}  {error.code}: {error.message}")

    show(rows, as_json, text)


@avatar.command("show")
@click.argument("name", metavar="AVATAR", shell_complete=complete_avatars)
@json_option
@click.pass_obj
def show_(shell: Shell, name: str, as_json: bool) -> None:
    """What is known of an avatar profile. AVATAR is its id or name.

    \b
    Example:
      avatar avatar show anna
    """
    profile = _store(shell).find_profile(name)
    record = {**profile.record(), "expired": profile.expired, "folder": str(profile.folder)}
    show(record, as_json, lambda: _tell(profile))


def _tell(profile: AvatarProfile) -> None:
    click.echo(f"{profile.id}  {profile.name}{f'  ({profile.title})' if profile.title else ''}")
    click.echo(f"  created   {profile.created}{f' by {profile.by}' if profile.by else ''}")
    click.echo(f"  consent   {profile.consent or 'nobody has written it down'}")
    click.echo(f"  expires   {profile.expires or 'never'}{'  (EXPIRED)' if profile.expired else ''}")
    click.echo(f"  folder    {profile.folder}")
    if profile.generated:
        click.echo(
            f"  made by   {profile.generated['model']}, seed {profile.generated['seed']}: {profile.generated['prompt']}"
        )
    for key, value in profile.defaults.items():
        click.echo(f"  {key:9} {value}")
    for key in ("face_px", "confidence", "eyes", "width", "height"):
        click.echo(f"  {key:9} {profile.face.get(key)}")


@avatar.command()
@click.argument("name", metavar="AVATAR", shell_complete=complete_avatars)
@json_option
@click.pass_obj
def remove(shell: Shell, name: str, as_json: bool) -> None:
    """Remove an avatar profile, picture and all. Accepted jobs keep their copy; manifests that come later fail and say so.

    \b
    Example:
      avatar avatar remove anna
    """
    store = _store(shell)
    try:
        record = store.find_profile(name).record()
    except UnusableProfileError as exc:  # nothing else can be done with it
        record = {"id": exc.profile_id, "name": exc.name}
    store.remove(record["id"])
    show(record, as_json, lambda: click.echo(f"{record['id']}  {record['name']}: removed"))


@avatar.command("check")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), default="contact-sheet.jpg", show_default=True,
    help="The contact sheet to write, a JPEG; one that is there is replaced.",
)  # fmt: skip
@_set
@json_option
@click.pass_obj
def check_(shell: Shell, folder: Path, output: Path, pairs: tuple[str, ...], as_json: bool) -> None:
    """Check every picture in DIR, and write a contact sheet with the verdict under each. Exit code 1 when one is refused.

    \b
    Example:
      avatar avatar check portraits -o sheet.jpg
    """
    from stages.face.avatars.contact_sheet import Tile, write_contact_sheet  # only draws; loads no model

    pictures = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in PICTURE_ENDINGS and path.is_file()]
    if output.resolve() in (one.resolve() for one in pictures):
        pictures = [path for path in pictures if path.resolve() != output.resolve()]
        note(f"{output} is replaced and not checked.")
    if not pictures:
        raise click.UsageError(f"There are no pictures in {folder}: {', '.join(PICTURE_ENDINGS)}.")
    check_right(output.absolute().parent, "write")
    rows: list[dict[str, Any]] = []
    with _stages(shell, "cpu") as stages:
        for path in pictures:
            manifest = check(
                with_settings(pairs, {"kind": "detect", "image": usual_name(path, "image")}), (), option_of({})
            )
            row: dict[str, Any] = {"file": path.name}
            try:
                with stages.job(manifest, {"image": path}) as job:
                    answer = job.run("check", path.stem, "face")
                    verdict = json.loads((job.folder / "face.json").read_bytes())["verdict"]
                row |= {"verdict": "warning" if answer.warnings else "good", "facts": answer.facts}
                row["warnings"] = answer.warnings
                if not verdict["accepted"]:
                    raise JobError(verdict["code"], verdict["message"], verdict["hint"])
            except JobError as exc:
                row |= {"verdict": "refused", "error": exc.to_dict()}
            rows.append(row)
    tiles = [Tile(path, row["verdict"], path.name, _reason(row)) for path, row in zip(pictures, rows, strict=True)]
    write_contact_sheet(tiles, output, shell.settings_or_defaults.stages.face.max_pixels)

    def text() -> None:
        width = max(len(row["file"]) for row in rows)
        for row in rows:
            told = [row["error"]["message"]] if "error" in row else row["warnings"]
            click.echo(f"{row['file']:{width}}  {row['verdict']:8} {_reason(row):20} {' '.join(told)}".rstrip())
        click.echo(f"{output}: {len(rows)} {'picture' if len(rows) == 1 else 'pictures'}")

    show({"sheet": str(output), "pictures": rows}, as_json, text)
    if any(row["verdict"] == "refused" for row in rows):
        raise click.exceptions.Exit(1)


def _reason(row: dict[str, Any]) -> str:
    return row["error"]["code"] if "error" in row else ", ".join(row["facts"].get("cautions", ()))


@dataclass(frozen=True)
class _Job:
    """A job in a folder of its own."""

    stages: _Stages
    folder: Path
    manifest: Manifest

    def run(self, job_id: str, name: str, stage: Stage) -> Result:
        """Run one of its stages.

        Raises:
            AvatarError: what the stage raises.
        """
        request = RunRequest(
            job=job_id,
            name=name,
            stage=stage,
            dir=self.folder,
            manifest=self.manifest.model_dump(mode="json"),
            by=current_user(),
        )
        return self.stages.process.run(request)


class _Stages:
    """Runs stages for jobs of the command line."""

    def __init__(self, shell: Shell, lane: LaneName) -> None:
        from daemon.cli.stage_process import StageProcess  # imports what runs processes

        self._limit = shell.settings_or_defaults.intake.max_file_bytes
        self.process = StageProcess(shell.settings_or_defaults, lane)

    @contextlib.contextmanager
    def job(self, manifest: Manifest, files: dict[str, Path]) -> Iterator[_Job]:
        """Yield a job about files, by the manifest's keys; its folder goes with it.

        Raises:
            JobError: `file-too-large`.
        """
        with tempfile.TemporaryDirectory(prefix="avatar-face-") as folder:
            for key, path in files.items():
                if path.stat().st_size > self._limit:
                    what = f"{path} is larger than {self._limit // 2**20} MiB."
                    raise JobError("file-too-large", what, "Use a smaller file.")
                shutil.copyfile(path, Path(folder) / copy_name(key))
            yield _Job(self, Path(folder), manifest)


@contextlib.contextmanager
def _stages(shell: Shell, lane: LaneName) -> Iterator[_Stages]:
    stages = _Stages(shell, lane)
    with stages.process:
        yield stages


def _store(shell: Shell) -> AvatarStore:
    return AvatarStore(shell.settings_or_defaults.paths.avatars)
