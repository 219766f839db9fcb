"""What kills and power cuts cost, here and with other queues: `python -m benchmarks.queue.losses` [--items 120] [--seed 1].

The others (persist-queue, huey, dirq) are installed into a throw-away environment. Each queue is filled and worked off by a
process that is killed at random and started again until nothing is left; then what was lost and what came out twice is counted.
For the power cut, 50 items are put in and acknowledged, the power goes at once (ext4 on a loop file; needs root), and what is
there afterwards is worked off and counted. Ours is the whole daemon with real jobs, theirs is the queue alone with 3 ms of work.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.programs import start_program
from tests.conftest import FINISHED, Installation
from tests.support.daemon.ledger import Ledger, whole
from tests.support.machine.disk import Disk, unavailable

PEERS = ("persist-queue file", "persist-queue sqlite", "persist-queue ack", "huey file", "huey sqlite", "dirq")
PACKAGES = ("persist-queue", "huey", "dirq")
#: How long a worker lives after it has begun, in s.
LIFE_S = (0.0, 0.05)
OUR_LIFE_S = (0.25, 0.8)  # a start takes longer, and so does a job
ACKNOWLEDGED = 50

#: The other queues, each used as its documentation says: python PEER BACKEND MODE FOLDER RECORD ITEMS WORK_S.
PEER = """
import os, pathlib, sys, time

backend, mode, folder, record, items, work_s = sys.argv[1:]
items, work_s = int(items), float(work_s)
log = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def work(item):
    time.sleep(work_s)
    os.write(log, f"{item}\\n".encode())


def say(word):
    print(word, flush=True)


if backend.startswith("persist-queue"):
    import persistqueue

    kinds = {
        "file": lambda: persistqueue.Queue(folder),
        "sqlite": lambda: persistqueue.SQLiteQueue(folder, auto_commit=True),
        "ack": lambda: persistqueue.SQLiteAckQueue(folder, auto_resume=True),
    }
    kind = backend.split()[1]
    queue = kinds[kind]()
    put = queue.put

    def drain():
        while True:
            try:
                item = queue.get(block=False)
            except persistqueue.Empty:
                return
            work(item)
            if kind == "ack":
                queue.ack(item)
            elif kind == "file":
                queue.task_done()
elif backend.startswith("huey"):
    import huey

    kinds = {
        "file": lambda: huey.FileHuey(path=folder).storage,
        "sqlite": lambda: huey.SqliteHuey(filename=folder + "/huey.db").storage,
    }
    pathlib.Path(folder).mkdir(exist_ok=True)
    queue = kinds[backend.split()[1]]()

    def put(item):
        queue.enqueue(str(item).encode())

    def drain():
        while (item := queue.dequeue()) is not None:
            work(item.decode())
else:
    from dirq.QueueSimple import QueueSimple

    queue = QueueSimple(folder)

    def put(item):
        queue.add(str(item))

    def drain():
        while queue.count():
            queue.purge(maxtemp=1, maxlock=1)
            for name in queue:
                if queue.lock(name):
                    item = queue.get(name)
                    work(item)
                    queue.remove(name)
            time.sleep(0.05)


say("ready")
if mode == "put":
    for number in range(items):
        put(number)
    say("acknowledged")
    time.sleep(1000)
drain()
"""


class Peer:
    """One of the other queues, in a folder."""

    def __init__(self, python: Path, backend: str, scratch: Path) -> None:
        self.python, self.backend, self.record = python, backend, scratch / "record"
        self.script = scratch / "peer.py"
        self.script.write_text(PEER)
        self.record.write_text("")

    def start(self, mode: str, folder: Path, items: int, word: str, work_s: float = 0.003) -> subprocess.Popen[str]:
        """Start a process on the queue and wait until it has said `word`."""
        command = [self.python, self.script, self.backend, mode, folder, self.record, str(items), str(work_s)]
        process: subprocess.Popen[str] = start_program(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == word:
                break
        return process

    def losses(self, items: int) -> tuple[int, int]:
        """Return how many items never came out, and how often one came out again."""
        seen = Counter(self.record.read_text().split())
        return items - len(seen), sum(seen.values()) - len(seen)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process with SIGKILL, and wait for its end."""
    process.kill()
    process.wait()


def killed_peer(peer: Peer, folder: Path, items: int, chance: random.Random) -> tuple[int, int, int]:
    """Kills, lost, doubled."""
    kill(peer.start("put", folder, items, "acknowledged"))
    kills = 0
    while True:
        process = peer.start("work", folder, items, "ready")
        try:
            process.wait(chance.uniform(*LIFE_S) if kills < items else 60)
        except subprocess.TimeoutExpired:
            kill(process)
            kills += 1
            continue
        return (kills, *peer.losses(items))


