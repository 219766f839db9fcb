"""`avatar pipeline run`: one video from a text and a portrait, waited for, with or without a service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.complete import complete_avatars, complete_value, complete_voices, or_files
from daemon.cli.make_job import format_of, make, result_json, tell_result
from daemon.cli.numbers import SECONDS
from daemon.doors.words import option_of, with_settings, words_of
from daemon.jobs.companions import PICTURE_ENDINGS

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def pipeline() -> None:
    """Make a video and wait for it, with or without a service."""


@pipeline.command()
@click.argument("text", required=False)
@click.option(
    "--voice", "-v", shell_complete=complete_voices,
    help="Who speaks TEXT, by name or engine/name; see `avatar voice list`.",
)  # fmt: skip
@click.option("--audio", "-a", type=_file, help="A recording in place of a voice; TEXT is then what is said in it.")
@click.option("--avatar", "-i", required=True, metavar="PICTURE|NAME", shell_complete=or_files(complete_avatars),
              help="A picture file, or an avatar profile.")  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
    help="Its ending names the format. Default: avatar.mp4.",
)  # fmt: skip
@click.option("--quality", "-q", shell_complete=complete_value("quality"), help="draft, low, medium or high.")
@click.option("--fps", shell_complete=complete_value("fps"), help="Frames per second.")
@click.option("--set", "-s", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other key of the manifest.")
@click.option("--timeout", type=SECONDS, help="Longest wait, in seconds; default: without end.")
@json_option
@click.pass_obj
def run(
    shell: Shell,
    text: str | None,
    voice: str | None,
    audio: Path | None,
    avatar: str,
    output: Path | None,
    quality: str | None,
    fps: str | None,
    pairs: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
) -> None:
    """Make a video of TEXT (`-`: standard input), spoken by the face in --avatar, and write it to --output.

    Where the service of this configuration runs, the job is handed in to it. Else the same stages run here, in a folder of their
    own.
    Ctrl-C ends the work. What is called again in the same way goes on where it was; a service begins anew.

    \b
    Examples:
      avatar pipeline run "Hello there." --avatar portrait.png --output hello.mp4
      avatar pipeline run - --avatar anna --set captions=srt < speech.txt
    """
    if text is None and audio is None:
        raise click.UsageError("Give a TEXT, or a recording with --audio FILE.")
    given = {"voice": voice, "audio": audio, "quality": quality, "fps": fps}
    finish_job(shell, pairs, given, text, avatar, output, timeout, as_json, option="--avatar")


def finish_job(
    shell: Shell,
    pairs: tuple[str, ...],
    given: Mapping[str, Any],
    text: str | None,
    avatar: str,
    output: Path | None,
    timeout: float | None,
    as_json: bool,
    *,
    option: str,
) -> None:
    """Make a video of a face, given as a picture file or an avatar profile, and tell how it ended.

    Args:
        pairs: what `--set` says.
        given: what other options say, by the manifest's keys.
        option: the option that says whose face it is.

    Raises:
        click.BadParameter: there is no such picture; `pairs` say something else than an option.
        click.exceptions.Exit: it was not made.
    """
    picture = Path(avatar)
    if picture.is_file():
        face: dict[str, Any] = {"image": picture}
    elif picture.suffix.lower() in PICTURE_ENDINGS or os.sep in avatar:
        raise click.BadParameter(
            f"{avatar} is not here. Name a picture file, or an avatar profile (`avatar avatar list`).",
            param_hint="the picture",
        )
    else:
        face = {"avatar": avatar}
    given = {**given, **face, "text": None if text is None else words_of(text)}
    keys = with_settings(pairs, given)
    if output is not None:
        keys |= format_of(output, keys)
    target = output or Path(f"avatar.{keys.get('format') or _usual_format(keys)}")
    wording = option_of(given, **dict.fromkeys(face, option))
    result = make(shell, keys, target, wording, quiet=as_json, timeout=timeout)
    show(result_json(result), as_json, lambda: tell_result(result))
    if not result.success:
        raise click.exceptions.Exit(1)


def _usual_format(keys: Mapping[str, Any]) -> str:
    """Return the format of a manifest that names none."""
    if keys.get("kind") == "speech":
        return "wav"
    return "webm" if keys.get("background") == "transparent" else "mp4"
