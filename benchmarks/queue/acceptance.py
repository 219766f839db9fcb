"""How quickly many manifests are accepted: `python -m benchmarks.queue.acceptance [--jobs 1000]`.

Drops manifests of all kinds at once, one in twenty with a mistake, into the inbox of a daemon whose stages are paused, and
prints how long it takes until each is accepted or answered, with the daemon's CPU time and memory, as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import psutil
import yaml

from benchmarks import PORTRAIT
from benchmarks.programs import start_program

#: One manifest of each kind, and one with a misspelt key, which is answered at once.
KINDS = {
    "video": "text: This is sentence {n} of the night.\nimage: portrait.png\n",
    "speech": "kind: speech\ntext: This is sentence {n} of the night.\n",
    "lipsync": "kind: lipsync\nimage: portrait.png\naudio: clip.wav\n",
    "detect": "kind: detect\nimage: portrait.png\n",
    "voice": "kind: voice\naudio: clip.wav\n",
    "avatar": "kind: avatar\nimage: portrait.png\n",
    "info": "kind: info\naudio: clip.wav\n",
    "encode": "kind: encode\nvideo: clip.mp4\nsize: 256x256\n",
}
MISTAKE = "txet: This is sentence {n} of the night.\nimage: portrait.png\n"
EVERY = 20


def fill(inbox: Path, jobs: int) -> int:
    """Write the files that the manifests name, and then the manifests; returns how many of these have a mistake."""
    (inbox / "portrait.png").write_bytes(PORTRAIT.read_bytes())
    (inbox / "clip.mp4").write_bytes(b"looked at by the stages")
    with wave.open(str(inbox / "clip.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(64_000))
    kinds, wrong = list(KINDS.values()), 0
    for number in range(jobs):
        mistake = number % EVERY == EVERY - 1
        wrong += mistake
        text = MISTAKE if mistake else kinds[number % len(kinds)]
        (inbox / f"job{number:05}.yaml").write_text(text.format(n=number))
    return wrong


def answered(outbox: Path) -> dict[str, int]:
    """Count the statuses by state."""
    counts: dict[str, int] = {}
    for path in outbox.glob("job*.json"):
        state = json.loads(path.read_bytes())["state"]
        counts[state] = counts.get(state, 0) + 1
    return counts


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("inbox", "outbox"):
            (root / name).mkdir()
        config = {
            "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
            "intake": {"settle_s": 0.5, "voices_page": False},
            "metrics": {"enabled": False},
            "lanes": {"preload": False},
            "log": {"level": "warning"},
        }
        (root / "config.yaml").write_text(yaml.safe_dump(config))
        avatar = [sys.executable, "-m", "daemon.cli", "--config", str(root / "config.yaml")]
        service = [sys.executable, "-m", "daemon", "--config", str(root / "config.yaml")]
        daemon = start_program(service, cwd=root, stderr=subprocess.DEVNULL)
        try:
            subprocess.run([*avatar, "pause"], check=False, stdout=subprocess.DEVNULL)
            time.sleep(2.0)  # until it looks at the inbox
            process = psutil.Process(daemon.pid)
            before, began = sum(process.cpu_times()[:2]), time.monotonic()
            wrong = fill(root / "inbox", args.jobs)
            dropped = time.monotonic() - began
            while len(os.listdir(root / "outbox")) < args.jobs or sum(answered(root / "outbox").values()) < args.jobs:
                time.sleep(0.1)
            took, cpu = time.monotonic() - began, sum(process.cpu_times()[:2]) - before
            memory = process.memory_info().rss / 1e6
            counts = answered(root / "outbox")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
    print("\n| manifests | dropped within | all answered after | CPU a manifest | daemon's memory | states |")
    print("|---|---|---|---|---|---|")
    states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    each = f"{1000 * cpu / args.jobs:.1f} ms | {memory:.0f} MB"
    print(f"| {args.jobs}, {wrong} wrong | {dropped:.2f} s | {took:.1f} s | {each} | {states} |")


if __name__ == "__main__":
    main()
