"""What `avatar status -v` adds: the lanes, the models in memory, what runs, since when others wait, and the last errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from daemon.cli.common import Shell
from daemon.cli.job_list import find_rows
from daemon.cli.status_snapshot import daemon_absent, describe_slot
from daemon.history.query import Query
from daemon.jobs.iso_time import iso
from daemon.jobs.stages import LaneName, stages_of_lane

#: So many of the jobs that failed are told, the latest first.
ERRORS = 5


def details(shell: Shell) -> dict[str, Any]:
    """Return what `--json` says beside the overview: `lanes` and `errors`."""
    failed = find_rows(shell, Query(state=["failed"]).without_looks, ERRORS)
    return {
        "lanes": {lane: list(stages_of_lane(lane)) for lane in get_args(LaneName)},
        "errors": [
            {"job": row.job, "name": row.name, "stage": row.stage, "finished": iso(row.finished), **(row.error or {})}
            for row in failed
        ],
    }


def detail_lines(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and rest of the lines for people. `value`: the overview with `details`."""
    for lane, stages in value["lanes"].items() if not daemon_absent(value) else ():
        here = [slot["lane"] for slot in value["slots"] if lane == "gpu" and not slot.get("remote")]
        parts = here or [lane]
        state = "stands still" if all(part in value["paused_lanes"] for part in parts) else "is ready"
        yield "lane", f"{lane} {state}: {', '.join(stages)}"
    for slot in value["slots"]:
        yield "slot", f"{slot['lane']}, {slot['device']}: {describe_slot(slot)}, for {', '.join(slot['stages'])}"
    for model in value["models"]:
        memory = [_memory("RAM", model["ram_bytes"]), _memory("GPU", model["gpu_bytes"])]
        where = f"in process {model['pid']} of the {model['lane']} lane since {model['since']}"
        yield "model", f"{model['model']} ({model['stage']}): {', '.join(filter(None, [*memory, where]))}"
    if not value["models"]:
        yield "model", "none is loaded, as far as can be told"
    for job in value["running"]:
        yield "running", f"{job['name']}: {job['stage']}, {job['progress'] or 0.0:.0%}"
    for stage, sides in value["queues"].items():
        if sides["oldest"]:
            yield "waiting", f"{sides['ready']} for {stage}, the oldest since {sides['oldest']}"
    for error in value["errors"]:
        yield "error", f"{error['name']}, {error['finished'] or '-'}: {error.get('code')}: {error.get('message')}"


def _memory(kind: str, size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.0f} MB {kind}"
