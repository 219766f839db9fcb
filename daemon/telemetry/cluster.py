"""Tells of the Ray cluster, as metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.workers.remote.pool import RayPool


class ClusterCollector(Collector):
    """Exports how many machines the cluster has, and how many results were refused. Only where a cluster is used."""

    def __init__(self, pool: RayPool) -> None:
        self._pool = pool

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this moment."""
        yield GaugeMetricFamily(
            "avatar_ray_nodes", "Machines of the Ray cluster; 0 while it is not connected.", value=self._pool.nodes
        )
        yield CounterMetricFamily(
            "avatar_late_results_refused",
            "Results of workers on other machines that had been given up.",
            value=self._pool.refused,
        )
