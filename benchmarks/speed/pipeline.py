"""What a video costs, measured on the real daemon: `make bench`, or
`python -m benchmarks.speed.pipeline [--sizes 512 720 1080] [--long]`.

Prints, for one sentence of about ten seconds:
  - wall time for each second of video at each size, by stage (below 1 is faster than real time);
  - the largest resident memory of each process, for ten seconds and with --long for five minutes of speech;
  - time from drop to acceptance beyond the settle time.
Everything runs on this machine, one job at a time, in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import PORTRAIT
from benchmarks.programs import start_program

SETTLE_S = 1.0
SENTENCE = (
    "The quick brown fox jumps over the lazy dog, while a patient narrator explains what happens in every single frame. "
    "Then there is a pause, and the story goes on for a few more seconds. "
)
LOOK_S = 0.1


class MeasuredDaemon:
    """A daemon in a temporary folder."""

    def __init__(self, root: Path, processes: int) -> None:
        self.inbox, self.outbox = root / "inbox", root / "outbox"
        self.inbox.mkdir()
        self.outbox.mkdir()
        config = {
            "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
            "intake": {"settle_s": SETTLE_S, "max_text_chars": 50_000},
            "lanes": {"cpu": {"processes": processes}},
            "metrics": {"enabled": False},
            "log": {"level": "warning"},
        }
        (root / "config.yaml").write_text(yaml.safe_dump(config))
        (self.inbox / "portrait.png").write_bytes(PORTRAIT.read_bytes())
        self.process = start_program([sys.executable, "-m", "daemon", "--config", str(root / "config.yaml")], cwd=root)
        self.peaks: dict[str, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Note the largest resident memory of the daemon and of each child, in MB."""
        me = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            try:
                for process in (me, *me.children(recursive=True)):
                    name = self._name(process)
                    self.peaks[name] = max(self.peaks.get(name, 0.0), process.memory_info().rss / 1e6)
            except psutil.Error:
                pass
            time.sleep(LOOK_S)

    def _name(self, process: psutil.Process) -> str:
        line = process.cmdline()
        if process.pid == self.process.pid:
            return "daemon"
        return f"{line[line.index('--lane') + 1]} worker" if "--lane" in line else "ffmpeg"

    def run(self, name: str, **manifest: Any) -> dict[str, Any]:
        """Hand in a job and wait for its end; adds `accept_s`, the time from drop to acceptance."""
        (self.inbox / f"{name}.yaml").write_text(yaml.safe_dump({"image": "portrait.png", **manifest}))
        dropped = time.monotonic()
        accepted = None
        while True:
            try:
                status: dict[str, Any] = json.loads((self.outbox / f"{name}.json").read_bytes())
            except FileNotFoundError:
                time.sleep(0.01)
                continue
            accepted = accepted or time.monotonic() - dropped
            if status["state"] in ("done", "failed"):
                if status["state"] == "failed":
                    raise SystemExit(str(status["error"]))
                return {**status, "accept_s": accepted}
            time.sleep(0.02)

    def stop(self) -> None:
        """End the daemon with SIGTERM, and wait at most 60 s for its end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def costs(status: dict[str, Any]) -> dict[str, float]:
    """Run time of each stage for a second of video."""
    seconds = status["stages"]["encode"]["duration_s"]
    return {stage: times["run"] / seconds for stage, times in status["timings"].items()}


def table(rows: list[tuple[str, dict[str, float]]]) -> None:
    """Print a Markdown table of seconds by stage, with a row for each size and the sum at its end."""
    stages = list(rows[0][1])
    print("| | " + " | ".join(stages) + " | all |\n|---|" + "---|" * (len(stages) + 1))
    for name, row in rows:
        print(f"| {name} | " + " | ".join(f"{row[stage]:.3f}" for stage in stages) + f" | {sum(row.values()):.3f} |")


def main() -> None:
    """Measure time and memory, and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 720, 1080])
    parser.add_argument("--long", action="store_true", help="memory for five minutes of speech as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        daemon = MeasuredDaemon(Path(folder), processes=2)
        try:
            daemon.run("warm", text="Warm up.", size="512x512")
            rows = [(f"{size} px", daemon.run(f"s{size}", text=SENTENCE, size=f"{size}x{size}")) for size in args.sizes]
            print("\nWall time in s for each second of video (second job of its kind: models are loaded)\n")
            table([(name, costs(status)) for name, status in rows])
            late = sorted(status["accept_s"] - SETTLE_S for _, status in rows)
            print(f"\nFrom drop to acceptance: settle time ({SETTLE_S} s) + {late[len(late) // 2]:.2f} s (median)")
        finally:
            daemon.stop()
    memory("about 10 s", SENTENCE)
    if args.long:
        memory("about 5 min", SENTENCE * 28)


def memory(name: str, text: str) -> None:
    """Largest resident memory of each process of a fresh daemon for one job."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = MeasuredDaemon(Path(folder), processes=1)
        try:
            status = daemon.run("memory", text=text, size="720x720")
        finally:
            daemon.stop()
    peaks = ", ".join(f"{process} {peak:.0f} MB" for process, peak in sorted(daemon.peaks.items()))
    print(f"\nLargest resident memory, {name} ({status['stages']['tts']['audio_s']:.0f} s of speech): {peaks}")


if __name__ == "__main__":
    main()
