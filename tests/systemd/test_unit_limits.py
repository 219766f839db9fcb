"""The limits of the service fit large machines, too: what is counted there grows with the cores."""

from __future__ import annotations

import os

import pytest

from daemon.config.settings import CpuLane
from tests.conftest import ROOT

#: Threads of OpenBLAS in NumPy's wheels: one for each core, and no more than they were built for. It starts them when it is
#: imported, and ends the import, or waits for ever, where one cannot be started.
_MOST_BLAS = 64
#: Threads in which a process of the HTTP server answers at once (anyio's usual number).
_ANSWERING = 40
#: Least that the kernel allows on a machine of that size: one task for each 128 KB of main memory (fork_init in kernel/fork.c).
_GB_OF_MEMORY, _TASK_BYTES = 64, 128 << 10


@pytest.mark.parametrize("cores", [2, 48, 192])
def test_every_worker_of_the_cpu_lane_has_its_threads(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given that many cores, on a machine that may have more: a container or `CPUAffinity=` may leave this process some of them
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(os, "cpu_count", lambda: 1024)
    assert CpuLane().slots == max(2, cores // 2)
    # When all its slots have worked, then there is room for as many threads again, of torch and the encoders
    assert most_tasks("avatard.service") >= 2 * CpuLane().slots * min(cores, _MOST_BLAS)


def test_every_process_of_the_http_server_has_its_threads() -> None:
    assert most_tasks("avatard-api.service") >= 16 * (_MOST_BLAS + _ANSWERING)


def most_tasks(unit: str) -> int:
    """Return how many threads a unit allows."""
    lines = (ROOT / "systemd" / unit).read_text().splitlines()
    (limit,) = [line.partition("=")[2] for line in lines if line.startswith("TasksMax=")]
    kernels = (_GB_OF_MEMORY << 30) // _TASK_BYTES
    return kernels * int(limit.rstrip("%")) // 100 if limit.endswith("%") else int(limit)
