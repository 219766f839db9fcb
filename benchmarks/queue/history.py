"""What the index of jobs costs: questions among many finished jobs, the list of the command line, an event, a comparison.

    python -m benchmarks.queue.history [JOBS] [ROUNDS]

Makes JOBS jobs (100,000 by default) of made-up texts in a temporary folder, and asks each kind of question ROUNDS times, by
turns.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from daemon.errors import JobError
from daemon.history import store
from daemon.history.database import FILE, close_cleanly, open_to_write, set_meta
from daemon.history.entry import Entry
from daemon.history.folders import JobFolders
from daemon.history.history import History
from daemon.history.query import Query
from daemon.history.renewal import renew
from daemon.jobs.record import Job
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.queue.spool import Spool
from daemon.system.json_files import dump_json, dump_lines

START = 1_760_000_000.0
OWNERS = [f"person{number}" for number in range(40)]
KINDS = ["video"] * 6 + ["speech"] * 3 + ["voice", "detect"]
LISTED = 10_000
SYLLABLES = "ka to mi re lu vo san per dri ble ston ing the er on an re al is it ou ea th wh ch sh"


def words(chance: random.Random, number: int, vocabulary: list[str]) -> str:
    """Return a text of `number` words, some far more frequent than others."""
    return " ".join(vocabulary[int(len(vocabulary) * chance.random() ** 3)] for _ in range(number))


def make_job(chance: random.Random, number: int, vocabulary: list[str]) -> Job:
    """Return a finished job; one in twenty failed, and one in eight has a Japanese text."""
    failed = chance.random() < 0.05
    accepted = START + 37.0 * number + chance.random()
    text = words(chance, chance.randint(8, 90), vocabulary)
    if number % 8 == 0:
        text = "".join(chr(0x4E00 + int(3000 * chance.random() ** 2)) for _ in range(chance.randint(20, 120)))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(accepted))
    job = Job(
        id=f"job-{stamp}-{chance.getrandbits(32):08x}",
        name=f"{chance.choice(OWNERS)}/{vocabulary[number % 900]}-{number}",
        source=f"{number}.yaml",
        by=chance.choice(OWNERS),
        state="failed" if failed else "done",
        stages=("tts", "deliver"),
        accepted=accepted,
        finished=accepted + 30,
        manifest={
            "kind": chance.choice(KINDS),
            "text": text,
            "metadata": {"tags": [f"tag{chance.randrange(50)}"], "campaign": f"c{number % 500}"},
        },
        timings={"tts": {"wait": 1.0, "run": 2.5}},
    )
    if failed:
        job.set_error(JobError(chance.choice(["text-unspeakable", "face-missing"]), "no"), "tts")
    return job


def fill(folder: Path, jobs: int, chance: random.Random, vocabulary: list[str]) -> None:
    """Write an index of `jobs` jobs."""
    connection = open_to_write(folder)
    began = time.perf_counter()
    for first in range(0, jobs, 500):
        entries = [
            Entry.of_job(make_job(chance, number, vocabulary)) for number in range(first, min(jobs, first + 500))
        ]
        store.apply(connection, [(entry.job, entry) for entry in entries])
    set_meta(connection, "complete", 1)
    connection.close()
    close_cleanly(folder)
    took, size = time.perf_counter() - began, (folder / FILE).stat().st_size
    print(f"{jobs} jobs: {size / 1e6:.0f} MB, made in {took:.0f} s, {took / jobs * 1e6:.0f} us a job")


def ask(folder: Path, jobs: int, rounds: int, vocabulary: list[str]) -> None:
    """Ask each kind of question, in turns, and print how long the answers took."""
    history = History(folder)
    middle = START + 37.0 * jobs / 2
    queries = {
        "newest 50": Query(),
        "state failed": Query(state=["failed"]),
        "state that nothing has": Query(state=["queued"]),
        "kind": Query(kind=["detect"]),
        "owner": Query(by=["person7"]),
        "state, kind and owner": Query(state=["failed"], kind=["voice"], by=["person7"]),
        "tag": Query(tag=["tag7"]),
        "tag and owner": Query(tag=["tag7"], by=["person3"]),
        "two tags": Query(tag=["tag7", "campaign=c107"]),
        "a week": Query(since=middle, until=middle + 7 * 86400),
        "a frequent word": Query(search=vocabulary[0]),
        "a rare word": Query(search=vocabulary[-1]),
        "three words": Query(search=" ".join(vocabulary[number] for number in (10, 300, 2000))),
        "a word that nothing has": Query(search="zzyzxq"),
        "a phrase of frequent words": Query(search=f'"{vocabulary[0]} {vocabulary[1]} {vocabulary[2]}"'),
        "two letters": Query(search="th"),
        "two letters of Japanese": Query(search="\u4e10\u4e05"),
        "one letter of Japanese": Query(search="\u5400"),
        "a word of the name": Query(name=f"{vocabulary[5]}-9"),
        "a frequent word, of one owner": Query(search=vocabulary[0], by=["person7"]),
        "a frequent word, in failed jobs": Query(search=vocabulary[0], state=["failed"]),
        "a rare word, of one owner": Query(search=vocabulary[-1], by=["person7"]),
        "a frequent word, of one tag": Query(search=vocabulary[0], tag=["campaign=c107"]),
    }
    questions: dict[str, Callable[[], object]] = {
        name: partial(history.find, query, limit=50) for name, query in queries.items()
    }
    page = history.find(Query(), limit=50)[-1].cursor
    questions["next page"] = lambda: history.find(Query(), limit=50, after=page)
    questions["by name"] = lambda: history.get(f"person1/{vocabulary[77]}-77")
    questions["stats"] = history.stats
    times: dict[str, list[float]] = {name: [] for name in questions}
    used: dict[str, list[float]] = {name: [] for name in questions}
    answers: dict[str, int] = {}
    for _ in range(rounds):
        for name, question in questions.items():
            began, before = time.perf_counter(), time.process_time()
            answer = question()
            times[name].append(time.perf_counter() - began)
            used[name].append(time.process_time() - before)
            answers[name] = len(answer) if isinstance(answer, list) else 1
    print(f"{'question':34} rows   p50 ms   p95 ms  p50 ms of a processor   (of {rounds})")
    for name, took in times.items():
        took.sort()
        p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
        print(
            f"{name:34} {answers[name]:4} {statistics.median(took) * 1e3:8.2f} {p95 * 1e3:8.2f}"
            f" {statistics.median(used[name]) * 1e3:8.2f}"
        )


def events(folder: Path, chance: random.Random, vocabulary: list[str]) -> None:
    """Print what an event costs in the event loop, and in the thread that writes."""
    jobs = [make_job(chance, 10_000_000 + number, vocabulary) for number in range(2000)]
    began = time.perf_counter()
    entries = [Entry.of_job(job) for job in jobs]
    loop = (time.perf_counter() - began) / len(jobs)
    for size in (1, 100):
        took = []
        for first in range(0, 10 * size, size):
            began = time.perf_counter()
            connection = open_to_write(folder)
            store.apply(connection, [(entry.job, entry) for entry in entries[first : first + size]])
            connection.close()
            took.append((time.perf_counter() - began) / size)
        print(f"written {size:3} at a time: {statistics.median(took) * 1e6:.0f} us a change")
    print(f"an event: {loop * 1e6:.0f} us in the event loop")


def folders(root: Path, chance: random.Random, vocabulary: list[str]) -> None:
    """Print how long a list of `LISTED` jobs takes by the command, and a comparison of index and folders."""
    paths = {name: str(root / name) for name in ("inbox", "outbox", "spool")}
    (root / "config.yaml").write_text(yaml.safe_dump({"paths": paths}))
    (root / "inbox").mkdir()
    spool, outbox = Spool(root / "spool"), Outbox(root / "outbox")
    spool.create()
    for number in range(LISTED):
        job = make_job(chance, number, vocabulary)
        directory = spool.resting(job.state) / job.id
        directory.mkdir()
        (directory / "job.json").write_bytes(dump_lines(job.to_json()))
        status = root / "outbox" / f"{job.name}.json"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_bytes(dump_json(status_of(job)))
    for what in ("made", "compared"):
        began = time.process_time()
        renew(root / "spool" / "history", JobFolders(spool, outbox))
        print(f"{LISTED} jobs {what} from the folders: {(time.process_time() - began) / LISTED * 1e6:.0f} us a job")
    close_cleanly(root / "spool" / "history")
    command = [sys.executable, "-m", "daemon.cli", "-c", str(root / "config.yaml")]
    for arguments in (["--help"], ["jobs", "list"], ["jobs", "list", "--json"], ["jobs", "list", "--limit", "50"]):
        took, used = [], []
        for _ in range(9):
            before, began = os.times(), time.perf_counter()
            told = subprocess.run([*command, *arguments], capture_output=True, check=True)
            took.append(time.perf_counter() - began)
            after = os.times()
            used.append(after.children_user + after.children_system - before.children_user - before.children_system)
        lines = len(json.loads(told.stdout)) if "--json" in arguments else told.stdout.count(b"\n")
        print(
            f"avatar {' '.join(arguments):22} {lines:6} lines: {statistics.median(took) * 1e3:.0f} ms, "
            f"{statistics.median(used) * 1e3:.0f} ms of a processor (median of 9)"
        )


def main() -> None:
    """Measure everything, and remove what was made."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    chance = random.Random(7)
    vocabulary = ["".join(chance.choices(SYLLABLES.split(), k=chance.randint(1, 4))) for _ in range(8000)]
    root = Path(tempfile.mkdtemp(prefix="avatard-history-"))
    try:
        folder = root / "history"
        fill(folder, jobs, chance, vocabulary)
        ask(folder, jobs, rounds, vocabulary)
        events(folder, chance, vocabulary)
        folders(root, chance, vocabulary)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
