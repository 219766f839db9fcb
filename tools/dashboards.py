"""Write the two Grafana dashboards, monitoring/grafana/*.json. With --check nothing is written; exit code 1 where one differs.

One for the person on call: is it working, what waits how long, what failed and whose fault was it, what is paused. One for
planning: speed, stage times, GPU, disk, model loads. Few panels, each with a title, a description and a unit.

Grafana's own typed builders make them, so mypy checks them against its schema. It is the schema of Grafana 11.6, which later
Grafanas read too: in the builders' newest release this form is deprecated, for one that Grafana reads since version 13 only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import GraphDrawStyle, VisibilityMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).resolve().parent.parent / "monitoring" / "grafana"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
#: Added to every selector: the daemons that were chosen above the panels.
CHOSEN = 'job=~"$job",instance=~"$instance"'
#: One table from several queries, without the columns that say nothing here.
TABLE = [
    model.DataTransformerConfig(id_val="merge", options={}),
    model.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True, "__name__": True, "job": True}}
    ),
]

PanelBuilder = stat.Panel | timeseries.Panel | table.Panel


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
    """Return the median and the 95th percentile, or the latter alone for each `by`."""
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
        "Lanes, or GPUs of the gpu lane, paused by a fault of the machine (they go on by themselves), and since when people "
        "stopped them.", "s",
        (("avatar_lane_pause_info{%}", ""), ("time() - (avatar_queue_paused_timestamp_seconds{%} > 0)", "")),
    ),
    # The hooks' figures come by node_exporter, under its job and instance: the choice of daemons does not hold for them.
    Panel(
        "timeseries", "Hooks: oldest message that waits",
        "On all machines. While it grows, nobody is told of ends of jobs: see the runbook AvatarHookFailing.", "s",
        (("avatar_hook_oldest_waiting_seconds", "{{instance}} {{hook}}"),), none="nothing to tell",
    ),
    Panel(
        "timeseries", "Hooks: messages that do not get through",
        "On all machines. Tried in vain and tried again, or given up (listed for hooks.keep_days).", "short",
        (("avatar_hook_failing_deliveries", "{{instance}} {{hook}}"),
         ('avatar_hook_deliveries{state="dead"}', "{{instance}} {{hook}} given up")), none="nothing to tell",
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
        "timeseries", "GPU at work", "Part of the time in which the card worked, and in which its slot had a job.", "percentunit",
        (("avatar_gpu_utilization_ratio{%}", "{{instance}} {{gpu}}"),
         ('rate(avatar_slot_busy_seconds_total{%,lane="gpu"}[$__rate_interval])', "{{instance}} {{gpu}} has a job")),
        none="no GPU",
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


def drawing(made: Panel) -> PanelBuilder:
    """Return the builder for this kind of panel, with what only that kind has."""
    if made.kind == "stat":
        return stat.Panel().reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
    if made.kind == "table":
        return table.Panel().transformations(TABLE)
    return (
        timeseries.Panel()
        .legend(build_common.VizLegendOptions().show_legend(True))
        .draw_style(GraphDrawStyle.BARS if made.bars else GraphDrawStyle.LINE)
        .fill_opacity(60 if made.bars else 8)
        .show_points(VisibilityMode.NEVER)
        .span_nulls(False)
    )


def target(made: Panel, number: int) -> prometheus.Dataquery:
    """One query of a panel. Stats and tables show its last value, time series its values over time."""
    expression, legend = made.queries[number]
    asked = (
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + number))
        .datasource(SOURCE)
        .expr(expression.replace("%", CHOSEN))
        .legend_format(legend)
        .format(PromQueryFormat.TABLE if made.kind == "table" else PromQueryFormat.TIME_SERIES)
    )
    return asked.range() if made.kind == "timeseries" else asked.instant()


def panel(made: Panel, number: int) -> PanelBuilder:
    """Return a panel as Grafana keeps it, without its place: the dashboard's builder sets that."""
    steps = [model.Threshold(color="red" if made.limits else "text")]
    steps += [model.Threshold(value=limit, color="green") for limit in made.limits]
    return (
        drawing(made)
        .id(number)
        .title(made.title)
        .description(made.description)
        .datasource(SOURCE)
        .span(made.width)
        .height(made.height)
        .unit(made.unit)
        .min(0)
        .no_value(made.none)
        .thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .targets([target(made, i) for i in range(len(made.queries))])
    )


def variable(name: str, label: str, query: str) -> build.QueryVariable:
    """Return a choice above the panels, of one, several or all values of a label."""
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(model.VariableOption(text="All", value="$__all"))
    )


def board(uid: str, title: str, description: str, panels: tuple[Panel, ...], since: str) -> model.Dashboard:
    """A dashboard as Grafana imports it. Its panels stand in rows of 24 columns, in the order of `panels`."""
    made = (
        build.Dashboard(title)
        .uid(f"avatard-{uid}")
        .description(description)
        .tags(["avatard"])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .timezone("")  # the reader's own setting
        .time(since, "now")
        .link(build.DashboardLink("avatard").type(model.DashboardLinkType.DASHBOARDS).tags(["avatard"]).keep_time(True))
        .with_variable(build.DatasourceVariable("datasource").label("Source").type("prometheus"))
        .with_variable(variable("job", "Job", "label_values(avatar_build_info, job)"))
        .with_variable(variable("instance", "Daemon", 'label_values(avatar_build_info{job=~"$job"}, instance)'))
    )
    for number, each in enumerate(panels, start=1):
        made.with_panel(panel(each, number))
    return made.build()


def main() -> int:
    """Write the dashboards that differ, or with --check name them; returns the exit code."""
    encoder = JSONEncoder(indent=1, ensure_ascii=False, sort_keys=True)
    wanted = {FOLDER / f"{name}.json": encoder.encode(board(name, *parts)) + "\n" for name, parts in BOARDS.items()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if "--check" in sys.argv:
            print(f"{path.name} is not what tools/dashboards.py makes: run `make docs`", file=sys.stderr)
        else:
            path.write_text(wanted[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
