"""The peak memory of each process that makes videos: `python -m benchmarks.speed.memory [--trees FOLDER …] [--size 1080x1080]`.

Each tree, by default this one, has a daemon of its own, whose workers make a short video, a long one that several processes
draw, and one with a new portrait. Prints for each process its largest resident memory (VmHWM), and the largest of its own memory
with its part of what it shares with others (PSS).
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import psutil

from benchmarks import PORTRAIT, ROOT
from benchmarks.speed.checkout_daemon import TEXT, CheckoutDaemon, other_portrait

LOOK_S = 0.2
REPEATS = 5  # of the text in the long video


def role(process: psutil.Process) -> str:
    """Return what a process does, by its command line. A drawing helper is a copy of its worker."""
    line = process.cmdline()
    if "stages.encode.parallel" in line:  # a program of its own in older trees
        return "drawing helper"
    if "--lane" in line:
        parent = process.parent()
        copy = parent is not None and parent.cmdline() == line
        return "drawing helper" if copy else f"worker of the lane {line[line.index('--lane') + 1]}"
    return Path(line[0]).name if line else "?"


class Peaks:
    """Watches the children of a process until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._daemon, self._stop = psutil.Process(pid), threading.Event()
        #: By role and process: VmHWM and PSS, kB.
        self.found: dict[tuple[str, int], tuple[int, int]] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            for child in self._daemon.children(recursive=True):
                try:
                    key = role(child), child.pid
                    highest = _field(child.pid, "status", "VmHWM")
                    share = _field(child.pid, "smaps_rollup", "Pss")
                except (psutil.Error, OSError, StopIteration):  # it ended meanwhile
                    continue
                self.found[key] = highest, max(share, self.found.get(key, (0, 0))[1])

    def stop(self) -> None:
        """Stop watching; `found` stays as it is."""
        self._stop.set()
        self._thread.join()


def _field(pid: int, file: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Make the videos with each tree, and print the memory of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=Path, nargs="+", default=[ROOT], metavar="FOLDER")
    parser.add_argument("--size", default="1080x1080")
    args = parser.parse_args()
    for tree in args.trees:
        with tempfile.TemporaryDirectory() as folder:
            daemon = CheckoutDaemon(tree.resolve(), Path(folder), args.size)
            peaks = Peaks(daemon.process.pid)
            try:
                daemon.video("short", PORTRAIT.read_bytes())
                daemon.video("long", PORTRAIT.read_bytes(), text=f"{TEXT} " * REPEATS)
                daemon.video("other", other_portrait())
            finally:
                peaks.stop()
                daemon.stop()
        print(f"{tree}, {args.size}")
        for (name, pid), (highest, share) in sorted(peaks.found.items()):
            print(f"  {name} {pid}: VmHWM {highest / 1000:.0f} MB, PSS {share / 1000:.0f} MB")


if __name__ == "__main__":
    main()
