"""Dashboards and alerts name what the daemon really exports: a real daemon, a real Prometheus, every expression asked."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.doors.hooks.metrics import MetricsFile
from daemon.doors.hooks.store import Store
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.machine.debs import unpacked
from tests.support.machine.prometheus import RULES, Prometheus
from tests.support.machine.threaded_server import in_a_thread

pytestmark = pytest.mark.usefixtures("processes")

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((MONITORING / "grafana").glob("*.json"))}
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
VIDEO = {"text": "Hello there.", "image": "p.png", "size": "256x256"}


@pytest.fixture(scope="module")
def programs() -> Path:
    folder = unpacked("prometheus")
    if folder is None:
        pytest.skip("Prometheus is not here and could not be fetched (Debian: apt-get download prometheus)")
    return folder / "usr" / "bin"


@pytest.fixture(scope="module")
def scene(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A daemon with a card, watched by Prometheus, in which all that the panels show has happened."""
    root = tmp_path_factory.mktemp("scene")
    one = Installation(root, heartbeat={"every_s": 1.0})
    one.environment.pop("CUDA_VISIBLE_DEVICES")  # with which tests hide the GPUs of the machine
    one.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "support" / "machine" / "cards"), str(ROOT)])
    one.start()
    port = json.loads((one.spool / "metrics.json").read_bytes())["port"]
    with node_exporter(figures_of_hooks(root)) as node:
        watcher = Prometheus(programs / "prometheus", root, port, node)
        try:
            play(one, watcher)
            yield watcher
        finally:
            watcher.stop()
            one.stop()


def figures_of_hooks(root: Path) -> Path:
    """The file of hooks of which one has a message that was tried in vain, and one that was given up."""
    store, path = Store(root / "hooks"), root / "hooks.prom"
    store.path.parent.mkdir()
    store.create(time.time())
    keys = {
        "hook": "chat",
        "url": "",
        "type": "job.done",
        "name": "hello",
        "job_state": "done",
        "output": "",
        "body": b"{}",
    }
    store.note_end("job-1", 1, 1, [{**keys, "id": f"msg_{number}", "job": "job-1"} for number in range(2)])
    store.note_attempt(1, "waiting", time.time(), "no answer", time.time())
    store.note_attempt(2, "dead", time.time(), "410", time.time())
    MetricsFile(store).write(path)
    return path


@contextlib.contextmanager
def node_exporter(textfile: Path) -> Iterator[int]:
    """Serve a file as node_exporter's textfile collector does; yields the port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(textfile.read_bytes())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
            pass

    with in_a_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)) as server:
        yield server.server_port


def play(one: Installation, watcher: Prometheus) -> None:
    """Good jobs, bad jobs, a worker that dies, a disk without room, and a pause with jobs that wait."""
    assert one.process is not None
    one.drop("good.yaml", VIDEO, p__png=PORTRAIT)
    one.drop("bad.yaml", {"kind": "speech", "text": "???"})
    one.drop("wrong.yaml", "text: no picture\n")
    assert [one.finished(name)["state"] for name in ("good", "bad", "wrong")] == ["done", "failed", "failed"]
    # Twice, a scrape apart: what begins at once with its last value has no rate.
    wait_for("the first to be scraped", lambda: watcher.values('avatar_jobs_finished_total{result="done"} > 0'))
    one.drop("again.yaml", VIDEO)
    assert one.finished("again")["state"] == "done"
    one.avatar("pause", "--reason", "new lamps")
    for number in range(3):
        one.drop(f"waits{number}.yaml", {"kind": "speech", "text": "Hello."})
    wait_for("jobs to wait", lambda: watcher.values("sum(avatar_queue_jobs) >= 3"))
    settings = yaml.safe_load(one.config.read_text())
    one.config.write_text(yaml.safe_dump({**settings, "intake": {**settings["intake"], "reserve_mb": 10**9}}))
    one.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: one.events("config reloaded"))
    one.drop("no-room.yaml", {"kind": "speech", "text": "Hello."})
    wait_for("the intake to pause", lambda: watcher.values("avatar_lane_pause_info"))


def asked(expression: str) -> str:
    """A panel's expression as Grafana would send it with everything chosen."""
    chosen = {"$__rate_interval": "2m", "$job": ".+", "$instance": ".+"}
    for name, value in chosen.items():
        expression = expression.replace(name, value)
    return expression


