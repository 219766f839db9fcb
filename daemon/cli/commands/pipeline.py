"""`avatar pipeline run`: one video from a text and a portrait, waited for, with or without a service."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.progress_view import progress_view
from daemon.doors.words import settings_of, words_of

if TYPE_CHECKING:
    from daemon.doors.client.status import JobStatus, Result

_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group()
def pipeline() -> None:
    """Make a video and wait for it, with or without a service."""


@pipeline.command()
@click.argument("text", required=False)
@click.option("--voice", "-v", help="Who speaks TEXT, by name or engine/name; see `avatar voice list`.")
@click.option("--audio", "-a", type=_file, help="A recording in place of a voice; TEXT is then what is said in it.")
@click.option("--avatar", "-i", required=True, metavar="PICTURE|NAME", help="A picture file, or an avatar profile.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Default: avatar.mp4.")
@click.option("--quality", "-q", help="draft, low, medium or high.")
@click.option("--fps", help="Frames per second.")
@click.option("--set", "-s", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other key of the manifest.")
@click.option("--timeout", type=float, help="Longest wait, in seconds; default: without end.")
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

    Example: avatar pipeline run "Hello there." --avatar portrait.png --output hello.mp4
    """
    if text is None and audio is None:
        raise click.UsageError("Give a TEXT, or a recording with --audio FILE.")
    from daemon.doors.render import render

    keys: dict[str, Any] = settings_of(pairs)
    given = {"voice": voice, "audio": audio, "quality": quality, "fps": fps}
    keys |= {key: value for key, value in given.items() if value is not None}
    picture = Path(avatar) if Path(avatar).is_file() else None
    if picture is None:
        keys["avatar"] = avatar
    # `out` stands in a folder of the caller's, and `format` may name another ending.
    target = output or Path(f"avatar.{keys.get('format', 'mp4')}")
    words = None if text is None else words_of(text)
    seen: list[JobStatus] = []
    with progress_view(quiet=as_json) as shown:

        def progress(status: JobStatus) -> None:
            seen[:] = [status]
            shown(status.state, status.stage, status.progress)

        try:
            result = render(words, picture, target, config=shell.settings_or_defaults, progress=progress,
                            timeout=timeout, **keys)  # fmt: skip
        except KeyboardInterrupt:
            _cancel(shell, seen)
            raise
    show(_as_json(result), as_json, lambda: _tell(result))
    if not result.success:
        raise click.exceptions.Exit(1)


def _cancel(shell: Shell, seen: list[JobStatus]) -> None:
    """Cancel the job where the service does it; one that ran here has ended already."""
    from daemon.doors.client.client import Client
    from daemon.errors import AvatarError

    if seen:
        with contextlib.suppress(AvatarError):
            Client(shell.settings_or_defaults).cancel(seen[0].job)


def _as_json(result: Result) -> dict[str, Any]:
    error = result.error
    return {
        "success": result.success,
        "state": result.state,
        "output": None if result.output is None else str(result.output),
        "stages_completed": list(result.stages_completed),
        "warnings": list(result.warnings),
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": error.hint},
    }


def _tell(result: Result) -> None:
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    if result.error is not None:
        click.echo(f"{result.state} ({result.error.code}): {result.error.message} {result.error.hint}", err=True)
    elif result.output is not None:
        click.echo(str(result.output))
