"""Write the two Grafana dashboards, monitoring/grafana/*.json. With --check nothing is written; exit code 1 where one differs.

One for the person on call: is it working, what waits how long, what failed and whose fault was it, what is paused. One for
planning: speed, stage times, GPU, disk, model loads. Few panels, each with a title, a description and a unit.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).resolve().parent.parent / "monitoring" / "grafana"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: Added to every selector: the daemons that were chosen above the panels.
CHOSEN = 'job=~"$job",instance=~"$instance"'
COLUMNS = 24
#: One table from several queries, without the columns that say nothing here.
TABLE = [
    {"id": "merge", "options": {}},
    {"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True, "job": True}}},
]


@dataclass(frozen=True)
class Panel:
    """Queries are (expression, legend); in expressions `%` stands for the selector of the chosen daemons."""

    kind: Literal["stat", "timeseries", "table"]
    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    width: int = 12
    height: int = 8
    limits: tuple[float, ...] = ()
    none: str = "none"
    bars: bool = False


def quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """The median and the 95th percentile, or the latter alone for each `by`."""
    rate = f"rate({metric}_bucket{{%}}[$__rate_interval])"
    if by:
        return ((f"histogram_quantile(0.95, sum by (le, {by}) ({rate}))", f"{{{{{by}}}}}"),)
    return tuple(
        (f"histogram_quantile({q}, sum by (le) ({rate}))", name) for q, name in ((0.5, "median"), (0.95, "95 of 100"))
    )


ON_CALL = (
    Panel(
        "stat", "Daemons", "1 where Prometheus reaches the daemon. Red: see the runbook AvatarAbsent.", "short",
        (("up{%}", "{{instance}}"),), 6, 4, (1,),
    ),
    Panel(
        "stat", "Oldest waiting job", "How long the job that waits longest has stood in its queue.", "s",
        (("time() - min(avatar_queue_oldest_timestamp_seconds{%} > 0)", ""),), 6, 4, none="nothing waits",
    ),
    Panel(
        "stat", "Since the last delivery", "Time since a result was last put into the outbox.", "s",
        (('time() - max(avatar_stage_last_success_timestamp_seconds{%,stage="deliver"} > 0)', ""),), 6, 4, none="none yet",
    ),
    Panel(
        "stat", "Since the last heartbeat", "Time since avatard's own job came through every stage (heartbeat.every_s).", "s",
        (('time() - max(avatar_heartbeat_seen_timestamp_seconds{%,stage="deliver"} > 0)', ""),), 6, 4, none="off",
    ),
    Panel(
        "timeseries", "Waiting jobs", "Jobs that stand in the queue of each stage.", "short",
        (("sum by (stage) (avatar_queue_jobs{%})", "{{stage}}"),),
    ),
    Panel(
        "timeseries", "How long the waiting jobs have waited", "95 of 100 waiting jobs have stood there for less.", "s",
        (("histogram_quantile(0.95, sum by (le, stage) (avatar_queue_age_seconds_bucket{%}))", "{{stage}}"),),
    ),
    Panel(
        "timeseries", "Failed jobs, by whose fault",
        "job: what was dropped is wrong, and the status file says so. machine, unknown, quarantined: ours.", "short",
        (("sum by (fault) (increase(avatar_jobs_failed_total{%}[$__rate_interval]))", "{{fault}}"),
         ("sum(increase(avatar_jobs_rejected_total{%}[$__rate_interval]))", "refused when taken in")), bars=True,
    ),
    Panel(
        "table", "What stands still, and why",
        "Lanes paused by a fault of the machine (they go on by themselves), and since when people stopped them.", "s",
        (("avatar_lane_pause_info{%}", ""), ("time() - (avatar_queue_paused_timestamp_seconds{%} > 0)", "")),
    ),
)  # fmt: skip

CAPACITY = (
    Panel(
        "timeseries", "Work per second of speech", "Time of all stages for one second of speech. Below 1: faster than speech.",
        "s", quantiles("avatar_realtime_factor"),
    ),
    Panel(
        "timeseries", "Time in each stage", "95 of 100 runs took less.", "s",
        quantiles("avatar_stage_duration_seconds", "stage"),
    ),
    Panel(
        "timeseries", "Time in each queue", "95 of 100 jobs waited less. Where it grows, that lane is too narrow.",
        "s", quantiles("avatar_stage_wait_seconds", "stage"),
    ),
    Panel(
        "timeseries", "Speech delivered", "Seconds of speech in finished videos, for each second of the clock.", "short",
        (("sum by (instance) (rate(avatar_audio_seconds_total{%}[$__rate_interval]))", "{{instance}}"),),
    ),
    Panel(
        "timeseries", "GPU memory", "Of all programs on the card together.", "bytes",
        (("avatar_gpu_memory_bytes{%}", "{{instance}} {{gpu}} {{kind}}"),), none="no GPU",
    ),
    Panel(
        "timeseries", "GPU at work", "Part of the time in which the card worked.", "percentunit",
        (("avatar_gpu_utilization_ratio{%}", "{{instance}} {{gpu}}"),), none="no GPU",
    ),
    Panel(
        "timeseries", "Free disk", "Room where spool and outbox lie.", "bytes",
        (("avatar_disk_free_bytes{%}", "{{instance}} {{folder}}"),),
    ),
    Panel(
        "timeseries", "Loads and deaths of workers",
        "Many loads an hour: the GPU lane changes to and fro. Deaths: workers that ended in the middle of a job.",
        "short",
        (("sum(increase(avatar_model_loads_total{%}[$__rate_interval]))", "models loaded"),
         ("sum by (reason) (increase(avatar_worker_deaths_total{%}[$__rate_interval]))", "{{reason}}")), bars=True,
    ),
)  # fmt: skip

BOARDS = {
    "on-call": ("avatard: on call", "Is it working, what waits, what failed, what is paused.", ON_CALL, "now-6h"),
    "capacity": ("avatard: capacity", "Speed, stages, GPU, disk and workers over weeks.", CAPACITY, "now-7d"),
}


def panel(made: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """A panel as Grafana keeps it."""
    steps: list[dict[str, Any]] = [{"color": "red" if made.limits else "text", "value": None}]
    steps += [{"color": "green", "value": limit} for limit in made.limits]
    custom: dict[str, Any] = {}
    if made.kind == "timeseries":
        style = {"drawStyle": "bars", "fillOpacity": 60} if made.bars else {"drawStyle": "line", "fillOpacity": 8}
        custom = {**style, "showPoints": "never", "spanNulls": False}
    instant = made.kind != "timeseries"
    return {
        "id": number,
        "type": made.kind,
        "title": made.title,
        "description": made.description,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": made.width, "h": made.height},
        "fieldConfig": {
            "defaults": {
                "unit": made.unit,
                "min": 0,
                "noValue": made.none,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "transformations": TABLE if made.kind == "table" else [],
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if made.kind == "timeseries" else {},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "expr": expression.replace("%", CHOSEN),
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                "format": "table" if made.kind == "table" else "time_series",
            }
            for i, (expression, legend) in enumerate(made.queries)
        ],
    }


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def board(uid: str, title: str, description: str, panels: tuple[Panel, ...], since: str) -> dict[str, Any]:
    """A dashboard as Grafana imports it."""
    placed, x, y, height = [], 0, 0, 0
    for number, made in enumerate(panels, start=1):
        if x + made.width > COLUMNS:
            x, y = 0, y + height
        placed.append(panel(made, number, x, y))
        x, height = x + made.width, made.height
    source = {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}
    return {
        "uid": f"avatard-{uid}",
        "title": title,
        "description": description,
        "tags": ["avatard"],
        "schemaVersion": 36,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "links": [
            {"type": "dashboards", "title": "avatard", "tags": ["avatard"], "asDropdown": False, "keepTime": True}
        ],
        "templating": {
            "list": [
                source,
                variable("job", "Job", "label_values(avatar_build_info, job)"),
                variable("instance", "Daemon", 'label_values(avatar_build_info{job=~"$job"}, instance)'),
            ]
        },
        "panels": placed,
    }


def main() -> int:
    wanted = {
        FOLDER / f"{name}.json": json.dumps(board(name, *parts), indent=1, ensure_ascii=False) + "\n"
        for name, parts in BOARDS.items()
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if "--check" in sys.argv:
            print(f"{path.name} is not what tools/dashboards.py makes: run `make docs`", file=sys.stderr)
        else:
            path.write_text(wanted[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
