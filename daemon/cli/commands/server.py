"""`avatar server start` and `avatar key …`: the HTTP door, and who may use it."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from daemon.cli.common import Shell, json_option, note, show
from daemon.cli.complete import complete_keys, complete_value
from daemon.cli.numbers import Number, Priority
from daemon.errors import ConfigError, RefusedError, UnavailableError
from daemon.jobs.iso_time import iso

DAY_S: Final = 86_400.0
#: How long a Unix socket may take to answer whether somebody listens, s.
_ANSWERS_S: Final = 1.0
#: Longest life of a key, in days: a hundred years.
_DAYS: Final = 36_500.0
_APP: Final = "daemon.doors.serving.served_app:create_served_app"
_NONE_LEFT: Final = (
    "No API key is left, so the server lets nobody in. Make one by `avatar key add NAME`; or, for a server that asks "
    "for none, remove {path} and start the server again."
)


@click.group()
def server() -> None:
    """The HTTP server, by which programs hand in jobs."""


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
        from daemon.doors.serving.processes import watch_processes
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
    _check_free(host, port, uds)
    watch_processes()
    if sys.stderr.isatty():
        logger = logging.getLogger("uvicorn.error")
        logger.setLevel(logging.INFO)
        logger.addFilter(_tell_when_ready)
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


def _tell_when_ready(record: logging.LogRecord) -> bool:
    """Say where the server listens once uvicorn does; returns whether a line of uvicorn's log is shown beside that."""
    if str(record.msg).startswith("Uvicorn running on"):
        where = record.getMessage().removeprefix("Uvicorn running on ").partition(" (Press")[0]
        note(f"The server listens on {where}; Ctrl-C ends it.")
    return record.levelno >= logging.WARNING


def _check_free(host: str, port: int, uds: Path | None) -> None:
    """Refuse to listen where another server does: on a Unix socket a second one would take the first one's place.

    Raises:
        UnavailableError: `address-unusable`.
    """
    why = ""
    try:
        if uds is not None:
            _free_socket(uds)
        else:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                with socket.socket(family, kind, protocol) as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    one.bind(address)
    except OSError as exc:
        why = exc.strerror or str(exc)
    if why:
        raise UnavailableError(
            "address-unusable",
            f"The server cannot listen on {uds or f'{host}:{port}'}: {why}.",
            "End what listens there, or name another --host, --port or --uds.",
        )


def _free_socket(path: Path) -> None:
    """Remove a Unix socket on which nobody listens, as a server leaves it that was ended: several processes do not replace it.

    Raises:
        OSError: somebody listens there, or nobody can.
    """
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_ANSWERS_S)
        found = one.connect_ex(os.fspath(path))
    if found == errno.ECONNREFUSED and path.is_socket():
        path.unlink(missing_ok=True)
    elif found != errno.ENOENT:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    elif not path.parent.is_dir():
        raise OSError(found, os.strerror(found))


@click.group()
def key() -> None:
    """API keys of the HTTP server: who may use it, and for what."""


@key.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["submit", "read", "admin"]), default="submit", show_default=True,
              help="read: sees its own jobs; submit: hands in and changes them, too; admin: everybody's.")  # fmt: skip
