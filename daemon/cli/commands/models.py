"""`avatar models`: the files that engines need beside the program, which of them are there, and bringing the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress

from daemon.cli.common import Shell, json_option, show

if TYPE_CHECKING:
    from stages.model_files.catalogue import PartStatus

_MARKS = {"good": "green", "other": "yellow", "damaged": "red", "missing": "yellow"}


class _Engine(click.ParamType[str]):
    """A name that `stages.model_list` knows, which is only read when a command needs it."""

    name = "engine"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from stages.model_list import MODELS, find_parts, named_forms

        if find_parts(str(value)) is not None:
            return str(value)
        for form in named_forms():
            if str(value).partition("/")[0] == form.partition("/")[0]:
                self.fail(f"Name a voice as it is published, for example {form.partition('/')[0]}/de_DE-thorsten-medium "
                          f"(language_REGION-speaker-quality); `avatar voice list` shows some.", param, ctx)  # fmt: skip
        return str(click.Choice([*sorted(MODELS), *named_forms()]).convert(value, param, ctx))


_engine = click.argument("engine", type=_Engine(), default="musetalk")


@click.group()
def models() -> None:
    """Model files: what each engine needs, what is there, and how to get it."""


@models.command("list")
@json_option
@click.pass_obj
def list_(shell: Shell, as_json: bool) -> None:
    """What each engine needs, where it is looked for, sizes, licences, and what is there.

    \b
    Example:
      avatar models list
    """
    from stages.model_files.catalogue import check_model_files
    from stages.model_list import MODELS, named_forms

    root = shell.settings.paths.models
    engines = {name: check_model_files(parts, root) for name, parts in MODELS.items()}

    def text() -> None:
        click.echo(f"Looked for in {root}")
        for engine, found in engines.items():
            click.echo(f"\n{engine}")
            for look in found:
                _line(look)
        for form in named_forms():
            click.echo(
                f"\n{form}\n  `avatar voice list` shows names and what is there; `avatar models fetch {form}` brings one"
            )

    show({"root": str(root), "engines": {name: _rows(found) for name, found in engines.items()}}, as_json, text)


@models.command()
@_engine
@click.option(
    "--mirror",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of the same layout, in place of the network.",
)
@json_option
@click.pass_obj
def fetch(shell: Shell, engine: str, mirror: Path | None, as_json: bool) -> None:
    """Bring the files of ENGINE that are missing. Interrupted, it goes on where it was.

    \b
    Examples:
      avatar models fetch kokoro
      avatar models fetch musetalk --mirror /mnt/models
    """
    from stages.model_files.catalogue import check_model_files
    from stages.model_files.fetch import fetch_model_files as bring
    from stages.model_list import find_parts

    root = shell.settings.paths.models
    parts = find_parts(engine) or ()
    bring(parts, root, mirror, lambda sentence: click.echo(sentence, err=True))
    show(_rows(check_model_files(parts, root)), as_json, lambda: click.echo(f"{engine}: all files are in {root}"))


@models.command()
@_engine
@json_option
@click.pass_obj
def verify(shell: Shell, engine: str, as_json: bool) -> None:
    """Read all files of ENGINE and compare them with the published ones. Exit code 1 when one is missing or damaged.

    \b
    Example:
      avatar models verify kokoro
    """
    from stages.model_files.catalogue import check_model_files
    from stages.model_list import find_parts

    root, parts = shell.settings.paths.models, find_parts(engine) or ()
    size = sum((root / look.file.path).stat().st_size for look in check_model_files(parts, root) if look.usable)
    with Progress(transient=True, disable=as_json) as progress:
        task = progress.add_task(engine, total=size)
        found = check_model_files(parts, root, deep=True, progress=lambda count: progress.advance(task, count))

    def text() -> None:
        for look in found:
            _line(look)

    show(_rows(found), as_json, text)
    if not all(look.usable for look in found):
        raise click.exceptions.Exit(1)


@models.command()
@json_option
@click.pass_obj
def path(shell: Shell, as_json: bool) -> None:
    """The folder in which model files are looked for (`paths.models` in config.yaml).

    \b
    Example:
      avatar models path
    """
    root = str(shell.settings.paths.models)
    show({"root": root}, as_json, lambda: click.echo(root))


def _rows(found: list[PartStatus]) -> list[dict[str, Any]]:
    return [
        {
            "role": look.part.role,
            "path": look.file.path,
            "state": look.state,
            "why": look.why,
            "size": look.file.size or None,
            "sha256": look.file.sha256 or None,
            "source": look.file.source or None,
            "licence": look.part.licence,
        }
        for look in found
    ]


def _line(look: PartStatus) -> None:
    from stages.model_files.fetch import format_size

    size = format_size(look.file.size)
    click.echo(f"  {click.style(f'{look.state:8}', fg=_MARKS[look.state])} {look.file.path}  ({size})")
    click.echo(f"           {look.part.what}; {look.part.licence}")
    if look.why:
        click.echo(f"           {look.why}")