PANELS = {
    f"{board}: {panel['title']} {target['refId']}": (asked(target["expr"]), target["legendFormat"])
    for board, dashboard in BOARDS.items()
    for panel in dashboard["panels"]
    for target in panel["targets"]
}


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_shows_what_is_there(scene: Prometheus, panel: str) -> None:
    expression, legend = PANELS[panel]
    assert scene.faults(expression) == []
    assert wait_for("data", lambda: scene.values(expression))
    # And the legend has no holes
    named = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert all(named <= sample["metric"].keys() for sample in scene.query(expression))


@pytest.mark.parametrize("alert", [pytest.param(rule, id=rule["alert"]) for rule in ALERTS])
def test_each_alert_names_what_is_there_and_has_its_page(scene: Prometheus, alert: dict[str, Any]) -> None:
    assert scene.faults(alert["expr"]) == []
    notes = alert["annotations"]
    page = MONITORING / "runbooks" / Path(notes["runbook_url"]).name
    heads = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert page.stem == alert["alert"]
    assert heads == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert Path(notes["dashboard_url"]).name in {board["uid"] for board in BOARDS.values()}
    assert alert["labels"]["severity"] in ("page", "ticket")


def test_the_alerts_are_loaded_and_well_by_prometheus_itself(scene: Prometheus) -> None:
    loaded = wait_for("the rules", lambda: (r := scene.alerts()) and all(x["health"] == "ok" for x in r) and r)
    assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("avatar_queue_jobs", "avatar_queue_job"),
        ("by (stage)", "by (stages)"),
        ('fault!="job"', 'faults!="job"'),
        ('stage="deliver"', 'stage="delivery"'),
        ('state="dead"', 'state="given up"'),
        ("sum by", "summ by"),
    ],
)
def test_a_wrong_name_anywhere_is_found(scene: Prometheus, right: str, wrong: str) -> None:
    # Given every expression that has the right name, without faults / When it is misspelt / Then each is found
    every = [*(expression for expression, _ in PANELS.values()), *(rule["expr"] for rule in ALERTS)]
    having = [expression for expression in every if right in expression]
    assert having
    assert all(scene.faults(expression.replace(right, wrong)) for expression in having)


def test_the_alerts_tell_their_stories(programs: Path) -> None:
    for words in (["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]):
        result = subprocess.run(
            [programs / "promtool", *words], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
    # And none is without one
    told = yaml.safe_load((MONITORING / "rules.test.yml").read_text())["tests"]
    fired = {c["alertname"] for story in told for c in story["alert_rule_test"] if c["exp_alerts"]}
    silent = {c["alertname"] for story in told for c in story["alert_rule_test"] if not c["exp_alerts"]}
    assert fired == silent == {rule["alert"] for rule in ALERTS}


@pytest.mark.usefixtures("processes")
def test_the_dashboards_are_what_the_script_makes_and_can_be_read() -> None:
    check = [sys.executable, str(ROOT / "tools" / "dashboards.py"), "--check"]
    assert subprocess.run(check, check=False).returncode == 0
    assert len(BOARDS) == 2
    for board in BOARDS.values():
        assert [v["name"] for v in board["templating"]["list"]] == ["datasource", "job", "instance"]
        assert len(board["panels"]) <= 10
        for panel in board["panels"]:
            assert panel["title"]
            assert panel["description"].endswith((".", ")."))
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
            # Those of hooks come by node_exporter, whose job and instance are others than the daemon's.
            of_hooks = panel["title"].startswith("Hooks: ")
            assert all(("$instance" in target["expr"]) != of_hooks for target in panel["targets"])
