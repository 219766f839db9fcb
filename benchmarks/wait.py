"""How long somebody waits for a short video, from the rename into the inbox to the finished status: `python benchmarks/wait.py`.

    wait.py [--trees FOLDER …] [--rounds 3] [--size 512x512] [--idle 10]

Each tree is a checkout of this repository, by default this one; they are run by turns with this Python, each with a daemon of its
own in a temporary folder. After the start the daemon is left alone for `--idle` s. Prints for the first job after that, for the
later ones, and for a later one with another portrait, the seconds, and what of them was spent in each stage.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEXT = "The north wind and the sun were disputing which was the stronger."  # about 3 s
PORTRAIT = ROOT / "examples" / "portrait.png"
LOOK_S, LATER = 0.01, 3


def renamed(path: Path, content: bytes) -> None:
    """Put a file into the inbox as programs do that want nobody to read half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.rename(path)


class House:
    """A daemon of one tree in a folder of its own."""

    def __init__(self, tree: Path, root: Path, size: str) -> None:
        self.inbox, self.outbox, self._size = root / "inbox", root / "outbox", size
        self.inbox.mkdir()
        self.outbox.mkdir()
        config = {
            "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
            "metrics": {"enabled": False},
            "log": {"format": "json"},
        }
        (root / "config.yaml").write_text(yaml.safe_dump(config))
        self._log = root / "log"
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        command = [sys.executable, "-m", "daemon", "--config", str(root / "config.yaml")]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=tree, env=environment, stdout=log, stderr=log)
        while b'"ready"' not in self._log.read_bytes():
            if self.process.poll() is not None:
                raise SystemExit(f"The daemon of {tree} ended:\n{self._log.read_text()}")
            time.sleep(LOOK_S)

    def video(self, name: str, portrait: bytes, **wanted: str) -> tuple[float, dict[str, float]]:
        """Return seconds from the drop to the end of a job, and those of its stages; `wanted`: more keys of its manifest."""
        manifest = {"text": TEXT, "image": f"{name}.png", "size": self._size, **wanted}
        began = time.monotonic()
        renamed(self.inbox / f"{name}.png", portrait)
        renamed(self.inbox / f"{name}.yaml", yaml.safe_dump(manifest).encode())
        while (status := self.status(name)).get("state") not in ("done", "failed", "cancelled"):
            time.sleep(LOOK_S)
        seconds = time.monotonic() - began
        if status["state"] != "done":
            raise SystemExit(f"{name} is {status['state']}: {status.get('error')}\n{self._log.read_text()}")
        return seconds, {stage: spent["run"] for stage, spent in status["timings"].items()}

    def status(self, name: str) -> dict[str, Any]:
        """Return the status file of a job; empty if there is none yet."""
        try:
            status: dict[str, Any] = json.loads((self.outbox / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return {}
        return status

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def other_portrait() -> bytes:
    """Return the example, mirrored: a picture that no cache knows."""
    return bytes(cv2.imencode(".png", cv2.imread(str(PORTRAIT))[:, ::-1])[1])


def measure(tree: Path, size: str, idle_s: float) -> list[tuple[str, float, dict[str, float]]]:
    """One round: what was done, its seconds, and those of its stages."""
    portrait = PORTRAIT.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        house = House(tree, Path(folder), size)
        try:
            time.sleep(idle_s)
            found = [("first", *house.video("first", portrait))]
            found += [("later", *house.video(f"later-{number}", portrait)) for number in range(LATER)]
            return [*found, ("later, new portrait", *house.video("other", other_portrait()))]
        finally:
            house.stop()


def main() -> None:
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
