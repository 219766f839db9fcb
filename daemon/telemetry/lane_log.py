"""Notes in `spool/lanes.jsonl` why lanes may have stood still: starts and stops of the daemon, pauses, models that were loaded.

`avatar timeline` reads it beside the records of jobs, which say what ran. One JSON object in each line: `at` (seconds since the
epoch), `event`, and what belongs to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.system import fs
from daemon.wire import ModelChange

if TYPE_CHECKING:
    from daemon.queue.pauses import Pause, Scope

#: Name of the file in the spool.
LANE_LOG: Final = "lanes.jsonl"
#: The file is halved where it grows beyond so many bytes.
MOST_BYTES: Final = 1_000_000
#: So often a sign of life is written, by which a crash is seen to have come no later; s.
ALIVE_S: Final = 60.0


class LaneLog(Subscriber):
    """Adds to the file at `path`. What cannot be written is left out: the file is for information only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alive = 0.0

    def began(self, slots: Sequence[str]) -> None:
        """Note that the daemon takes work. `slots`: the names of all."""
        self._write("began", slots=list(slots), alive=self._last_alive())
        self._touch()

    def ended(self) -> None:
        """Note that the daemon stops."""
        self._write("ended")

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        self._write("paused", lane=_row(lane), why=error.code)

    def lane_resumed(self, lane: str) -> None:
        self._write("resumed", lane=_row(lane))

    def queue_paused(self, scope: Scope, pause: Pause) -> None:
        if scope == "lanes":
            self._write("paused", lane="", why=f"by {pause.by}")

    def queue_resumed(self, scope: Scope) -> None:
        if scope == "lanes":
            self._write("resumed", lane="")

    def model_changed(self, change: ModelChange) -> None:
        if change.change == "loaded":
            self._write(
                "loaded",
                lane=change.slot or _row(change.lane),
                stage=change.stage,
                model=change.model,
                seconds=round(change.seconds, 3),
            )

    async def loop(self) -> None:
        """Keep the sign of life fresh, until cancelled."""
        while True:
            self._touch()
            await asyncio.sleep(ALIVE_S)

    def _touch(self) -> None:
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def _last_alive(self) -> float:
        """Return when an earlier daemon was last seen, seconds since the epoch; 0 for never."""
        try:
            return round(self._path.stat().st_mtime, 3)
        except OSError:
            return 0.0

    def _write(self, event: str, **more: Any) -> None:
        line = json.dumps({"at": round(time.time(), 3), "event": event, **more}) + "\n"
        with contextlib.suppress(OSError):
            self._shorten()
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
            try:
                os.write(fd, line.encode())
            finally:
                os.close(fd)

    def _shorten(self) -> None:
        if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
            data = self._path.read_bytes()
            fs.replace_bytes(self._path, data[data.index(b"\n", len(data) // 2) + 1 :], durable=False)


def _row(lane: str | None) -> str:
    """Return what a lane, or the slot of one of several GPUs (`gpu 1`), is called in records of jobs."""
    return (lane or "").replace(" ", "-")


def read_lane_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the file, as far as they can be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):  # a line that a crash cut off
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get("at"), int | float):
                    yield entry
