"""How long a GPU's slot stands idle between two jobs: `python -m benchmarks.batch.gap [--waiting 10 1000] [--flush-ms 0 20]`.

Short videos go through a real queue whose workers only wait; so many others wait in the queue of the voice. Prints the time from
the end of one stage in the slot of the GPU to the start of the next one there, while work waits for it. `--flush-ms` makes each
flush of a file or folder take so much longer, as on a slow disk.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.batch.replay import Costs, Replay, ReplayedWorker
from daemon.config import Settings
from daemon.system import fs
from daemon.system.file_calls import Ops
from daemon.wire import Notice, Result, RunRequest

#: What the stages take, s: those of the GPU are short, so that many starts are measured in little time.
RUN_S = {"tts": 0.06, "lipsync": 0.06, "encode": 0.03, "face": 0.01}


class SlowDisk(Ops):
    """The real calls, with flushes that take longer."""

    def __init__(self, longer_s: float) -> None:
        self._longer_s = longer_s

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        """As `Ops.write`."""
        super().write(path, data, sync, mode)
        if sync:
            time.sleep(self._longer_s)

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        """As `Ops.rewrite`."""
        super().rewrite(path, data, sync)
        if sync:
            time.sleep(self._longer_s)

    def sync_file(self, path: Path) -> None:
        """As `Ops.sync_file`."""
        super().sync_file(path)
        time.sleep(self._longer_s)

    def sync_dir(self, path: Path) -> None:
        """As `Ops.sync_dir`."""
        super().sync_dir(path)
        time.sleep(self._longer_s)

    def sync_all(self, paths: Sequence[Path]) -> None:
        """As `Ops.sync_all`."""
        super().sync_all(paths)
        time.sleep(self._longer_s)


class WatchedWorker(ReplayedWorker):
    """Notes when runs begin and end."""

    def __init__(self, lane: str, settings: Settings, on_notice: Callable[[Notice], None], costs: Costs) -> None:
        super().__init__(lane, settings, on_notice, costs)
        self.gaps: list[float] = []
        self._ended: float | None = None

    async def run(self, request: RunRequest, timeout_s: float, on_progress: Callable[[float], None]) -> Result:
        """Run as replayed."""
        began = time.perf_counter()
        if self._ended is not None:
            self.gaps.append(began - self._ended)
        # The end is when the time is over, not when the event loop comes to it.
        run_s = self._costs.run.get(request.stage, 0.0)
        result = await super().run(request, timeout_s, on_progress)
        self._ended = began + run_s
        return result


async def measure(folder: Path, waiting: int, jobs: int) -> list[float]:
    """Return the gaps between jobs in the GPU's slot, s."""
    replay = Replay(folder, Costs({}, RUN_S))
    lane = replay.service.lanes.gpus[0]
    slot = lane.slots[0]
    worker = WatchedWorker(lane.name, replay.service.settings, slot.worker._on_notice, replay.costs)
    slot.worker = worker
    for _ in range(waiting):
        replay.add("tts", "waits")
    os.sync()
    replay.start()
    while len(worker.gaps) < min(jobs, 2 * waiting - 2):
        await replay.service.state_machine.changed.wait(1.0)
    await replay.stop()
    return worker.gaps


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs="+", default=(10, 1000))
    parser.add_argument("--flush-ms", type=float, nargs="+", default=(0.0, 20.0))
    parser.add_argument("--jobs", type=int, default=80, help="stages measured in each row")
    args = parser.parse_args()
    print(f"\nload average before {os.getloadavg()[0]:.1f}\n")
    print("| a flush takes longer by | waiting | idle between two jobs, median | 95 % |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for flush_ms in args.flush_ms:
            for waiting in args.waiting:
                fs.OPS = SlowDisk(flush_ms / 1000) if flush_ms else Ops()
                gaps = sorted(asyncio.run(measure(Path(folder) / f"{waiting} {flush_ms}", waiting, args.jobs)))
                fs.OPS = Ops()
                print(
                    f"| {flush_ms:g} ms | {waiting:,} | {1e3 * statistics.median(gaps):.1f} ms "
                    f"| {1e3 * gaps[int(0.95 * len(gaps))]:.1f} ms |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
