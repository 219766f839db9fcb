"""How well a batch of real videos fills the slots: `python -m benchmarks.batch.videos [--rows 100] [--size 512x512]`.

A daemon makes a video of about 3 s of each row of a table. Prints how long the batch took, and beside it how long the stages took
in each lane, divided by its slots: the busiest lane bounds what any order can reach. Drawing may have all slots but one.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from benchmarks import PORTRAIT
from benchmarks.speed.checkout_daemon import CheckoutDaemon, renamed
from daemon.cli.capacity import NAMES
from daemon.jobs.stages import BY_NAME
from daemon.outbox.lane_work import LaneWork
from daemon.queue.spool import Spool
from daemon.telemetry.timeline.records import lane_of, read_past

ROOT = Path(__file__).resolve().parents[2]
#: About 3 s of speech; each row has another name, so that nothing is spoken twice.
TEXT = "Hello number {{id}}. Welcome to the course on safety, it starts on Monday."
LOOK_S = 0.2


def table(rows: int) -> bytes:
    """Return a table of so many rows."""
    text = io.StringIO()
    csv.writer(text).writerows([["id"], *([number] for number in range(1, rows + 1))])
    return text.getvalue().encode()


def run(root: Path, rows: int, size: str) -> None:
    """Make the videos, and print the table."""
    daemon = CheckoutDaemon(ROOT, root, size)
    try:
        daemon.video("warm", PORTRAIT.read_bytes())  # the workers have started, and hold their models
        renamed(daemon.inbox / "face.png", PORTRAIT.read_bytes())
        renamed(daemon.inbox / "rows.csv", table(rows))
        template = {"text": TEXT, "image": "face.png", "size": size, "output": "video-{{id}}"}
        wall = time.time()
        renamed(
            daemon.inbox / "rows.yaml",
            yaml.safe_dump({"kind": "batch", "rows": "rows.csv", "template": template}).encode(),
        )
        while (status := daemon.status("rows")).get("state") not in ("done", "failed", "cancelled"):
            time.sleep(LOOK_S)
        assert status["state"] == "done", status
        ended = time.time()
    finally:
        daemon.stop()
    past = read_past(Spool(root / "spool"), wall, ended)
    spans = [(slot, span) for slot, found in past.spans.items() for span in found if span.began >= wall]
    work: dict[str, float] = dict.fromkeys(LaneWork._fields, 0.0)
    for slot, span in spans:
        lane = lane_of(slot)
        work["long" if lane == "cpu" and BY_NAME[span.stage].turn == "long" else lane] += span.ended - span.began
    slots = Counter(lane_of(slot) for slot in past.spans)
    times = LaneWork(**work).time_in({lane: slots[lane] for lane in ("gpu", "voice", "cpu")})._asdict()
    total = max(span.ended for _, span in spans) - min(span.began for _, span in spans)
    print(
        f"\n{rows} videos of about 3 s, {size}, {slots['cpu']} slots of the cpu lane, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| lane | its stages | divided by its slots |\n|---|---|---|")
    for field, seconds in times.items():
        print(f"| {NAMES[field]} | {work[field]:.1f} s | {seconds:.1f} s |")
    print(f"\nfrom the first stage to the last: {total:.1f} s, × {total / max(times.values()):.3f} of the busiest lane")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--size", default="512x512")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), args.rows, args.size)


if __name__ == "__main__":
    main()
