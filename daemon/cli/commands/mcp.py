"""`avatar mcp`: the tools for an assistant at this machine, on stdin and stdout."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli.common import Shell
from daemon.errors import ConfigError


@click.command()
@click.option(
    "--root", "roots", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose files may be named, with those below it; may be given again. Default: the present folder.",
)  # fmt: skip
@click.pass_obj
def mcp(shell: Shell, roots: tuple[Path, ...]) -> None:
    """Give an assistant tools that make videos, by the Model Context Protocol on stdin and stdout.

    The assistant starts it. The daemon need not run: jobs wait for it. docs/mcp.md shows how assistants are told of it.

    \b
    Examples:
      avatar mcp
      avatar mcp --root ~/Pictures --root ~/Recordings
    """
    try:
        from daemon.doors.mcp.tools import build_server
    except ImportError as exc:
        raise ConfigError(
            "extra-missing",
            f"The tools are not installed: {exc.name} is missing.",
            "Install the extra `mcp`: docs/mcp.md.",
        ) from exc
    from daemon.doors.client.client import Client
    from daemon.doors.mcp.local import LocalDesk

    desk = LocalDesk(Client(shell.settings), roots or (Path(),))
    build_server(lambda _: desk).run("stdio")
