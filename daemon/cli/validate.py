"""`avatar validate FILE` and `avatar schema`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from daemon.cli.common import Shell, json_option, show
from daemon.errors import JobError
from daemon.manifest import Manifest, json_schema
from daemon.parse import parse
from daemon.reading import read_manifest
from daemon.safeopen import open_inside


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_obj
def validate(shell: Shell, file: Path, as_json: bool) -> None:
    """Check a manifest and the files it names, without handing it in. Exit code 1 when something is wrong."""
    limits = shell.settings_or_defaults.intake
    results = check(file, limits.max_manifest_bytes, limits.max_documents)

    def text() -> None:
        for number, result in enumerate(results, start=1):
            head = f"{file.name}, job {number}" if len(results) > 1 else file.name
            click.echo(f"{head}: {'good' if result['ok'] else result['message'] + ' ' + result['hint']}")

    show(results, as_json, text)
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(1)


def check(file: Path, max_bytes: int, max_documents: int) -> list[dict[str, Any]]:
    """One result for each document of a manifest file."""
    folder = file.absolute().parent
    try:
        items = parse(read_manifest(folder, file.name, max_bytes), max_documents)
    except JobError as exc:
        items = [exc]
    return [_result(item, folder) for item in items]


def _result(item: Manifest | JobError, folder: Path) -> dict[str, Any]:
    try:
        if isinstance(item, JobError):
            raise item
        for name in item.files():
            with open_inside(folder, name) as fd:
                os.fstat(fd)
    except JobError as exc:
        return {"ok": False, "code": exc.code, "message": exc.message, "hint": exc.hint}
    return {"ok": True, "manifest": item.model_dump(mode="json")}


@click.command()
def schema() -> None:
    """Print the JSON Schema of a manifest, for editors."""
    show(json_schema(), True, lambda: None)
