"""Draws frames of the checkout that `PYTHONPATH` names and says what each cost, for `benchmarks.video.warp --before`.

It reads lines with a size and a number of frames, and answers each with the processor times of these frames in one thread, s, as
a JSON list. Checkouts as old as d814779 can be measured, whose modules have other names: it imports nothing of its own one.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

#: Frames that are drawn and not counted when it is this process's turn: they fill the processor's cache.
_UNCOUNTED = 2


def runner(folder: Path) -> Any:
    """Return what runs a job's stages in this checkout."""
    try:
        return importlib.import_module("benchmarks.stage_runner").StageRunner(folder)
    except ModuleNotFoundError:  # until 0.1.0
        return importlib.import_module("benchmarks.quality").Room(folder)


def endless(composer: Any) -> Iterator[Any]:
    """Yield the frames of a job, again from the first after the last."""
    while True:
        yield from composer.frames()


def main() -> None:
    """Answer until the input ends. The arguments: the portrait and the text."""
    portrait, text = Path(sys.argv[1]), sys.argv[2]
    answers, sys.stdout = sys.stdout, sys.stderr
    cv2.setNumThreads(1)
    composer = importlib.import_module("stages.encode.compose").Composer
    frames: dict[int, Iterator[Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        jobs = runner(Path(scratch))
        for line in sys.stdin:
            size, count = map(int, line.split())
            if size not in frames:
                ctx = jobs.make(f"at-{size}", portrait, ("face", "tts", "lipsync"), text=text, size=f"{size}x{size}",
                                motion={"seed": 1})  # fmt: skip
                frames[size] = endless(composer.for_job(ctx))
            times = []
            for _ in range(count + _UNCOUNTED):
                started = time.thread_time()
                next(frames[size])
                times.append(time.thread_time() - started)
            print(json.dumps(times[_UNCOUNTED:]), file=answers, flush=True)


if __name__ == "__main__":
    main()
