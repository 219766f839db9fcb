"""`avatar hooks …`: who is told when a job ends, what was told, and what could not be."""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from daemon.cli.common import Shell, json_option, show
from daemon.cli.complete import complete_hooks
from daemon.errors import RefusedError, escape_unprintable

if TYPE_CHECKING:
    from daemon.config.hooks import Hook, Hooks
    from daemon.doors.hooks.store import Delivery, Store

#: Deliveries of a hook that are shown.
SHOWN: Final = 20
#: Bytes of a secret.
_SECRET_BYTES: Final = 32
_NOT_RUNNING: Final = (
    "The hooks do not run, so nothing is delivered: `systemctl enable --now avatard-hooks`, or `avatar hooks run`."
)


@click.group()
def hooks() -> None:
    """Programs that are started, and messages that are sent, when a job ends."""


@hooks.command()
@click.pass_obj
def run(shell: Shell) -> None:
    """Tell of jobs that end, in the foreground until SIGTERM or Ctrl-C. SIGHUP reads the configuration again.

    \b
    Example:
      avatar hooks run
    """
    from daemon.config import Settings
    from daemon.doors.hooks.service import run_until_signal
    from daemon.system.permissions import access_error
    from daemon.telemetry.logs import configure_logging

    if (refusal := access_error(shell.spool.root)) is not None:
        raise refusal
    configure_logging(shell.settings.log)
    run_until_signal(lambda: Settings.load(shell.config_path))


@hooks.command("list")
@click.option("--state", type=click.Choice(["waiting", "delivered", "dead"]), help="Only deliveries in this state.")
@click.option("--hook", default="", shell_complete=complete_hooks, help="Only deliveries of this hook.")
@click.option("--limit", "-n", type=click.IntRange(1), default=SHOWN, show_default=True, help="The newest only.")
@json_option
@click.pass_obj
def list_hooks(shell: Shell, state: str | None, hook: str, limit: int, as_json: bool) -> None:
    """Every hook, and what could not be delivered yet.

    \b
    Examples:
      avatar hooks list
      avatar hooks list --state dead --hook slack --json
    """
    store, running = _store(shell), _runs(shell)
    counts = store.counts() if store else {}
    none = {"waiting": 0, "delivered": 0, "dead": 0, "failing": 0, "oldest": None, "note": ""}
    configured = {one.name: one for one in shell.settings.hooks.targets}
    rows = [
        {"name": name, **_told(name, configured.get(name), shell.settings.hooks), **counts.get(name, none)}
        for name in dict.fromkeys([*configured, *counts])
    ]
    states = [state] if state else ["waiting", "dead"]
    found = [one for name in states for one in (store.find(state=name, hook=hook, limit=limit) if store else [])]
    found = sorted(found, key=lambda one: -one.number)[:limit]

    def text() -> None:
        for row in rows:
            click.echo(
                f"{row['name']:20}  {row['does']:40}  {row['waiting']} waiting, {row['delivered']} delivered, {row['dead']} dead"
            )
        if not rows:
            click.echo("No hooks. docs/hooks.md says how to set them up.")
        _show_deliveries(found)
        if rows and running is False:
            click.echo(_NOT_RUNNING, err=True)

    show({"running": running, "hooks": _in_iso(rows), "deliveries": [one.to_json() for one in found]}, as_json, text)


@hooks.command("show")
@click.argument("wanted", metavar="DELIVERY")
@json_option
@click.pass_obj
def show_delivery(shell: Shell, wanted: str, as_json: bool) -> None:
    """A delivery by its number or id, or those of a job, with the message and how the last attempt went.

    \b
    Example:
      avatar hooks show 12
    """
    found = _find(shell, wanted)
    rows = [{**one.to_json(), "body": one.body.decode("utf-8", "replace")} for one in found]

    def text() -> None:
        for row in rows:
            for key, value in row.items():
                if key != "body" and value not in (None, ""):
                    click.echo(f"{key:10} {value}")
            click.echo(f"{row['body']}\n")

    show(rows, as_json, text)


