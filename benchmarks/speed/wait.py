"""How long somebody waits for a short video, from the rename into the inbox to the finished status.

    python -m benchmarks.speed.wait [--trees FOLDER …] [--rounds 3] [--size 512x512] [--idle 10]

Each tree is a checkout of this repository, by default this one; they are run by turns with this Python, each with a daemon of its
own in a temporary folder. After the start the daemon is left alone for `--idle` s. Prints for the first job after that, for the
later ones, and for a later one with another portrait, the seconds, and what of them was spent in each stage.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import PORTRAIT, ROOT
from benchmarks.speed.checkout_daemon import CheckoutDaemon, other_portrait

LATER = 3


def measure(tree: Path, size: str, idle_s: float) -> list[tuple[str, float, dict[str, float]]]:
    """One round: what was done, its seconds, and those of its stages."""
    portrait = PORTRAIT.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        daemon = CheckoutDaemon(tree, Path(folder), size)
        try:
            time.sleep(idle_s)
            found = [("first", *daemon.video("first", portrait))]
            found += [("later", *daemon.video(f"later-{number}", portrait)) for number in range(LATER)]
            return [*found, ("later, new portrait", *daemon.video("other", other_portrait()))]
        finally:
            daemon.stop()


def main() -> None:
    """Run the rounds by turns, and print the median, the shortest and the longest wait of each tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=Path, nargs="+", default=[ROOT], metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--idle", type=float, default=10.0)
    args = parser.parse_args()
    found: dict[tuple[Path, str], list[tuple[float, dict[str, float]]]] = defaultdict(list)
    for _ in range(args.rounds):
        for tree in args.trees:
            for what, seconds, stages in measure(tree.resolve(), args.size, args.idle):
                found[tree, what].append((seconds, stages))
    for (tree, what), results in found.items():
        waits = [one for one, _ in results]
        stages = {stage: statistics.median(spent.get(stage, 0.0) for _, spent in results) for stage in results[0][1]}
        told = "  ".join(f"{stage} {spent:.2f}" for stage, spent in stages.items())
        print(
            f"{tree}  {what}: median {statistics.median(waits):.2f} s, {min(waits):.2f} to {max(waits):.2f}  ({told})"
        )


if __name__ == "__main__":
    main()