@click.option(
    "--days", type=Number("days", min=0, min_open=True, max=_DAYS), help="Expires after so many days; default: never."
)
@click.option("--jobs-per-minute", type=click.IntRange(1), help="Most jobs handed in within a minute.")
@click.option("--waiting-jobs", type=click.IntRange(1), help="Most jobs that have not ended.")
@click.option(
    "--speech-per-day",
    "speech_s_per_day",
    type=Number("seconds", min=0, min_open=True),
    help="Most seconds of speech within a day.",
)
@click.option(
    "--bytes-per-day", "upload_bytes_per_day", type=click.IntRange(1), help="Most bytes of files within a day."
)
@click.option("--priority", type=Priority(), help="Highest priority of its jobs: low, normal, high, or -100 to 100.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    shell_complete=complete_value("kind"),
    help="Only jobs of this kind; may be given several times.",
)
@json_option
@click.pass_obj
def add(
    shell: Shell, /, name: str, role: Any, days: float | None, as_json: bool, kinds: tuple[str, ...], **limits: Any
) -> None:
    """Make a key for NAME, and print it. It is shown this once: only its digest is kept.

    \b
    Example:
      avatar key add website --role submit --days 365
    """
    from daemon.doors.http.api_keys import ApiKeys, Limits
    from daemon.jobs.kinds import KINDS

    for kind in kinds:
        if kind not in KINDS:
            raise RefusedError("key-invalid", f"There is no kind of job {kind!r}.", f"Use one of {', '.join(KINDS)}.")
    expires = None if days is None else time.time() + days * DAY_S
    keys = ApiKeys(shell.settings.server.keys)
    others = [one.id for one in keys.all() if one.name == name]
    made, text = keys.add(name, role, expires, Limits(**limits, kinds=kinds or None))

    def tell() -> None:
        click.echo(text)
        click.echo(f"This is the key of {made.name} ({made.role}). It is not shown again.", err=True)
        if others:
            note(
                f"{name} has {'another key' if len(others) == 1 else 'other keys'} already: {', '.join(others)}. All of them are "
                f"valid; `avatar key revoke {others[0]}` removes one."
            )
        if not shell.settings.server.user:
            note(
                "Keys are of use once `server.user` names the server's user (docs/http.md); until then it refuses them."
            )

    show(
        {"id": made.id, "name": made.name, "role": made.role, "expires": iso(made.expires), "key": text}, as_json, tell
    )


@key.command("list")
@json_option
@click.pass_obj
def list_keys(shell: Shell, as_json: bool) -> None:
    """The keys there are, without what they say.

    \b
    Example:
      avatar key list
    """
    from daemon.doors.http.api_keys import ApiKeys
    from daemon.doors.http.callers import last_used

    settings, now = shell.settings, time.time()
    keys = ApiKeys(settings.server.keys)
    rows: list[dict[str, Any]] = [
        {
            "id": one.id,
            "name": one.name,
            "role": one.role,
            "created": iso(one.created),
            "expires": iso(one.expires),
            "expired": one.is_over(now),
            "used": iso(last_used(settings.paths.inbox, one.id)),
            "limits": {what: value for what, value in asdict(one.limits).items() if value is not None},
        }
        for one in keys.all()
    ]

    def tell() -> None:
        width = max((len(str(row["name"])) for row in rows), default=0)
        for row in rows:
            ends = "expired" if row["expired"] else f"until {row['expires']}" if row["expires"] else "never expires"
            click.echo(
                f"{row['id']}  {row['name']:{width}}  {row['role']:6}  {ends}; last used: {row['used'] or 'never'}"
                + "".join(f"; {limit}" for limit in _limit_words(row["limits"]))
            )
        if not rows:
            click.echo(
                _NONE_LEFT.format(path=keys.path)
                if keys.wanted()
                else "No API keys. Without any, only this machine may use the server, and is asked for none."
            )

    show(rows, as_json, tell)


def _limit_words(limits: Mapping[str, Any]) -> Iterator[str]:
    """Yield the limits of a key, each as the option that sets it."""
    for what, value in limits.items():
        if what == "kinds":
            yield from (f"--kind {kind}" for kind in value)
        else:
            option = {"speech_s_per_day": "speech-per-day", "upload_bytes_per_day": "bytes-per-day"}.get(what)
            told = f"{value:g}" if isinstance(value, float) else value
            yield f"--{option or what.replace('_', '-')} {told}"


@key.command()
@click.argument("wanted", metavar="KEY", shell_complete=complete_keys)
@json_option
@click.pass_obj
def revoke(shell: Shell, wanted: str, as_json: bool) -> None:
    """Remove a key by its id, or all keys of a name. They are refused at once.

    \b
    Example:
      avatar key revoke website
    """
    from daemon.doors.http.api_keys import ApiKeys

    keys = ApiKeys(shell.settings.server.keys)
    gone = keys.revoke(wanted)
    rows = [{"id": one.id, "name": one.name} for one in gone]

    def tell() -> None:
        click.echo(f"Removed: {', '.join(one.id for one in gone)}.")
        if not keys.all():
            click.echo(_NONE_LEFT.format(path=keys.path), err=True)

    show(rows, as_json, tell)
