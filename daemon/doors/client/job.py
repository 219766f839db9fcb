"""One job, seen by whoever handed it in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from daemon.doors.client.status import JobStatus, Result
from daemon.errors import UnavailableError

if TYPE_CHECKING:
    from daemon.doors.client.client import Client

#: Time between two looks at a status, at first and at most, in s.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 1.0


class Job:
    """A job, by its id. It is looked at in the outbox, so that it can be followed without any right to the spool.

    Attributes:
        id: `job-YYYYmmddTHHMMSSZ-xxxxxxxx`.
        name: what its results are called, as far as it is known.
        manifest: name of its manifest in the inbox; empty where it was handed in by somebody else.
    """

    def __init__(self, client: Client, job: str, name: str, *, manifest: str = "") -> None:
        self.id = job
        self.manifest = manifest
        self.name = name
        self._client = client

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.name!r})"

    @property
    def status(self) -> JobStatus:
        """Its status now; `waiting` until the daemon has seen it.

        Raises:
            AvatarError: `job-unknown`: the outbox has no status of it any more.
        """
        status = self._client._status_of(self)
        self.name = status.name
        return status

    @property
    def result(self) -> Result | None:
        """How it ended; None until it has."""
        status = self.status
        return Result.of(status) if status.is_finished else None

    def events(self, timeout: float | None = None) -> Iterator[JobStatus]:
        """Yield its status now and at each change, until it has ended; whoever looks late misses what was in between.

        Args:
            timeout: longest time in s; None: without end, also while the daemon is down.

        Raises:
            AvatarError: `answer-late`: the time is over, the job goes on; `job-unknown`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        last, delay = None, FIRST_LOOK_S
        while True:
            status = self.status
            if status != last:
                last, delay = status, FIRST_LOOK_S
                yield status
                if status.is_finished:
                    return
            left = LONGEST_LOOK_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError(
                    "answer-late", f"The job {self.id} is not finished after {timeout:g} s.", "It goes on; wait again."
                )
            time.sleep(min(delay, left))
            delay = min(delay * 1.5, LONGEST_LOOK_S)

    def wait(self, timeout: float | None = None) -> Result:
        """Wait for its end. A job that failed has a result, too: see `Result.success`.

        Raises:
            AvatarError: as `events`.
        """
        for status in self.events(timeout):
            if status.is_finished:
                return Result.of(status)
        raise AssertionError("events end with the job")

    def cancel(self) -> str:
        """Cancel it, waiting or running. Returns the answer, a sentence.

        Raises:
            AvatarError: the daemon refused, such as `job-finished`; `answer-late`.
        """
        return self._client.cancel(self)

    def hold(self, reason: str = "") -> str:
        """Hold it back; one that runs ends its stage first."""
        return self._client.hold(self, reason)

    def release(self) -> str:
        """Let it go on after `hold`."""
        return self._client.release(self)

    def retry(self) -> str:
        """Start it again after it failed or was cancelled."""
        return self._client.retry(self)

    def priority(self, value: int) -> str:
        """Give it another place among the jobs that wait: -100 to 100, higher goes first."""
        return self._client.priority(self, value)

    def rerun(self, *, name: str | None = None, key: str = "", **keys: Any) -> Job:
        """Make it again, with what `keys` say otherwise; see `Client.rerun`."""
        return self._client.rerun(self, name=name, key=key, **keys)
