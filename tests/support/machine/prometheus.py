"""A real Prometheus that scrapes one daemon each half second, and what it makes of an expression."""

from __future__ import annotations

import json
import math
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import PATIENCE_S, wait_for
from tests.support.machine.server_process import server_process

RULES = Path(__file__).resolve().parents[3] / "monitoring" / "rules.yml"
CONFIG = """\
global: {{scrape_interval: 500ms, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: avatard
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{node}"]}}]
"""
#: Names in an expression that are PromQL's own.
WORDS = {
    "and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "le", "sum", "min",
    "max", "avg", "count", "rate", "increase", "changes", "absent", "time", "histogram_quantile", "predict_linear",
    "max_over_time", "delta",
}  # fmt: skip
_STRING, _RANGE, _WORD = re.compile(r'"[^"]*"'), re.compile(r"\[[^\]]*\]"), re.compile(r"(?<!\w)[a-zA-Z_:][\w:]*")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


class Prometheus:
    """Runs a Prometheus on a free port, with the rules of this repository, a daemon, and what stands for node_exporter.

    Args:
        target: port of the daemon's metrics.
        node: port of the metrics of its machine.
    """

    def __init__(self, program: Path, folder: Path, target: int, node: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, port=target, node=node))
        with (folder / "prometheus.log").open("wb") as log:
            self._process = server_process(
                [
                    program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for("Prometheus to scrape", lambda: self._scrapes())

    def _scrapes(self) -> bool:
        try:
            return len(self.query("up == 1")) == 2
        except (OSError, RuntimeError):
            return False

    def _get(self, path: str, **words: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            said = exc.read()
            raise RuntimeError(json.loads(said)["error"] if said.startswith(b"{") else said.decode()) from exc

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an expression at this moment.

        Raises:
            RuntimeError: Prometheus cannot parse it; with its own words.
        """
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def values(self, expression: str) -> list[float]:
        """Its values that are numbers."""
        numbers = [float(sample["value"][1]) for sample in self.query(expression)]
        return [number for number in numbers if not math.isnan(number)]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerting rules with their states, as Prometheus' API gives them."""
        rules: list[dict[str, Any]] = self._get("rules")["groups"][0]["rules"]
        return rules

    def labels_of(self, metric: str) -> list[dict[str, str]]:
        """Return the labels of each series of a metric."""
        found: list[dict[str, str]] = self._get("series", **{"match[]": metric})
        return found

    def faults(self, expression: str) -> list[str]:
        """What is wrong with an expression: it does not parse, or names a metric, a label or a value that was never scraped."""
        try:
            self.query(expression)
        except RuntimeError as exc:
            return [str(exc)]
        bare = _LABELS.sub(" ", _RANGE.sub("", _STRING.sub("", expression)))
        bare = re.sub(r"\{[^}]*\}", "", bare)
        metrics = sorted({word for word in _WORD.findall(bare) if word not in WORDS})
        series = {metric: self.labels_of(metric) for metric in metrics}
        wrong = [f"no metric {metric}" for metric, found in series.items() if not found]
        for metric, matchers in _SELECTOR.findall(expression):
            wrong += [
                f"{metric} has no {label}{operator}{value}"
                for label, operator, value in re.findall(r'(\w+)\s*(=~|!=|=)\s*("[^"]*")', matchers)
                if not any(_matches(labels, label, operator, value.strip('"')) for labels in series.get(metric, []))
            ]
        known = {label for found in series.values() for labels in found for label in labels}
        grouped = {
            label.strip() for group in _LABELS.findall(expression) for label in group.split(",") if label.strip()
        }
        return wrong + [f"no label {label}" for label in sorted(grouped - known)]

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(PATIENCE_S)


def _matches(labels: dict[str, str], label: str, operator: str, value: str) -> bool:
    if label not in labels:
        return False
    return (
        re.fullmatch(value, labels[label]) is not None
        if operator == "=~"
        else True
        if operator == "!="
        else labels[label] == value
    )
