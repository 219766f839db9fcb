"""The figures of the HTTP door, of one process: requests by route and status, how long they took, uploads that come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: Bounds of the histogram of durations, s: from a status that is known already to an upload.
_BOUNDS: Final = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Stands for every path that leads nowhere, and every method that is none, so that nobody can make series without end.
OTHER: Final = "other"


class DoorMetrics:
    """Counts requests.

    Args:
        uploads: returns how many uploads come in just now.
    """

    def __init__(self, uploads: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "avatar_http_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "avatar_http_request_seconds",
            "Seconds from a request to the end of its answer.",
            ["route"],
            buckets=_BOUNDS,
            registry=self._registry,
        )
        self._refused = Counter(
            "avatar_http_refused", "Requests that were refused, by the error's code.", ["code"], registry=self._registry
        )
        Gauge("avatar_http_uploads", "Uploads that come in now.", registry=self._registry).set_function(uploads)

    def seen(self, method: str, route: str, status: int, seconds: float, code: str) -> None:
        """Count a request.

        Args:
            route: its path with names in place of values, such as `/jobs/{job}`; empty where it leads nowhere.
            status: of the answer; 0: the client went before.
            code: of the error; empty where it was none.
        """
        self._requests.labels(method if method in _METHODS else OTHER, route or OTHER, str(status)).inc()
        self._seconds.labels(route or OTHER).observe(seconds)
        if code:
            self._refused.labels(code).inc()

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self._registry)
