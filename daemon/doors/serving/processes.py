"""Tells uvicorn at once that one of its processes has died, where it waited for an answer until its patience ended."""

from __future__ import annotations

from uvicorn.supervisors import multiprocess


class WatchedProcess(multiprocess.Process):
    """A process of the HTTP server whose death ends the pipe by which uvicorn asks whether it lives.

    uvicorn itself keeps both ends open. While it waits for the first answer of a process that was killed as it started, it hears
    no signal: a stop took as long as `daemon.doors.http.connections.SILENT_S`.
    """

    def start(self) -> None:
        """Start it, with its end of the pipe for itself."""
        super().start()
        self.child_conn.close()


def watch_processes() -> None:
    """Let uvicorn make such processes."""
    multiprocess.Process = WatchedProcess  # type: ignore[misc]
