"""`avatar server start`: the HTTP door."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from daemon.cli.common import Shell
from daemon.errors import ConfigError

_APP: Final = "daemon.doors.http.app:create_app"


@click.group()
def server() -> None:
    """The HTTP server, by which programs hand in jobs (docs/http.md)."""


@server.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than this machine's own want API keys.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0: any that is free."
)
@click.option("--uds", type=click.Path(path_type=Path), help="Listen on this Unix socket instead, behind a proxy.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Number of processes.")
@click.option("--reload", is_flag=True, help="Start again when the code changes; for developers.")
@click.option("--root-path", default="", help="Path under which a proxy shows the server, for its description only.")
@click.pass_obj
def start(shell: Shell, host: str, port: int, uds: Path | None, workers: int, reload: bool, root_path: str) -> None:
    """Serve HTTP in the foreground until SIGTERM or Ctrl-C. The daemon need not run: jobs wait for it.

    \b
    Examples:
      avatar server start
      avatar server start --host 0.0.0.0 --port 8080 --workers 2
    """
    try:
        import uvicorn

        from daemon.doors.http.api_keys import ApiKeys
        from daemon.doors.http.app import BOUND, check_safe
        from daemon.doors.http.connections import server_options
    except ImportError as exc:
        raise ConfigError(
            "extra-missing",
            f"The HTTP server is not installed: {exc.name} is missing.",
            "Install the extra `api`: docs/http.md.",
        ) from exc
    from daemon.telemetry.logs import configure_logging

    settings, bound = shell.settings, "unix" if uds else host
    check_safe(settings, ApiKeys(settings.server.keys), bound)
    configure_logging(settings.log)
    os.environ["AVATAR_CONFIG"], os.environ[BOUND] = str(shell.config_path.absolute()), bound
    where: dict[str, Any] = {"uds": str(uds)} if uds else {"host": host, "port": port}
    uvicorn.run(
        _APP,
        factory=True,
        **where,
        workers=workers,
        reload=reload,
        root_path=root_path,
        **server_options(),
    )
