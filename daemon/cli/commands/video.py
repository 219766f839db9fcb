"""`avatar video …`: what is done with recordings and videos. Each command is a job of its kind (docs/kinds.md), waited for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from daemon.cli.commands.pipeline import finish_job
from daemon.cli.common import Shell, json_option, show
from daemon.cli.complete import complete_avatars, complete_value, or_files
from daemon.cli.make_job import format_of, make, result_json, tell_result
from daemon.cli.numbers import SECONDS, size_of_file
from daemon.doors.hand_in import Wording
from daemon.doors.words import option_of, with_settings
from daemon.jobs.companions import PICTURE_ENDINGS

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_output = click.Path(dir_okay=False, path_type=Path)
_timeout = click.option("--timeout", type=SECONDS, help="Longest wait, in seconds; default: without end.")
_set = click.option("--set", "-s", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other key of the manifest.")
#: Options of `encode`, by the key of the manifest, in the order of the help.
ENCODE_OPTIONS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "quality": click.option(
        "--quality", "-q", shell_complete=complete_value("quality"), help="draft, low, medium or high."
    ),
    "codec": click.option("--codec", shell_complete=complete_value("codec"), help="Of an MP4: h264 or hevc."),
    "fps": click.option("--fps", shell_complete=complete_value("fps"), help="Frames per second."),
    "crop": click.option(
        "--crop", metavar="WIDTHxHEIGHT+LEFT+TOP", help="The part that is kept, in px of the upright picture."
    ),
    "size": click.option("--size", metavar="WIDTHxHEIGHT", help="Of the video, in px."),
    "aspect": click.option(
        "--aspect",
        shell_complete=complete_value("aspect"),
        metavar="WIDTH:HEIGHT",
        help="Shape of the video, such as 9:16.",
    ),
    "fit": click.option(
        "--fit",
        shell_complete=complete_value("fit"),
        help="How a picture of another shape fills the video: crop, pad or blur.",
    ),
    "audio": click.option("--audio", "-a", type=_file, help="The new sound."),
    "sync_mode": click.option(
        "--sync-mode",
        shell_complete=complete_value("sync_mode"),
        help="Where the new sound is longer or shorter: longest, cut or loop (docs/manifest.md).",
    ),
    "subtitles": click.option("--subtitles", type=_file, help="A caption file, .srt or .vtt."),
    "captions": click.option(
        "--captions",
        shell_complete=complete_value("captions"),
        help="Where the captions go: burn, or srt or vtt for a file beside the video. Default: burn.",
    ),
    "language": click.option(
        "--language",
        shell_complete=complete_value("language"),
        metavar="TAG",
        help="Language of the captions, such as en or ja.",
    ),
    "title": click.option("--title", help="Title that players show."),
}


@click.group()
def video() -> None:
    """Move a portrait by a recording, give a video another form, and see what is in a file."""


@video.command()
@click.option("--image", "--avatar", "-i", "face", required=True, metavar="PICTURE|NAME",
              shell_complete=or_files(complete_avatars),
              help="A picture file, or an avatar profile.")  # fmt: skip
@click.option("--audio", "-a", required=True, type=_file, help="The recording of one person who speaks.")
@click.option("--text", help="What is said in it, for captions and exact lips; `-`: standard input.")
@click.option("--output", "-o", type=_output, help="Its ending names the format. Default: avatar.mp4.")
@click.option("--quality", "-q", shell_complete=complete_value("quality"), help="draft, low, medium or high.")
@_set
@_timeout
@json_option
@click.pass_obj
def lipsync(
    shell: Shell,
    face: str,
    audio: Path,
    text: str | None,
    output: Path | None,
    quality: str | None,
    pairs: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
) -> None:
    """Move a portrait by a recording, and write the video to --output.

    \b
    Example:
      avatar video lipsync --image portrait.png --audio speech.wav -o out.mp4
    """
    given = {"kind": "lipsync", "audio": audio, "quality": quality}
    finish_job(shell, pairs, given, text, face, output, timeout, as_json, option="--image")


def _encode_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(ENCODE_OPTIONS.values()):
        command = option(command)
    return command


@video.command()
@click.argument("source", metavar="VIDEO", type=_file)
@click.option("--output", "-o", required=True, type=_output, help="The file to write; its ending names the format.")
@_encode_options
@_set
@_timeout
@json_option
@click.pass_obj
def encode(
    shell: Shell,
    /,
    source: Path,
    output: Path,
    pairs: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write VIDEO in another form: quality, format, shape, frame rate, new sound, captions. What nothing changes is copied.

    \b
    Examples:
      avatar video encode in.mp4 -o out.webm --quality high
      avatar video encode in.mp4 -o tall.mp4 --aspect 9:16 --fit blur --subtitles words.srt
    """
    given = {"kind": "encode", "video": source, **given}
    keys = with_settings(pairs, given)
    if "subtitles" in keys:
        keys.setdefault("captions", "burn")
    keys |= format_of(output, keys)
    wording = option_of(given, video="VIDEO")
    result = make(shell, keys, output, wording, quiet=as_json, timeout=timeout)
    show(result_json(result), as_json, lambda: tell_result(result))
    if not result.success:
        raise click.exceptions.Exit(1)


