"""What is shown to Prometheus, to probes and to people's eyes, of a real daemon."""

from __future__ import annotations

import json
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from daemon.jobs.kinds import KINDS
from daemon.system.gpu import Card
from daemon.telemetry.collectors import GpuCollector
from tests.conftest import Installation, wait_for
from tests.support.machine.debs import unpacked

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One daemon that sends itself a job every moment, and writes its figures to a file."""
    root = tmp_path_factory.mktemp("watched")
    one = Installation(root, heartbeat={"every_s": 0.5}, metrics={"port": 0, "textfile": str(root / "avatard.prom")})
    one.start()
    yield one
    one.stop()


def get(one: Installation, path: str, accept: str = "text/plain") -> tuple[int, str]:
    port = json.loads((one.spool / "metrics.json").read_bytes())["port"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def samples(one: Installation, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by their labels' values."""
    families = text_string_to_metric_families(get(one, "/metrics")[1])
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in found}


def test_the_heartbeat_is_seen_in_every_stage_and_leaves_nothing(watched: Installation) -> None:
    # Given a daemon that sends heartbeats / Then each stage says when it last saw one
    assert samples(watched, "avatar_heartbeat_interval_seconds") == {(): 0.5}
    seen = wait_for("the heartbeat", lambda: all((s := samples(watched, SEEN)).values()) and s)
    assert set(seen) == {(stage,) for stage in KINDS["video"].stages}
    # And people's folder does not fill with them
    done = len(watched.events("job finished"))
    wait_for("three more", lambda: len(watched.events("job finished")) >= done + 3)
    assert {event["state"] for event in watched.events("job finished")} == {"done"}
    assert {path.name.split(".")[0] for path in watched.outbox.glob("[!.]*")} <= {"avatard-heartbeat"}


SEEN = "avatar_heartbeat_seen_timestamp_seconds"


def test_job_ids_are_exemplars_and_never_labels(watched: Installation) -> None:
    wait_for("a job", lambda: watched.events("job finished"))
    families = list(parse_openmetrics(get(watched, "/metrics", OPENMETRICS)[1]))  # type: ignore[no-untyped-call]
    found = {s.name: s.exemplar.labels["job_id"] for f in families for s in f.samples if s.exemplar}
    assert found["avatar_job_latency_seconds_bucket"].startswith("job-")
    assert found["avatar_stage_duration_seconds_bucket"].startswith("job-")
    assert "job-20" not in get(watched, "/metrics")[1]


def test_ready_means_that_what_is_dropped_now_is_worked_on(watched: Installation) -> None:
    assert get(watched, "/readyz") == (200, "ready\n")
    # When a person pauses the lanes / Then it is not ready and says who, but it is healthy
    watched.avatar("pause", "--reason", "new disk")
    code, text = get(watched, "/readyz")
    assert code == 503
    assert "lanes paused by" in text
    assert get(watched, "/healthz")[0] == 200
    # And what waits is counted, with its age, apart from what ran
    watched.drop("waits.yaml", {"kind": "speech", "text": "Hello."})
    wait_for("it to wait", lambda: (watched.status("waits") or {}).get("state") == "queued")
    # The daemon's own job may wait beside it
    wait_for("it to be counted", lambda: samples(watched, "avatar_queue_jobs")[("check",)] >= 1)
    assert samples(watched, "avatar_queue_age_seconds_count")[("check",)] >= 1
    assert samples(watched, "avatar_queue_oldest_timestamp_seconds")[("check",)] > 0
    watched.avatar("resume")
    wait_for("it to be ready", lambda: get(watched, "/readyz")[0] == 200)
    assert watched.finished("waits")["state"] == "done"
    wait_for("none to wait", lambda: samples(watched, "avatar_queue_oldest_timestamp_seconds")[("check",)] == 0)


def test_promtool_finds_nothing_to_say(watched: Installation) -> None:
    folder = unpacked("prometheus")
    if folder is None:
        pytest.skip("promtool is not here and could not be fetched (Debian: apt-get download prometheus)")
    wait_for("a job", lambda: watched.events("job finished"))
    text = get(watched, "/metrics")[1]
    promtool = [str(folder / "usr/bin/promtool"), "check", "metrics"]
    result = subprocess.run(promtool, input=text, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.usefixtures("processes")
def test_the_file_for_the_textfile_collector_is_whole_readable_and_goes_with_the_daemon(tmp_path: Path) -> None:
    # Given a daemon that serves no port / Then its figures are in the file, for another user to read
    path = tmp_path / "avatard.prom"
    one = Installation(tmp_path, metrics={"enabled": False, "textfile": str(path)})
    one.start()
    wait_for("the file", path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "avatar_build_info" in {family.name for family in text_string_to_metric_families(path.read_text())}
    # When it stops / Then nothing makes it look alive
    one.stop()
    assert not path.exists()


def test_a_machine_without_a_gpu_is_a_state_and_not_an_error() -> None:
    def shown(*cards: Card) -> str:
        registry = CollectorRegistry()
        registry.register(GpuCollector(lambda: list(cards)))
        return generate_latest(registry).decode()

    assert "avatar_gpu_devices 0.0\n" in shown()
    assert "avatar_gpu_memory_bytes{" not in shown()
    text = shown(Card("0", "GPU-1", "Some GPU", used=3, total=9, busy=0.5, celsius=40))
    assert 'avatar_gpu_memory_bytes{gpu="0",kind="used"} 3.0\n' in text
    assert 'avatar_gpu_utilization_ratio{gpu="0"} 0.5\n' in text
