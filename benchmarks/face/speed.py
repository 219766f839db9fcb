"""What the face stage costs, and where its seconds go: `python -m benchmarks.face.speed [PORTRAIT --size 1080 --rounds 5]`.

Prints the time of a new portrait and of a known one in a warm worker, beside their goals, and the parts of a new portrait's time.
Compare two versions by turns in the same hour: other work on the machine changes all figures.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import pstats
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import PORTRAIT
from benchmarks.stage_runner import StageRunner
from stages.face.landmarker import shared_landmarker

#: Seconds on two quiet cores of an ordinary Intel server, at 1080 px.
GOALS = {"new portrait": 1.2, "known portrait": 0.15}
#: Functions whose time is shown, by the end of their file's path and their name; those with "·" are part of the one above.
PARTS = {
    "reading the picture": ("face/decode.py", "read_picture"),
    "detection and landmarks": ("face/detect.py", "find_faces"),
    "cropping and scaling": ("face/output_frame.py", "render"),
    "portrait as PNG": ("face/sampling.py", "encode_png"),
    "rig": ("rig/rig.py", "build_rig"),
    "· segmentation": ("face/landmarker.py", "person_mask"),
    "· matte and background": ("rig/matting/split_person.py", "split_person"),
    "· lip line": ("rig/lipline.py", "lip_curves"),
    "· expressions": ("expressions/fields.py", "all"),
    "· turning the fields": ("rig/rig.py", "_to_picture"),
    "· mouth": ("rig/mouth_interior.py", "paint_mouth_interior"),
    "· folds": ("rig/creases.py", "find_creases"),
    "· lids": ("rig/eyes/lids.py", "paint_lid"),
}


class SameThread:
    """Runs at once what is handed to another thread, so that the profile sees it."""

    def __init__(self, _workers: int) -> None:
        pass

    def __enter__(self) -> SameThread:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Any, *arguments: Any) -> SameThread:
        """Call `work` at once, in this thread; what it returns is kept for `result`."""
        self._result = work(*arguments)
        return self

    def result(self) -> Any:
        """Return what the submitted work returned."""
        return self._result


def measure_rounds(runner: StageRunner, portrait: Path, size: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of every round, the first left out, by what is measured."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in GOALS}
    for number in range(rounds + 1):
        shutil.rmtree(runner.settings.paths.cache, ignore_errors=True)
        for name, seconds in found.items():
            start = time.perf_counter(), time.process_time()
            runner.make(f"{name} {number}", portrait, ("face",), text=f"{name}.", size=f"{size}x{size}")
            if number:
                seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return found


def profile(runner: StageRunner, portrait: Path, size: int) -> dict[str, float]:
    """CPU seconds of the thread in each part, for a new portrait."""
    rig: Any = importlib.import_module("stages.face.rig.rig")
    usual, rig.ThreadPoolExecutor = rig.ThreadPoolExecutor, SameThread
    profiler = cProfile.Profile(time.thread_time)
    try:
        shutil.rmtree(runner.settings.paths.cache, ignore_errors=True)
        profiler.runcall(runner.make, "profile", portrait, ("face",), text="Hello.", size=f"{size}x{size}")
    finally:
        rig.ThreadPoolExecutor = usual
    stats: Any = pstats.Stats(profiler)
    return {
        part: sum(call[3] for (path, _, name), call in stats.stats.items() if path.endswith(file) and name == function)
        for part, (file, function) in PARTS.items()
    }


def main() -> None:
    """Measure, and print the times in s beside their goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path, nargs="?", default=PORTRAIT)
    parser.add_argument("--size", type=int, default=1080)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        shared_landmarker()
        print(f"loading mediapipe, once for each worker: {time.perf_counter() - start:.2f} s")
        runner = StageRunner(Path(folder))
        found = measure_rounds(runner, options.portrait, options.size, options.rounds)
        parts = profile(runner, options.portrait, options.size)
    print(f"{'':16}{'wall, median':>14}{'best':>8}{'CPU':>8}{'goal':>8}  s")
    for name, seconds in found.items():
        walls, cpus = zip(*seconds, strict=True)
        print(f"{name:16}{statistics.median(walls):14.3f}{min(walls):8.3f}{min(cpus):8.3f}{GOALS[name]:8.2f}")
    print("A new portrait, CPU time of its thread, ms:")
    for part, cpu in parts.items():
        print(f"  {part:28}{cpu * 1000:6.0f}")


if __name__ == "__main__":
    main()