@video.command()
@click.argument("file", type=_file)
@_timeout
@json_option
@click.pass_obj
def info(shell: Shell, file: Path, timeout: float | None, as_json: bool) -> None:
    """What is in a video, sound or picture FILE, and whether it is damaged. Exit code 1 where it cannot be read.

    --json has the keys of NAME.info.json in docs/kinds.md.

    \b
    Examples:
      avatar video info clip.mp4
      avatar video info clip.mp4 --json
    """
    key = "image" if file.suffix.lower() in PICTURE_ENDINGS else "video"
    with tempfile.TemporaryDirectory(prefix="avatar-info-") as folder:
        target = Path(folder) / "info.json"
        result = make(shell, {"kind": "info", key: file}, target, Wording("FILE"), quiet=True, timeout=timeout)
        if not result.success:
            show(result_json(result), as_json, lambda: tell_result(result))
            raise click.exceptions.Exit(1)
        # The service has the file under a name of its own.
        found = json.loads(target.read_bytes()) | {"file": str(file)}
    show(found, as_json, lambda: click.echo("\n".join(_lines(found))))


def _lines(found: dict[str, Any]) -> list[str]:
    """Return a report for people."""
    length = f", {found['duration_s']:.2f} s" if found["duration_s"] else ""
    lines = [f"{found['file']}: {found['container']}, {size_of_file(found['bytes'])}{length}"]
    if picture := found.get("picture"):
        frames = f"; {picture['frames']} frames" if picture.get("frames", 1) > 1 else ""
        lines.append(f"  picture   {picture['width']}x{picture['height']}{frames}")
    for track in found["video"]:
        more = [
            "mirrored" if track.get("mirrored") else "",
            f"turned by {track['rotation']}°" if track["rotation"] else "",
        ]
        more += ["HDR" if track["hdr"] else ""]
        more += ["interlaced" if track["interlaced"] else "", "" if track["constant_fps"] else "frame rate varies"]
        facts = [f"{track['codec']} {track['width']}x{track['height']}", f"{track['fps']} fps", track["pixel_format"]]
        lines.append(f"  video     {'; '.join(filter(None, [*facts, *more]))}")
    for track in found["audio"]:
        loudness = track["loudness_lufs"]
        heard = "no loudness" if loudness is None else f"{loudness:.1f} LUFS"
        facts = [track["codec"], f"{track['sample_rate']} Hz", track["layout"], heard, track["language"]]
        lines.append(f"  audio     {'; '.join(filter(None, facts))}")
    lines += [
        f"  captions  {'; '.join(filter(None, [track['codec'], track['language'], track['title']]))}"
        for track in found["captions"]
    ]
    lines += [f"  cover     {cover['codec']} {cover['width']}x{cover['height']}" for cover in found["covers"]]
    lines += [
        f"  chapter   {chapter['start']:.2f} to {chapter['end']:.2f} s  {chapter['title']}".rstrip()
        for chapter in found["chapters"]
    ]
    lines += [f"  {key:9} {value}" for key, value in found["metadata"].items()]
    lines += ["  encrypted"] if found.get("encrypted") else []
    lines += [f"  DAMAGED   {sentence}" for sentence in found["damage"]]
    return [*lines, f"  checked   {found['checked']}"]
