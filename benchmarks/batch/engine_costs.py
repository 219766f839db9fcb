"""What a voice and a mouth engine cost on this machine: `python -m benchmarks.batch.engine_costs [--work FOLDER] [--times 3]`.

It needs 5 GB of memory and 4 GB of disk. XTTS and MuseTalk in their published size with random weights, which take the time that
the published ones take, are loaded by the product's own code and make the speech and the mouths of a video of 3 s. Prints the
medians of:
  - load, cached: the packages are imported, and the files are in the system's cache, as when a worker changes its models; it
    ends when all numbers were read once, as a copy to a GPU reads them;
  - load, from disk: the same, after the system was told to forget the files;
  - import: of the packages, once in each process;
  - run: the speech of a sentence of 3 s; of the mouths one batch of frames is painted, and counted for all frames of 3 s.
Each time is taken by a process of its own, by turns, by the clock and of the processor in all threads, which says more where
other work takes the cores. On a machine with a GPU, it is used.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

#: Of the video, s, and its frames.
VIDEO_S: Final = 3.0
FRAMES: Final = 75
SENTENCE: Final = "A traveller came along the road, wrapped in a warm cloak."
#: By the clock, and of the processor in all threads.
Seconds = tuple[float, float]
Costs = dict[str, Seconds]


def build(folder: Path) -> None:
    """Write the files of both engines, unless they are there."""
    from benchmarks.musetalk.random_models import write_random_models
    from tests.support.stages.coqui_models import FULL, build_xtts

    if not (folder / "xtts").exists():
        build_xtts(folder / "xtts", shape=FULL, stop_bias=-100.0)  # never ends by itself
    write_random_models(folder / "musetalk")


class Clock:
    """Seconds since the last look at it: by the clock, and of the processor in all threads of this process."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def look(self) -> Seconds:
        """Return both, and begin anew."""
        now = time.perf_counter(), time.process_time()
        began, self._began = self._began, now
        return now[0] - began[0], now[1] - began[1]


def voice(folder: Path, *, run: bool) -> Costs:
    """Return the costs of XTTS."""
    clock = Clock()
    from daemon.config.stage_settings import Xtts
    from stages.tts.engines.coqui_library import import_coqui
    from stages.tts.engines.xtts.checkpoint import find_files
    from stages.tts.engines.xtts.network import REFERENCE_RATE, XttsNetwork

    import_coqui("TTS.tts.models.xtts")
    costs = {"import": clock.look()}
    network = XttsNetwork(find_files(folder), Xtts())
    read(network.model)
    costs["load"] = clock.look()
    if run:
        at = np.arange(7 * REFERENCE_RATE) / REFERENCE_RATE
        speaker = network.condition(np.asarray(0.2 * np.sin(2 * np.pi * 130 * at), np.float32))  # once for each profile
        network.say(SENTENCE, "en", speaker, 1.0, 4, 0.5)
        clock.look()
        said, _ = network.say(SENTENCE, "en", speaker, 1.0, 5, VIDEO_S)
        costs["run"] = times(clock.look(), VIDEO_S / (len(said) / network.sample_rate))
    return costs


def mouth(folder: Path, *, run: bool) -> Costs:
    """Return the costs of MuseTalk."""
    clock = Clock()
    import torch

    from stages.musetalk.device import choose_placement
    from stages.musetalk.painter import Painter

    costs = {"import": clock.look()}
    painter = Painter.load("musetalk", folder / "musetalk", choose_placement())
    read(painter._unet, painter._vae)
    costs["load"] = clock.look()
    if run:
        crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
        tokens = torch.randn(painter.batch, 50, 384, device=painter.placement.device)
        with torch.inference_mode():
            clock.look()
            latents = painter.latents(crop)  # once for each portrait
            once = clock.look()
            for _ in painter.patches(latents, [tokens]):
                pass
            clock.look()
            for _ in painter.patches(latents, [tokens]):
                pass
        frame = times(clock.look(), 1 / painter.batch)
        costs |= {"one frame": frame, "run": (once[0] + FRAMES * frame[0], once[1] + FRAMES * frame[1])}
    return costs


def times(seconds: Seconds, factor: float) -> Seconds:
    """Multiply both."""
    return seconds[0] * factor, seconds[1] * factor


def read(*networks: Any) -> None:
    """Read all numbers of networks: those that a processor uses are read from their file only then."""
    for network in networks:
        for tensor in network.state_dict().values():
            tensor.sum().item()


ENGINES: Final[dict[str, Callable[..., Costs]]] = {"voice": voice, "mouth": mouth}
#: Of each engine, below the folder.
FILES: Final = {"voice": "xtts", "mouth": "musetalk"}


def forget(folder: Path) -> None:
    """Ask the system to drop the files of a folder from its cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remember(folder: Path) -> None:
    """Read the files of a folder, so that they are in the system's cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def measured(name: str, folder: Path, *, cached: bool, run: bool) -> Costs:
    """Return the costs of an engine, by a process of its own."""
    (remember if cached else forget)(folder / FILES[name])
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.batch.engine_costs", "--one", name, "--work", folder, *(["--run"] if run else [])],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    costs: Costs = json.loads(ran.stdout.splitlines()[-1])
    return costs


def measure(
    folder: Path, engines: Sequence[str], number: int, *, run: bool
) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """Return of each engine and cost, as often as it was measured, both times and the load average before it."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for _ in range(number):
        for name in engines:
            for cached in (True, False):
                load = os.getloadavg()[0]
                for what, seconds in measured(name, folder, cached=cached, run=run and cached).items():
                    whole = f"load, {'cached' if cached else 'from disk'}" if what == "load" else what
                    found.setdefault((name, whole), []).append((*seconds, load))
                    print(f"{name}: {whole} {seconds[0]:.2f} s, {seconds[1]:.2f} s of CPU, at {load:.1f}", flush=True)
    return found


def main() -> None:
    """Build the engines' files, and print a row for each cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the files are written, and kept for the next time")
    parser.add_argument("--times", type=int, default=3, help="how often each is measured")
    parser.add_argument("--only", nargs="+", choices=list(ENGINES), default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--loads", action="store_true", help="only the loads, which take less time")
    parser.add_argument("--one", choices=list(ENGINES), help=argparse.SUPPRESS)
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(ENGINES[args.one](args.work, run=args.run)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        build(folder)
        found = measure(folder, args.only, args.times, run=not args.loads)
    print("\n| engine | | median | least | CPU, median | load average |\n|---|---|---|---|---|---|")
    for (name, what), rows in found.items():
        clock, used, loads = zip(*rows, strict=True)
        print(
            f"| {name} | {what} | {statistics.median(clock):.2f} s | {min(clock):.2f} s | {statistics.median(used):.2f} s |"
            f" {min(loads):.1f} to {max(loads):.1f} |"
        )


if __name__ == "__main__":
    main()
