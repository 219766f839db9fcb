"""`avatar submit`: write the manifest, hand it in, and wait for the result if asked to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from daemon import fs
from daemon.cli.common import Shell, json_option, show
from daemon.errors import AvatarError, JobError
from daemon.job import FINISHED
from daemon.outbox import ENDINGS
from daemon.parse import parse

LOOK_S = 0.2


@click.command()
@click.argument("text")
@click.option(
    "--image", "-i", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The portrait."
)
@click.option("--name", "-n", help="Name of the result; default: from the text.")
@click.option(
    "--set",
    "-s",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other key of the manifest, such as fps=30 or motion.head=0.",
)
@click.option("--wait", "-w", is_flag=True, help="Show progress and wait for the result.")
@click.option("--timeout", type=float, default=3600.0, show_default=True, help="Longest wait, in seconds.")
@json_option
@click.pass_obj
def submit(
    shell: Shell,
    text: str,
    image: Path,
    name: str | None,
    settings: tuple[str, ...],
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Hand in a job: TEXT spoken by the face in --image. TEXT may be - for standard input."""
    words = sys.stdin.read() if text == "-" else text
    inbox, outbox = shell.settings.paths.inbox, shell.settings.paths.outbox
    picture = _share(image, inbox)
    manifest = _manifest(words, picture, settings)
    stem = name or f"{_slug(words)}-{secrets.token_hex(3)}"
    if any((outbox / f"{stem}{ending}").exists() for ending in ENDINGS) or (inbox / f"{stem}.yaml").exists():
        raise AvatarError("name-taken", f"{stem} is in use already.", "Choose another --name.")
    fs.replace_bytes(inbox / f"{stem}.yaml", yaml.safe_dump(manifest, allow_unicode=True, sort_keys=False).encode())
    status = outbox / f"{stem}.json"
    if not wait:
        show(
            {"manifest": str(inbox / f"{stem}.yaml"), "status": str(status)},
            as_json,
            lambda: click.echo(f"Handed in. Watch {status}"),
        )
        return
    final = _wait(shell, status, timeout, quiet=as_json)
    show(final, as_json, lambda: _tell(final, outbox))
    if final["state"] != "done":
        raise click.exceptions.Exit(1)


def _share(image: Path, inbox: Path) -> str:
    """Put the picture into the inbox under a name made from its content, once however often it is used."""
    data = image.read_bytes()
    name = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', image.stem)[:40]}-{hashlib.sha256(data).hexdigest()[:8]}{image.suffix.lower()}"
    if not (inbox / name).exists():
        inbox.mkdir(parents=True, exist_ok=True)
        fs.replace_bytes(inbox / name, data)
    return name


def _manifest(text: str, picture: str, settings: tuple[str, ...]) -> dict[str, Any]:
    manifest: dict[str, Any] = {"text": text, "image": picture}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise click.BadParameter(f"{setting!r} is not KEY=VALUE", param_hint="--set")
        target = manifest
        *groups, last = key.split(".")
        for group in groups:
            target = target.setdefault(group, {})
        target[last] = value
    checked = parse(yaml.safe_dump(manifest, allow_unicode=True).encode())[0]
    if isinstance(checked, JobError):
        raise checked
    return manifest


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:32].strip("-") or "job"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value


def follow(shell: Shell, status: Path, timeout_s: float) -> Iterator[dict[str, Any]]:
    """The job's status at every change, until it is finished.

    Raises:
        AvatarError: `daemon-absent` when nobody works, `answer-late` when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    last: dict[str, Any] | None = None
    while True:
        now = _read(status)
        if now is not None and now != last:
            last = now
            yield now
        if now is not None and now["state"] in FINISHED:
            return
        if shell.daemon() is None:
            raise AvatarError(
                "daemon-absent",
                "The daemon does not run.",
                "Start it with `avatar run` or `systemctl start avatard`; the job is kept.",
            )
        if time.monotonic() > deadline:
            raise AvatarError(
                "answer-late", f"The job is not finished after {timeout_s:.0f} s.", f"It goes on; watch {status}."
            )
        time.sleep(LOOK_S)


def _wait(shell: Shell, status: Path, timeout_s: float, *, quiet: bool) -> dict[str, Any]:
    final: dict[str, Any] = {}
    if quiet or not sys.stderr.isatty():
        stage = None
        for final in follow(shell, status, timeout_s):
            if not quiet and (final["state"], final["stage"]) != stage:
                stage = (final["state"], final["stage"])
                click.echo(f"{final['state']:8} {final['stage'] or ''}", err=True)
        return final
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("handed in", total=1.0)
        for final in follow(shell, status, timeout_s):
            bar.update(task, completed=final["progress"], description=f"{final['state']} {final['stage'] or ''}")
    return final


def _tell(final: dict[str, Any], outbox: Path) -> None:
    if final["state"] == "done":
        for output in final.get("outputs", []):
            click.echo(os.path.join(outbox, output["file"]))
    else:
        error = final.get("error", {})
        click.echo(f"{final['state']} ({error.get('code')}): {error.get('message')} {error.get('hint')}", err=True)
