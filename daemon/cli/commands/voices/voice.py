"""`avatar voice`: which voices there are, and hearing one without the daemon."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli import outbox_view
from daemon.cli.commands.voices import profiles
from daemon.cli.commands.voices.jobs import hand_over, said_by_job
from daemon.cli.common import Shell, alias, json_option, note, show
from daemon.cli.complete import complete_engines, complete_value, complete_voices
from daemon.cli.make_job import format_of
from daemon.cli.numbers import Number
from daemon.cli.stage_process import StageProcess
from daemon.cli.voice_rows import voice_rows
from daemon.doors.hand_in import check
from daemon.doors.words import option_of, words_of
from daemon.jobs.video_files import choose_sound_format, sound_file
from daemon.wire import RunRequest

if TYPE_CHECKING:
    from stages.tts.engines.voice_list import VoiceRow


@click.group()
def voice() -> None:
    """Voices: what each engine has, how they sound, and under which licence."""


for command in profiles.COMMANDS:
    voice.add_command(command)


@voice.command("list")
@click.option("--engine", "-e", shell_complete=complete_engines, help="Only this engine's.")
@click.option(
    "--language",
    "-l",
    shell_complete=complete_value("language"),
    metavar="TAG",
    help="Only those that speak this language, such as en-GB.",
)
@json_option
@click.pass_obj
def list_(shell: Shell, engine: str | None, language: str | None, as_json: bool) -> None:
    """Every voice with its engine, what it sounds like, its licence, and whether it is installed.

    \b
    Example:
      avatar voice list --language en-GB
    """
    listed = [
        row
        for row in voice_rows(shell)
        if (engine is None or row.engine == engine) and (language is None or row.speaks(language))
    ]
    show([row.model_dump() for row in listed], as_json, lambda: _table(listed))


@voice.command()
@click.argument("name", metavar="VOICE", shell_complete=complete_voices)
@click.argument("text", required=False)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), default="speech.wav", show_default=True,
    help="The file to write: .wav, .mp3, .opus or .flac; one that is there is replaced.",
)  # fmt: skip
@click.option(
    "--language",
    "-l",
    shell_complete=complete_value("language"),
    metavar="TAG",
    help="Language of the text; default: English, or the voice's own.",
)
@click.option("--speed", type=Number("times the usual pace"), help="1 is the voice's own pace.")
@json_option
@click.pass_obj
def speak(
    shell: Shell, name: str, text: str | None, output: Path, language: str | None, speed: float | None, as_json: bool
) -> None:
    """Say TEXT with VOICE into a sound file, at once and without the daemon. TEXT may be - for standard input.

    VOICE is a name or a description such as "british female". Without TEXT it says a sample in its language. Who may not read
    the voices' files hands in a job for it, and takes the sound out of the outbox.

    \b
    Examples:
      avatar voice speak emma "Good morning." -o morning.mp3
      avatar voice speak "british female" - < speech.txt
    """
    language = language or _own_language(name, voice_rows(shell))
    text = _sample(language or "en") if text is None else words_of(text)
    wanted = {"kind": "speech", "text": text, "voice": name, "language": language, "speed": speed}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    wanted |= format_of(output, wanted)
    manifest = check(wanted, (), option_of(wanted, voice="VOICE"))
    if outbox_view.voices_closed(shell):
        said_by_job(shell, wanted, output, as_json)
        return
    with tempfile.TemporaryDirectory(prefix="avatar-voice-") as folder:
        content = manifest.model_dump(mode="json")
        request = RunRequest(job="voice", name="speech", stage="tts", dir=Path(folder), manifest=content)
        with StageProcess(shell.settings, "gpu") as process:
            answer = process.run(request)
        hand_over(Path(folder) / sound_file(f".{choose_sound_format(manifest.format)}"), output)
        timing = json.loads((Path(folder) / "timing.json").read_bytes())
    facts = answer.facts
    result = {"file": str(output), **facts, "warnings": answer.warnings, "timing": timing}

    def said() -> None:
        click.echo(f"{output}: {facts['audio_s']:.1f} s, {facts['voice']} ({facts['licence']}); {facts['why']}")
        for warning in answer.warnings:
            click.echo(f"  {warning}", err=True)

    show(result, as_json, said)


voice.add_command(alias(speak, "synthesize"))


def _own_language(name: str, rows: list[VoiceRow]) -> str | None:
    """Return the language of a voice that is a person's, or that does not speak English; None where English will do."""
    from stages.tts.engines.voice_words import read_voice_words  # loads no engine

    meant = [row for row in rows if row.is_called(name)]
    if not meant and (words := read_voice_words(name)):
        return words.language or None
    if not meant or any(row.speaks("en") and not row.profile for row in meant):
        return None
    return next(iter(meant[0].languages), None)


def _sample(language: str) -> str:
    from stages.tts.engines.plain_sentences import sentences_in  # loads no engine

    if (sentences := sentences_in(language)) is None:
        raise click.UsageError(f"There is no sample text in the language '{language}': give TEXT.")
    return sentences


def _table(rows: list[VoiceRow]) -> None:
    if not rows:
        note("There are no such voices. `avatar voice list` shows all, with their engines and languages.")
        return
    width = max(len(row.id) for row in rows)
    for row in rows:
        state = click.style("installed", fg="green") if row.installed else click.style("not here ", fg="yellow")
        click.echo(f"{row.id:{width}}  {state:9}  {row.description}; {row.licence}")
    for remedy in dict.fromkeys(f"{row.engine}: {row.lacking}. {row.remedy}" for row in rows if row.lacking):
        click.echo(remedy)
