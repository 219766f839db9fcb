"""How long videos of 5, 10, 30 and 60 seconds take:
`python -m benchmarks.speed.expected_times [--seconds 5 10 30 60] [--sizes 512 720 1080]`.

Prints the Markdown table of docs/times.md: seconds from the moment a manifest is dropped until its video stands in the outbox, in
a daemon that has made a video before, one job at a time. Beside each stands what `avatar validate` expected just before, as the
daemon had learned it by then.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from benchmarks import PORTRAIT
from benchmarks.speed.pipeline import SENTENCE, MeasuredDaemon

#: Seconds of speech of the default voice for a word of `SENTENCE`, to make texts of about the wanted length.
WORD_S = 0.30


def text_of(seconds: float) -> str:
    """Return whole sentences, and a part of one, that take about so many seconds."""
    words = (SENTENCE * int(1 + seconds / 5)).split()
    return " ".join(words[: max(3, round(seconds / WORD_S))]).rstrip(",.") + "."


def expected(root: Path, manifest: dict[str, object]) -> float:
    """Return the seconds that `avatar validate` expects, all stages together."""
    path = root / "asked.yaml"
    path.write_text(yaml.safe_dump({**manifest, "image": PORTRAIT.name}))
    answer = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "--config", str(root / "config.yaml"), "validate", str(path), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return float(json.loads(answer.stdout)[0]["expected"]["total_s"])


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 10, 30, 60])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 720, 1080])
    args = parser.parse_args()
    load = psutil.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / PORTRAIT.name).write_bytes(PORTRAIT.read_bytes())
        daemon = MeasuredDaemon(root, processes=psutil.cpu_count() or 1)
        try:
            for size in args.sizes:
                daemon.run(f"warm{size}", text="Warm up, and then go on with the work.", size=f"{size}x{size}")
            for seconds in args.seconds:
                cells, spoken = [], 0.0
                for size in args.sizes:
                    manifest: dict[str, object] = {"text": text_of(seconds), "size": f"{size}x{size}"}
                    guess = expected(root, manifest)
                    began = time.monotonic()
                    status = daemon.run(f"v{size}x{seconds:g}", **manifest)
                    cells.append(f"{time.monotonic() - began:.1f} ({guess:.1f})")
                    spoken = status["stages"]["encode"]["duration_s"]
                rows.append((spoken, cells))
        finally:
            daemon.stop()
    print("\n| length of the video | " + " | ".join(f"{size} px" for size in args.sizes) + " |")
    print("|---|" + "---|" * len(args.sizes))
    for spoken, cells in rows:
        print(f"| {spoken:.0f} s | " + " | ".join(cells) + " |")
    print(f"\nload before: {load:.1f}")


if __name__ == "__main__":
    main()
