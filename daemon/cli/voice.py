"""`avatar voice`: which voices there are, and hearing one without the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from daemon import fs, logs
from daemon.child import Child, ChildDied
from daemon.cli import voice_profiles
from daemon.cli.common import Shell, json_option, show
from daemon.cli.handin import words_of
from daemon.config import Log, Settings
from daemon.errors import JobError, MachineError, UnknownError
from daemon.parse import parse

if TYPE_CHECKING:
    from stages.tts.voices import Voice

#: Longest wait for one text; a cold model and a slow machine included.
SPEAK_S = 3600.0


@click.group()
def voice() -> None:
    """Voices: what each engine has, how they sound, and under which licence."""


for command in voice_profiles.COMMANDS:
    voice.add_command(command)


@voice.command("list")
@click.option("--engine", "-e", help="Only this engine's.")
@click.option("--language", "-l", metavar="TAG", help="Only those that speak this language, such as en-GB.")
@json_option
@click.pass_obj
def list_(shell: Shell, engine: str | None, language: str | None, as_json: bool) -> None:
    """Every voice with engine, language, gender, licence, and whether it is installed."""
    from stages.tts.voices import catalogue  # only the list of voices; loads no engine

    voices = [
        one
        for one in catalogue(shell.settings)
        if (engine is None or one.engine == engine) and (language is None or _speaks(one, language))
    ]
    show([_row(one) for one in voices], as_json, lambda: _table(voices))


@voice.command()
@click.argument("name", metavar="VOICE")
@click.argument("text")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), default="speech.wav", show_default=True,
    help="The WAV file to write; one that is there is replaced.",
)  # fmt: skip
@click.option("--language", "-l", metavar="TAG", help="Language of the text; default: English, or the voice's own.")
@click.option("--speed", type=float, help="1 is the voice's own pace.")
@json_option
@click.pass_obj
def speak(
    shell: Shell, name: str, text: str, output: Path, language: str | None, speed: float | None, as_json: bool
) -> None:
    """Say TEXT with VOICE into a WAV file, at once and without the daemon. TEXT may be - for standard input."""
    language = language or _own_language(name, shell.settings)
    wanted = {"kind": "speech", "text": words_of(text), "voice": name, "language": language, "speed": speed}
    manifest = parse(yaml.safe_dump({key: value for key, value in wanted.items() if value is not None}).encode(), 1)[0]
    if isinstance(manifest, JobError):
        raise manifest
    logs.configure(Log(level="error"))  # what the child logs is for the daemon's journal
    with tempfile.TemporaryDirectory(prefix="avatar-voice-") as folder:
        request = {"job": "voice", "name": "speech", "stage": "tts", "dir": folder}
        answer = asyncio.run(_run(shell.settings, {**request, "manifest": manifest.model_dump(mode="json")}))
        try:
            _hand_over(Path(folder) / "speech.wav", output)
        except OSError as exc:
            raise MachineError("io-error", f"{output}: {exc.strerror}.", "Name a file that can be written.") from exc
        timing = json.loads((Path(folder) / "timing.json").read_bytes())
    facts = answer["facts"]
    result = {"file": str(output), **facts, "warnings": answer["warnings"], "timing": timing}

    def said() -> None:
        click.echo(f"{output}: {facts['audio_s']:.1f} s, {facts['voice']} ({facts['licence']}); {facts['why']}")
        for warning in answer["warnings"]:
            click.echo(f"  {warning}", err=True)

    show(result, as_json, said)


def _own_language(name: str, settings: Settings) -> str | None:
    """The language of a voice that is a person's, or that does not speak English; None where English will do."""
    from stages.tts.voices import catalogue

    meant = [one for one in catalogue(settings) if one.is_called(name.strip().casefold())]
    if not meant or any(one.speaks("en") and not one.own for one in meant):
        return None
    return meant[0].languages[0]


def _hand_over(sound: Path, output: Path) -> None:
    """A file is replaced whole, where its links lead; into a device or a pipe it is written, since that is not ours."""
    try:
        plain = stat.S_ISREG(output.stat().st_mode)
    except FileNotFoundError:
        plain = True
    if plain:
        with fs.artifact(Path(os.path.realpath(output))) as temporary:
            shutil.copyfile(sound, temporary)
        return
    with sound.open("rb") as source, os.fdopen(os.open(output, os.O_WRONLY | os.O_CLOEXEC), "wb") as sink:
        shutil.copyfileobj(source, sink)


async def _run(settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    """Run one stage in a child process of its own, as the daemon would."""
    child = Child("gpu", settings, lambda _: None)
    try:
        return await child.run(request, SPEAK_S, lambda _: None)
    except ChildDied as exc:
        last = f" Its last words: {exc.tail[-1]}" if exc.tail else ""
        raise UnknownError(exc.code, f"{exc.reason}{last}", "Try it again; `avatar doctor` looks at the rest.") from exc
    finally:
        await child.stop()


def _speaks(voice: Voice, language: str) -> bool:
    """A tag with a region means that region; one without, any."""
    if "-" in language:
        return language.casefold() in map(str.casefold, voice.languages)
    return voice.speaks(language)


def _row(voice: Voice) -> dict[str, Any]:
    return {
        "id": voice.id,
        "name": voice.name,
        "engine": voice.engine,
        "languages": list(voice.languages),
        "gender": voice.gender or None,
        "licence": voice.licence,
        "installed": voice.installed,
        "lacking": voice.lacking or None,
        "remedy": voice.remedy if voice.lacking else None,
    }


def _table(voices: list[Voice]) -> None:
    if not voices:
        click.echo("No such voices.")
        return
    width = max(len(voice.id) for voice in voices)
    for voice in voices:
        languages = ", ".join(voice.languages[:3]) + (", …" if len(voice.languages) > 3 else "")
        state = click.style("installed", fg="green") if voice.installed else click.style("not here ", fg="yellow")
        click.echo(f"{voice.id:{width}}  {state:9}  {languages:12}  {voice.gender or '-':6}  {voice.licence}")
    for remedy in dict.fromkeys(
        f"{voice.engine}: {voice.lacking}. {voice.remedy}" for voice in voices if voice.lacking
    ):
        click.echo(remedy)
