"""`state.json` is written beside the event loop after events, so that a slot waits for no flush, and is never set back."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from daemon.errors import MachineError
from daemon.outbox.estimates.estimate_errors import EstimateErrors
from daemon.outbox.estimator import Estimator
from daemon.outbox.latest_writes import LatestWrites
from daemon.system import fs
from daemon.system.file_calls import Ops
from daemon.telemetry.state_file import StateFile, read_state

LOST = MachineError("gpu-lost", "Gone.", "Look.")


class Flushes(Ops):
    """Notes which threads write."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        self.threads.append(threading.current_thread())
        super().write(path, data, sync, mode)


def test_events_are_written_in_a_thread_and_the_last_write_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = Flushes()
    monkeypatch.setattr(fs, "OPS", ops)
    path = tmp_path / "state.json"

    async def live() -> None:
        writes = LatestWrites()
        file = StateFile(path, Estimator(), EstimateErrors(lambda job: None), beside=writes)
        file.lane_paused("gpu 1", LOST, 30.0)
        file.slots_changed()
        await writes.written()
        assert list(read_state(path)["paused_lanes"]) == ["gpu 1"]
        assert threading.main_thread() not in ops.threads
        # And what waits when the daemon stops does not come after its last word
        file.lane_paused("gpu 2", LOST, 30.0)
        file.lane_resumed("gpu 1")
        file.write()
        count = len(ops.threads)
        await writes.written()
        assert len(ops.threads) == count

    asyncio.run(live())
    assert list(read_state(path)["paused_lanes"]) == ["gpu 2"]
