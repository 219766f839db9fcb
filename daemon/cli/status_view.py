"""The overview as people read it in a terminal. Apart from the commands, which must not wait for rich where it is not used."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from daemon.cli.status_snapshot import daemon_absent, describe_hook_troubles, describe_slot, describe_unknown_daemon

COLOURS = {"done": "green", "failed": "red", "cancelled": "yellow"}


def render_status(now: dict[str, Any]) -> RenderableType:
    """What is wrong comes first."""
    return Group(
        _head(now), *_pauses(now), "", _stages(now), "", _running(now), *_slots(now), "", _ended(now), "", _machine(now)
    )


def _head(now: dict[str, Any]) -> Text:
    owner = now["daemon"]
    if daemon_absent(now):
        return Text("avatard does not run", style="bold red")
    if owner is None:
        return Text.assemble(("avatard", "bold"), f" {describe_unknown_daemon(now)}")
    return Text.assemble(("avatard", "bold green"), f" runs since {owner.get('since')}, process {owner.get('pid')}")


def _pauses(now: dict[str, Any]) -> list[Text]:
    lines = [
        f"{scope} paused by {pause['by']} since {pause['since']}: {pause['reason'] or 'no reason given'}"
        for scope, pause in now["paused"].items()
    ]
    lines += [f"{lane} stands still: {fault['message']} {fault['hint']}" for lane, fault in now["paused_lanes"].items()]
    if unwatched := now["unwatched"]:
        lines.append(f"{unwatched['message']} {unwatched['hint']}")
    lines += [f"hooks: {line}" for line in describe_hook_troubles(now)]
    return [Text(line, style="bold yellow") for line in lines]


def _stages(now: dict[str, Any]) -> Table:
    table = Table("stage", "waiting", "for", "running", box=None, header_style="dim")
    for stage, queue in now["queues"].items():
        table.add_row(stage, _count(queue["ready"]), _age(queue["oldest"]), _count(queue["active"]))
    return table


def _age(since: str | None) -> str:
    """Return how long ago, in the unit that people would take."""
    if since is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _count(number: int) -> Text:
    return Text(str(number), style="bold" if number else "dim", justify="right")


def _running(now: dict[str, Any]) -> RenderableType:
    if not now["running"]:
        return Text("nothing runs", style="dim")
    table = Table("running", "stage", "", "left", box=None, header_style="dim")
    for job in now["running"]:
        bar = ProgressBar(total=1.0, completed=job["progress"] or 0.0, width=30)
        left = "" if job["eta_s"] is None else f"{job['eta_s']:.0f} s"
        table.add_row(escape(job["name"]), job["stage"], bar, left)
    return table


def _slots(now: dict[str, Any]) -> list[RenderableType]:
    """What each GPU does, where several have a slot, and what the slots on other machines do."""
    if len(now["slots"]) < 2:
        return []
    table = Table("slot", "", "loaded", box=None, header_style="dim")
    for slot in now["slots"]:
        title = slot["lane"] if slot.get("remote") else f"GPU {slot['gpu']}"
        table.add_row(title, escape(describe_slot(slot)), ", ".join(slot["loaded"]))
    return ["", table]


def _ended(now: dict[str, Any]) -> Table:
    counts = f"{now['held']} held, {now['failed']} failed or cancelled, {now['done']} done"
    table = Table(f"ended ({counts})", "state", "took", "why", box=None, header_style="dim")
    for job in now["ended"]:
        took = "" if job["took_s"] is None else f"{job['took_s']:.1f} s"
        why = f"{job['code']} (fault: {job['fault']})" if job["code"] else ""
        table.add_row(escape(job["name"]), Text(job["state"], style=COLOURS.get(job["state"], "")), took, why)
    return table


def _gpu(card: dict[str, Any]) -> str:
    """Return what is known of a GPU: not all tell their memory, and slices (MIG) not how busy they are."""
    known = [] if card["used"] is None else [f"{card['used'] / 1e9:.1f} of {card['total'] / 1e9:.1f} GB"]
    known += [] if math.isnan(card["busy"]) else [f"{card['busy']:.0%} at work"]
    return f"GPU {card['index']}: {', '.join(known) or 'it tells nothing of itself'}"


def _machine(now: dict[str, Any]) -> Text:
    parts = [
        f"{name}: {room['free'] / 1e9:.1f} GB free" if room else f"{name}: away" for name, room in now["disk"].items()
    ]
    parts += [_gpu(card) for card in now["gpus"]] or ["no GPU"]
    return Text("   ".join(parts), style="dim")