@hooks.command()
@click.argument("wanted", metavar="DELIVERY", required=False, default="")
@click.option("--hook", default="", shell_complete=complete_hooks, help="All that this hook has not delivered.")
@json_option
@click.pass_obj
def retry(shell: Shell, wanted: str, hook: str, as_json: bool) -> None:
    """Deliver again: one by its number or id, those of a job, or with --hook all that it has not delivered.

    \b
    Examples:
      avatar hooks retry 12
      avatar hooks retry --hook slack
    """
    if bool(wanted) == bool(hook):
        raise click.UsageError("Give a DELIVERY or --hook.")
    store = _store(shell)
    if wanted:
        found = _find(shell, wanted)
    else:
        states: Iterable[Literal["waiting", "dead"]] = ("waiting", "dead")
        found = [one for state in states for one in (store.find(state=state, hook=hook, limit=-1) if store else [])]
    if store is not None:
        store.retry([one.number for one in found], time.time())

    def text() -> None:
        click.echo(f"{len(found)} to deliver again." if found else "Nothing waits or was given up.")
        if found and _runs(shell) is False:
            click.echo(_NOT_RUNNING, err=True)

    show([one.to_json() for one in found], as_json, text)


@hooks.command()
@click.argument("name", shell_complete=complete_hooks)
@json_option
@click.pass_obj
def test(shell: Shell, name: str, as_json: bool) -> None:
    """Try the hook NAME now, with a message of type `hook.test`, as whoever calls this. Exit code 1 if it does not work.

    \b
    Example:
      avatar hooks test slack
    """
    from daemon.doors.hooks.deliver import deliver
    from daemon.doors.hooks.message import trial
    from daemon.doors.hooks.store import Delivery

    settings = shell.settings.hooks
    hook = next((one for one in settings.targets if one.name == name), None)
    if hook is None:
        known = ", ".join(one.name for one in settings.targets) or "none"
        raise RefusedError("hook-unknown", f"There is no hook {name}.", f"Those there are: {known}.")
    message = trial()
    outcome = deliver(
        Delivery(
            number=0, id=message.id, hook=name, url="", type=message.type, job=None, name="test", job_state="done", output="",
            body=message.body(hook), state="waiting", made=message.at, due=message.at, attempts=0, tried=None, note="",
        ),
        settings,
    )  # fmt: skip

    def text() -> None:
        click.echo(outcome.note)
        if outcome.output.strip():
            click.echo(escape_unprintable(outcome.output.strip()))

    told = {
        "hook": name,
        "id": message.id,
        "delivered": outcome.delivered,
        "note": outcome.note,
        "output": outcome.output,
    }
    show(told, as_json, text)
    if not outcome.delivered:
        raise click.exceptions.Exit(1)


@hooks.command()
@json_option
def secret(as_json: bool) -> None:
    """Print a new secret for a file that `secret_file` names. Nothing is kept.

    \b
    Example:
      avatar hooks secret > /etc/avatard/studio.secret
    """
    made = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    show({"secret": made}, as_json, lambda: click.echo(made))


def _store(shell: Shell) -> Store | None:
    """Return the queue of the hooks; None where they have never run."""
    from daemon.doors.hooks.store import Store

    store = Store(shell.settings.paths.hooks)
    return store if store.exists() else None


def _runs(shell: Shell) -> bool | None:
    """Return whether the hooks run; None where it cannot be told."""
    from daemon.doors.hooks.run_lock import is_running

    with contextlib.suppress(OSError):
        return is_running(shell.settings.paths.hooks)
    return None


def _find(shell: Shell, wanted: str) -> list[Delivery]:
    store = _store(shell)
    found = store.find(wanted=wanted) if store else []
    if not found:
        raise RefusedError(
            "delivery-unknown", f"There is no delivery {wanted}.", "`avatar hooks list` shows them, with their numbers."
        )
    return found


def _told(name: str, hook: Hook | None, hooks: Hooks) -> dict[str, Any]:
    """Return what a hook, or the receivers that jobs name on a host, do: never the whole address, which may be a secret."""
    from urllib.parse import urlsplit

    from daemon.doors.hooks.message import NOTIFY

    if hook is None and name.startswith(NOTIFY) and name.removeprefix(NOTIFY) in hooks.callbacks:
        return {"does": "sends where jobs ask by `notify`", "when": ["done", "failed", "cancelled"]}
    if hook is None:
        return {"does": "not in the configuration", "when": []}
    if hook.command:
        does = f"starts {hook.command[0]}"
    else:
        does = f"sends to {urlsplit(hook.url).hostname}" if hook.url else f"sends to the address in {hook.url_file}"
    return {"does": does, "when": list(hook.when)}


def _in_iso(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from daemon.jobs.iso_time import iso

    return [{**row, "oldest": iso(row["oldest"])} for row in rows]


def _show_deliveries(found: list[Delivery]) -> None:
    for one in found:
        told = one.to_json()
        when = f"next attempt {told['due']}" if told["due"] else f"made {told['made']}"
        click.echo(
            f"{one.number:6}  {one.hook}  {one.type}  {one.name}  {one.state}, {when}; {one.attempts} attempts. {one.note}"
        )
