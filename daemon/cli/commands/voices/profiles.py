"""`avatar voice clone | show | remove`: voice profiles by command. They work whether or not the daemon runs."""

from __future__ import annotations

import datetime
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.common import Shell, check_may_make, json_option, show
from daemon.cli.complete import complete_value, complete_voices
from daemon.cli.voice_rows import voice_rows
from daemon.doors.hand_in import check
from daemon.doors.words import option_of
from daemon.errors import RefusedError

if TYPE_CHECKING:
    from stages.tts.engines.voice_list import VoiceRow
    from stages.tts.profile_store import Profile, ProfileStore

_UNITS = {
    "seconds": "s", "speech_s": "s", "level_db": "dB", "noise_db": "dB", "snr_db": "dB", "pitch_hz": "Hz",
    "second_pitch_hz": "Hz",
}  # fmt: skip


@click.command()
@click.argument("name")
@click.argument("samples", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--language",
    shell_complete=complete_value("language"),
    default="en",
    show_default=True,
    help="Language of the recording.",
)
@click.option("--consent", default="", help="Who agreed that this voice is copied, when, and on what basis.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which it may be spoken with.")
@json_option
@click.pass_obj
def clone(
    shell: Shell,
    name: str,
    samples: tuple[Path, ...],
    language: str,
    consent: str,
    expires: datetime.datetime | None,
    as_json: bool,
) -> None:
    """Keep the voice of a person as NAME. SAMPLES: recordings of that person alone, together 6 to 30 s of clear speech.

    \b
    Example:
      avatar voice clone anna anna.wav --consent "Anna agreed by letter, 2026-05-02"
    """
    from stages.tts.profile_store import WORDS
    from stages.tts.profiles.create import COMMAND, ProfileRequest, make_profile

    given = {"language": language, "profile": {"consent": consent or None}}
    wanted = check({"kind": "voice", "audio": "sample.wav", **given}, (), option_of(given))
    request = ProfileRequest(
        id=WORDS.new_id(),
        name=name,
        language=wanted.language,
        consent=consent,
        expires=expires.date() if expires else None,
        source=COMMAND,
    )
    source, named = shlex.quote(str(samples[0])), shlex.quote(f"profile.name={name}")
    job = f"avatar submit --audio {source} --set kind=voice --set {named} --wait"
    check_may_make(shell.settings.paths.profiles, job)
    profile, warnings = make_profile([sample.absolute() for sample in samples], request, shell.settings)

    def text() -> None:
        click.echo(f"{profile.id}  {profile.name}")
        for warning in warnings:
            click.echo(f"  {warning}")

    show({**profile.record(), "warnings": list(warnings)}, as_json, text)


@click.command("show")
@click.argument("voice", shell_complete=complete_voices)
@json_option
@click.pass_obj
def show_(shell: Shell, voice: str, as_json: bool) -> None:
    """What is known of a voice: of a profile with its recording, or of an engine's voice. VOICE is its id or name.

    \b
    Example:
      avatar voice show anna
    """
    if (row := _engine_voice(shell, voice)) is not None:
        show(row.model_dump(), as_json, lambda: _tell_row(row))
        return
    profile = _store(shell).find_profile(voice)
    show(
        {**profile.record(), "expired": profile.expired, "folder": str(profile.folder)}, as_json, lambda: _tell(profile)
    )


@click.command()
@click.argument("voice", shell_complete=complete_voices)
@json_option
@click.pass_obj
def remove(shell: Shell, voice: str, as_json: bool) -> None:
    """Remove a voice profile, recording and all. Jobs that wait for it will fail and say so.

    \b
    Example:
      avatar voice remove anna
    """
    if (row := _engine_voice(shell, voice)) is not None:
        what = f"{row.id} is a voice of the engine {row.engine}, and no profile."
        raise RefusedError("profile-unknown", what, "Only profiles can be removed: `avatar voice clone` makes them.")
    store = _store(shell)
    profile = store.find_profile(voice)
    store.remove_profile(profile)
    show(profile.record(), as_json, lambda: click.echo(f"{profile.id}  {profile.name}: removed"))


def _engine_voice(shell: Shell, name: str) -> VoiceRow | None:
    """Return the voice of an engine that is called so; None for the name or id of a profile, or of nothing."""
    rows = [row for row in voice_rows(shell) if row.is_called(name)]
    return rows[0] if rows and not any(row.profile for row in rows) else None


def _tell_row(row: VoiceRow) -> None:
    click.echo(row.id)
    click.echo(f"  sounds    {row.description}")
    click.echo(f"  licence   {row.licence}")
    click.echo(f"  installed {'yes' if row.installed else f'no: {row.lacking}. {row.remedy}'}")


def _store(shell: Shell) -> ProfileStore:
    from stages.tts.profile_store import ProfileStore

    return ProfileStore(shell.settings.paths.profiles)


def _tell(profile: Profile) -> None:
    click.echo(f"{profile.id}  {profile.name}")
    click.echo(f"  language  {profile.language}")
    click.echo(f"  created   {profile.created}")
    click.echo(f"  consent   {profile.consent or 'nobody has written it down'}")
    click.echo(f"  expires   {profile.expires or 'never'}{'  (EXPIRED)' if profile.expired else ''}")
    click.echo(f"  folder    {profile.folder}")
    for key, value in profile.quality.items():
        click.echo(f"  {key:16} {value} {_UNITS.get(key, '')}".rstrip())


COMMANDS: tuple[click.Command, ...] = (clone, show_, remove)
