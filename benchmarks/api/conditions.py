"""What else happens on the machine while jobs are handed in, so that the cost of the door is told from that of its neighbours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

#: Step of the scheduler's scale that weighs about as much as `CPUWeight=500` of systemd/avatard-api.service does beside 100.
UNIT_STEP = -7

#: Makes it so inside a `with` block. Args: the daemon, and the servers that are measured.
Condition = Callable[[psutil.Process, Sequence[psutil.Process]], AbstractContextManager[None]]


@contextlib.contextmanager
def as_started(daemon: psutil.Process, servers: Sequence[psutil.Process]) -> Iterator[None]:
    """Change nothing: the server has the same share of the processors as each process that renders."""
    yield


@contextlib.contextmanager
def with_the_units_share(daemon: psutil.Process, servers: Sequence[psutil.Process]) -> Iterator[None]:
    """Give the servers the share of the processors that the unit gives them.

    Raises:
        OSError: only root may, on a kernel that groups processes by their session.
    """
    try:
        _weigh(servers, UNIT_STEP)
        yield
    finally:
        _weigh(servers, 0)


@contextlib.contextmanager
def not_rendering(daemon: psutil.Process, servers: Sequence[psutil.Process]) -> Iterator[None]:
    """Let the stages stand still: the daemon still takes in what is handed in."""
    with _standing_still(daemon.children(recursive=True)):
        yield


@contextlib.contextmanager
def daemon_stopped(daemon: psutil.Process, servers: Sequence[psutil.Process]) -> Iterator[None]:
    """Let the daemon and the stages stand still, so that only the server and its clients use the processors."""
    with _standing_still([daemon, *daemon.children(recursive=True)]):
        yield


CONDITIONS: dict[str, Condition] = {
    "": as_started,
    "with the unit's share": with_the_units_share,
    "the daemon not rendering": not_rendering,
    "the daemon stopped": daemon_stopped,
}


def possible(daemon: psutil.Process, servers: Sequence[psutil.Process]) -> dict[str, Condition]:
    """Return the conditions that this machine and user allow."""
    found = dict(CONDITIONS)
    try:
        with with_the_units_share(daemon, servers):
            pass
    except OSError:
        del found["with the unit's share"]
    return found


def _weigh(processes: Sequence[psutil.Process], step: int) -> None:
    for process in processes:
        Path(f"/proc/{process.pid}/autogroup").write_text(str(step))


@contextlib.contextmanager
def _standing_still(processes: Sequence[psutil.Process]) -> Iterator[None]:
    try:
        for process in processes:
            with contextlib.suppress(psutil.Error):  # it has ended
                process.suspend()
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.resume()
