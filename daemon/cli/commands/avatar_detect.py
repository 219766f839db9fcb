"""`avatar avatar detect PICTURE`: which faces a picture shows, and whether each can be animated."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.make_job import make, result_json, tell_result
from daemon.cli.numbers import SECONDS
from daemon.doors.words import option_of, with_settings
from daemon.system import fs
from daemon.system.permissions import check_right

ANNOTATED = ".face.jpg"
REPORT = ".face.json"


@click.command()
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option(
    "--output", "-o", metavar="DIR", type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for the annotated picture and the report: NAME{ANNOTATED} and NAME{REPORT}.",
)  # fmt: skip
@click.option("--set", "-s", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other key, such as face=1.")
@click.option("--timeout", type=SECONDS, help="Longest wait, in seconds; default: without end.")
@json_option
@click.pass_obj
def detect(
    shell: Shell,
    picture: Path,
    output: Path | None,
    pairs: tuple[str, ...],
    timeout: float | None,
    as_json: bool,
) -> None:
    """Say which faces PICTURE shows, from left to right, and whether each can be animated.

    Exit code 1 where the face that a video would show is refused. --json has the keys of NAME.face.json in docs/kinds.md.

    \b
    Examples:
      avatar avatar detect portrait.png
      avatar avatar detect group.jpg --set face=1 -o checked
    """
    if output is not None:
        check_right(output, "write")
    keys = with_settings(pairs, {"kind": "detect", "image": picture})
    with tempfile.TemporaryDirectory(prefix="avatar-detect-") as folder:
        report = Path(folder) / f"{picture.stem}.json"
        result = make(
            shell,
            keys,
            report,
            option_of({"image": picture}, image="PICTURE"),
            quiet=True,
            timeout=timeout,
            beside=(ANNOTATED,),
        )
        if not result.success:
            show(result_json(result), as_json, lambda: tell_result(result))
            raise click.exceptions.Exit(1)
        found = json.loads(report.read_bytes())
        written = [] if output is None else _hand_over(output, picture.stem, report, result.outputs)

    def text() -> None:
        for line in _lines(picture, found):
            click.echo(line)
        for path in written:
            click.echo(str(path))
        for warning in result.warnings:
            click.echo(f"warning: {warning}", err=True)

    show(found, as_json, text)
    if not found["verdict"]["accepted"]:
        raise click.exceptions.Exit(1)


def _hand_over(folder: Path, stem: str, report: Path, outputs: tuple[Path, ...]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for source in outputs:
        place = folder / f"{stem}{REPORT if source == report else ANNOTATED}"
        with fs.artifact(place) as temporary:
            temporary.write_bytes(source.read_bytes())
        written.append(place)
    return written


def _lines(picture: Path, found: dict[str, Any]) -> list[str]:
    size = found["picture"]
    count = "1 face" if found["faces_found"] == 1 else f"{found['faces_found']} faces"
    lines = [f"{picture}: {size['width']}x{size['height']}, {count}; {_verdict(found['verdict'])}"]
    for number, face in enumerate(found["faces"]):
        pose = ", ".join(f"{name} {round(face['pose'][name])}°" for name in ("yaw", "pitch", "roll"))
        mark = "*" if face["chosen"] else " "
        lines.append(f"{mark} {number}  {face['face_px']:5.0f} px  {pose}  {_verdict(face['verdict'])}")
    return lines


def _verdict(verdict: dict[str, Any]) -> str:
    if not verdict["accepted"]:
        return f"refused ({verdict['code']}): {verdict['message']} {verdict.get('hint', '')}".rstrip()
    return f"good, with a caution: {', '.join(cautions)}" if (cautions := verdict.get("cautions")) else "good"