def cut_peer(peer: Peer, scratch: Path) -> tuple[int, int]:
    """Lost and doubled after a power cut right after the last acknowledgement."""
    disk = Disk(scratch / "disk", 64)
    try:
        process = peer.start("put", disk.root / "queue", ACKNOWLEDGED, "acknowledged")
        disk.cut()
        kill(process)
        disk.unmount()
        disk.mount()
        process = peer.start("work", disk.root / "queue", ACKNOWLEDGED, "ready", 0.0)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            kill(process)
        return peer.losses(ACKNOWLEDGED)
    finally:
        disk.unmount()


def our_house(root: Path) -> Installation:
    """Return an installation of avatard that tries a job again as often as it is killed, with short waits."""
    return Installation(
        root,
        retry={"crashes": 10**6, "attempts": 10**6, "interruptions": 10**6, "first_delay_s": 0.01, "max_delay_s": 0.05},
        intake={"settle_s": 0.05, "scan_s": 0.5},
    )


def our_losses(ledger: Ledger) -> tuple[int, int]:
    """Return jobs without their whole result, and results too many."""
    results = list(ledger.house.outbox.glob("*.wav"))
    good = {path.stem for path in results if whole(path.name, path.read_bytes())}
    return len(ledger.dropped.keys() - good), len(results) - len(good & ledger.dropped.keys())


def killed_ours(root: Path, items: int, chance: random.Random) -> tuple[int, int, int]:
    """Kill the daemon at random until all jobs have ended; returns the numbers of kills, of lost and of double results."""
    root.mkdir()
    house = our_house(root)
    ledger = Ledger(house)
    for _ in range(items):
        ledger.drop("brought")
    kills = 0
    while unfinished(ledger):
        house.launch()
        deadline = time.monotonic() + chance.uniform(*OUR_LIFE_S)
        while time.monotonic() < deadline and unfinished(ledger):
            time.sleep(0.05)
        house.kill()
        kills += 1
    house.start()  # what a kill cut short is cleared
    house.stop()
    return (kills, *our_losses(ledger))


def unfinished(ledger: Ledger) -> bool:
    """True while a job that was dropped has not ended."""
    states = (ledger.house.status(name) for name in ledger.dropped)
    return any(status is None or status["state"] not in FINISHED for status in states)


def cut_ours(scratch: Path) -> tuple[int, int]:
    """Cut the power right after the last job is acknowledged; returns the numbers of lost and of double results."""
    disk = Disk(scratch / "disk", 128)
    try:
        house = our_house(disk.root)
        house.log = scratch / "daemon.log"
        ledger = Ledger(house)
        subprocess.run(["sync", "-f", str(disk.root)], check=True)
        house.start()
        for _ in range(ACKNOWLEDGED):
            ledger.drop("brought", durable=False)
        while any(house.status(name) is None for name in ledger.dropped):
            time.sleep(0.001)
        disk.cut()
        house.kill()
        disk.unmount()
        disk.mount()
        house.start()
        ledger.wait()
        house.stop()
        return our_losses(ledger)
    finally:
        disk.unmount()


def environment(folder: Path) -> Path:
    """A throw-away environment with the other queues; returns its python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True, stderr=subprocess.DEVNULL)
    return python


def in_folder(scratch: Path, name: str, step: Callable[[Path], tuple[int, ...]]) -> tuple[int, ...]:
    """Run a step in a new folder below `scratch`, and return what it returns."""
    folder = scratch / name.replace(" ", "-")
    folder.mkdir()
    return step(folder)


def main() -> None:
    """Measure avatard and the other queues, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=120, help="items worked off under kills")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    scratch = Path(tempfile.mkdtemp())
    why = unavailable()
    try:
        python = environment(scratch / "environment")
        print(
            f"\n{args.items} items under kill -9; {ACKNOWLEDGED} acknowledged items and a power cut ({why or 'ext4'})\n"
        )
        print("| queue | kills | lost | done twice | power cut: lost | done twice |\n|---|---|---|---|---|---|")
        kills = killed_ours(scratch / "ours", args.items, chance)
        cut: tuple[object, ...] = ("-", "-") if why else in_folder(scratch, "ours cut", cut_ours)
        row("avatard (whole jobs, delivered)", *kills, *cut)
        for name in PEERS:
            peer = Peer(python, name, scratch)
            kills = killed_peer(peer, scratch / f"killed {name}", args.items, chance)
            peer = Peer(python, name, scratch)
            cut = ("-", "-") if why else cut_peer(peer, scratch / f"cut {name}")
            row(name, *kills, *cut)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
