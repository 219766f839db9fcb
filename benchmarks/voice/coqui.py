"""What Coqui's networks cost on this machine: `python -m benchmarks.voice.coqui [--work FOLDER]`.

It needs 4 GB of memory and 2.3 GB of disk.
Their size, and with it their time and memory, is that of the published ones; their weights are random, so what they say is
noise: nothing here tells how they sound. Each row is a process of its own, with as many threads as it says:
  - load: from the call to a network that can speak, with the file in the system's cache and its hash noted;
  - voice: what XTTS makes of a reference of 7 s, once for each profile;
  - time / speech: of three sentences after a first one, each made exactly 4 s long by XTTS, as long as it likes by VITS;
  - peak memory, by the kernel, with Python and torch.
The first row's time is taken again at the end: where it differs, other work took the cores meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stages.tts.engines.base import Piece

#: Said by both; the first warms up.
SENTENCES = (
    "The harbour was quiet before the storm.",
    "A traveller came along the road, wrapped in a warm cloak.",
    "Nobody knows where the old captain hid his maps and his money.",
    "Please send seventeen boxes of oranges before Friday evening.",
)
XTTS_S, REFERENCE_S = 4.0, 7.0
Row = dict[str, float]


def build(folder: Path) -> None:
    """Both networks in full size, once."""
    from tests.support.stages.coqui_models import FULL, build_vits, build_xtts

    if not (folder / "xtts").exists():
        build_xtts(folder / "xtts", shape=FULL, stop_bias=-100.0)  # never ends by itself
    if not (folder / "vits").exists():
        build_vits(folder / "vits", shape={})


def xtts(folder: Path) -> Row:
    """Return the costs of XTTS: s to load, s to learn a voice, and time over the speech's length."""
    from stages.tts.engines.xtts import checksum
    from stages.tts.engines.xtts.engine import load_network
    from stages.tts.engines.xtts.network import REFERENCE_RATE
    from tests.support.stages.coqui_models import xtts_settings

    settings = xtts_settings(folder)
    model = folder / "xtts" / "model.pth"
    checksum.checked_sha256(model, settings.stages.tts.xtts.model_sha256, settings.paths.cache)
    began = time.perf_counter()
    network, _ = load_network(settings)
    loaded = time.perf_counter()
    at = np.arange(round(REFERENCE_S * REFERENCE_RATE)) / REFERENCE_RATE
    voice = network.condition(np.asarray(0.2 * np.sin(2 * np.pi * 130 * at), np.float32))
    known = time.perf_counter()

    def say(text: str) -> float:
        return len(network.say(text, "en", voice, 1.0, 5, XTTS_S)[0]) / network.sample_rate

    return {"load_s": loaded - began, "voice_s": known - loaded, "factor": _factor(say)}


def vits(folder: Path) -> Row:
    """Return the costs of VITS: s to load, and time over the speech's length."""
    from stages.tts.engines.coqui.engine import load_coqui

    began = time.perf_counter()
    engine = load_coqui(folder / "vits", "ljspeech", british=False)
    loaded = time.perf_counter()

    def say(text: str) -> float:
        piece = Piece(tuple(text.split()), "en", 1.0, (0,))
        return sum(len(spoken.samples) for spoken in engine.say(piece)) / engine.sample_rate

    return {"load_s": loaded - began, "factor": _factor(say)}


def _factor(say: Callable[[str], float]) -> float:
    """Return time over the length of the speech, of all sentences but the first. `say` returns a length in s."""
    say(SENTENCES[0])
    began = time.perf_counter()
    said = sum(map(say, SENTENCES[1:]))
    return (time.perf_counter() - began) / said


NETWORKS: dict[str, Callable[[Path], Row]] = {"xtts": xtts, "vits": vits}


def measured(name: str, folder: Path, threads: int) -> Row:
    """One row, by a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.voice.coqui", "--one", name, "--work", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    row: Row = json.loads(ran.stdout.splitlines()[-1])
    return row


def line(name: str, threads: int, row: Row) -> str:
    """Return one row of the Markdown table."""
    voice = f"{row['voice_s']:.1f} s" if "voice_s" in row else "–"
    return (
        f"| {name} | {threads} | {row['load_s']:.1f} s | {voice} | {row['factor']:.2f} | {row['memory_mb']:.0f} MB |"
        f" {os.getloadavg()[0]:.1f} |"
    )


def main() -> None:
    """Build the networks, and print a row for each network and number of threads."""
    parser = argparse.ArgumentParser(description="See the top of this file.")
    parser.add_argument("--work", type=Path, help="where the networks are built, and kept for the next time")
    parser.add_argument("--one", choices=NETWORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        row = NETWORKS[options.one](options.work)
        row["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(row))
        return
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        build(folder)
        print("| network | threads | load | voice | time / speech | peak memory | load average |")
        print("|---|---|---|---|---|---|---|")
        rows = [(name, threads) for name in NETWORKS for threads in dict.fromkeys((1, cores))]
        for name, threads in [*rows, rows[0]]:
            print(line(name, threads, measured(name, folder, threads)), flush=True)


if __name__ == "__main__":
    main()
