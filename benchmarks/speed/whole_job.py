"""What a second of video costs on warm workers, in several checkouts by turns.

    python -m benchmarks.speed.whole_job [TREE …] [--sizes 512 720 1080] [--rounds 3] [--seconds 12]

Each tree is a checkout of this repository, by default this one alone. Each has a daemon of its own, run with this Python, which
is idle while another one works. The first job of each size warms the workers and is not counted. Prints the seconds that the
stages from the voice to the finished file took for each second of video, how much of the cores was in use meanwhile, the seconds
of processor time of all processes, which other work on the machine changes least, and how many times as fast each tree is as the
first one by both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks import PORTRAIT, ROOT
from benchmarks.speed.checkout_daemon import CheckoutDaemon

SENTENCE = (
    "The north wind and the sun were disputing which was the stronger, when a traveller came along in a warm cloak. "
)
SENTENCE_S = 6
STAGES = ("tts", "lipsync", "encode")


def machine() -> str:
    """Return the processor and the load, for the heading."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "?")
    return f"{model}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"


def processor_s(pid: int) -> float:
    """Processor time of a daemon and all that it started, s; of those that ended, too."""
    spent = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


def main() -> None:
    """Run the trees by turns, and print a table with a row for each size and tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", type=Path, nargs="*", default=[ROOT], metavar="TREE")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 720, 1080])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0, help="about so long is each video")
    args = parser.parse_args()
    text, portrait = SENTENCE * max(1, round(args.seconds / SENTENCE_S)), PORTRAIT.read_bytes()
    print(
        f"{machine()}\n\n| px | tree | s for a second: all | {' | '.join(STAGES)} | cores in use | processor s |"
        " as fast as the first | by processor time |"
    )
    print("|---" * (8 + len(STAGES)) + "|")
    with ExitStack() as stack:
        daemons = {}
        for tree in args.trees:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            daemons[tree] = CheckoutDaemon(tree.resolve(), folder, "512x512")
            stack.callback(daemons[tree].stop)
        for size in args.sizes:
            costs: dict[Path, list[list[float]]] = defaultdict(list)
            used: dict[Path, list[float]] = defaultdict(list)
            spent_cpu: dict[Path, list[float]] = defaultdict(list)
            for number in range(args.rounds + 1):
                # Turned round from round to round: on a busy machine whoever comes second in a pair takes longer.
                for tree, daemon in list(daemons.items())[:: 1 if number % 2 else -1]:
                    name, before = f"job-{size}-{number}", processor_s(daemon.process.pid)
                    wall, spent = daemon.video(name, portrait, text=text, size=f"{size}x{size}")
                    seconds = daemon.status(name)["stages"]["encode"]["duration_s"]
                    if number:
                        costs[tree].append([spent[stage] / seconds for stage in STAGES])
                        cpu = processor_s(daemon.process.pid) - before
                        used[tree].append(cpu / wall)
                        spent_cpu[tree].append(cpu / seconds)
            first = statistics.median(map(sum, costs[args.trees[0]]))
            first_cpu = statistics.median(spent_cpu[args.trees[0]])
            for tree in args.trees:
                whole = statistics.median(map(sum, costs[tree]))
                parts = " | ".join(f"{statistics.median(part):.3f}" for part in zip(*costs[tree], strict=True))
                busy, cpu = statistics.median(used[tree]), statistics.median(spent_cpu[tree])
                print(
                    f"| {size} | {tree.resolve().name} | {whole:.3f} | {parts} | {busy:.2f} | {cpu:.3f} | {first / whole:.2f} "
                    f"| {first_cpu / cpu:.2f} |",
                    flush=True,
                )
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
