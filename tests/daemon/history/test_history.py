"""The index finds what the folders hold, and agrees with them whatever happened."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.history import find_rows, store
from daemon.history.database import FILE, close_cleanly, give_to_readers, open_to_write, set_meta
from daemon.history.entry import Entry
from daemon.history.folders import JobFolders
from daemon.history.history import History
from daemon.history.keeper import HistoryKeeper
from daemon.history.query import STATES, Query
from daemon.history.renewal import renew
from daemon.outbox import looks
from daemon.outbox.outbox import Outbox
from daemon.queue.spool import Spool
from daemon.system.json_files import dump_lines
from tests.conftest import Installation, wait_for
from tests.support.daemon.history_folders import Folders, agrees, found, make_job, make_newer, until
from tests.support.daemon.ledger import sound
from tests.support.endurance import repeats
from tests.support.machine.people import ANNA, DROPPERS, avatar_as

SPEECH = "kind: speech\naudio: {name}.wav\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


JOBS, QUERIES = repeats("AVATAR_HISTORY_JOBS", 200, 400), repeats("AVATAR_HISTORY_QUERIES", 50, 400)
WORDS = [
    "Straße",
    "the",
    "other",
    "ab",
    "xy",
    "会議室",
    "会議",
    "議",
    "naïve",
    "O'Brien",
    '5"',
    "%",
    "x_y",
    "ＷＩＤＥ",
    "ﬁn",
]
SEARCHES = [
    *WORDS,
    "strasse",
    "STRASSE",
    "wide",
    "fin",
    "he",
    "th",
    "o",
    '"the other"',
    "the ab",
    "室",
    "nothing",
    "r\nt",
]


@pytest.mark.parametrize(
    ("few", "terms"), [(2000, 300), (4, 300), (4, 2)]
)  # read all, search, and read what is frequent
def test_the_index_and_whoever_reads_the_folders_give_the_same_answers_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, terms: int
) -> None:
    # Given many jobs of all sorts
    monkeypatch.setattr(find_rows, "_FEW", few)
    monkeypatch.setattr(find_rows, "_MOST_TERMS", terms)
    chance = random.Random(few * terms)
    jobs = [
        make_job(
            number,
            name=f"{chance.choice(['anna', 'bert'])}/{chance.choice(WORDS)}{number}",
            state=chance.choice(STATES),
            by=chance.choice(["anna", "bert", ""]),
            accepted=1_767_323_045.0 + chance.randrange(50) / 8,
            manifest={
                "kind": chance.choice(["video", "speech"]),
                "text": " ".join(chance.choices(WORDS, k=chance.randint(1, 6))),
                "metadata": {
                    "tags": chance.sample(["red", "blue", looks.TAG], chance.randint(0, 2)),
                    "order": number % 3,
                },
            },
        )
        for number in range(JOBS)
    ]
    entries = [Entry.of_job(job) for job in jobs]
    connection = open_to_write(tmp_path)
    store.apply(connection, [(entry.job, entry) for entry in entries])
    set_meta(connection, "complete", 1)
    connection.close()
    entries.sort(key=lambda entry: entry.place, reverse=True)
    # When anything is asked, in pages of any size / Then both say the same, in the same order
    answered = 0
    for _ in range(QUERIES):
        query = Query(
            search=chance.choice(SEARCHES) if chance.random() < 0.6 else "",
            name=chance.choice(SEARCHES) if chance.random() < 0.15 else "",
            text=chance.choice(SEARCHES) if chance.random() < 0.15 else "",
            state=chance.sample(["pending", "completed", *STATES], chance.choice([0, 0, 1, 2])),
            kind=["video"] if chance.random() < 0.2 else (),
            by=chance.choice([(), (), ["anna"], ["anna", "bert"], ["nobody"]]),
            tag=chance.choice([(), (), (), ["red"], ["red", "order=1"]]),
            without_tag=chance.choice([(), (), (), ["blue"], ["blue", "order=2"]]),
            since=chance.choice([None, None, 1_767_323_047.0]),
            until=chance.choice([None, None, 1_767_323_050.5]),
        )
        pages, cursor, size = [], None, chance.choice([1, 7, 1000])
        while page := History(tmp_path).find(query, limit=size, after=cursor):
            pages += page
            cursor = page[-1].cursor
            if size == 1 and len(pages) == 5:
                break
        expected = [entry.job for entry in entries if query.fits(entry)]
        assert [row.job for row in pages] == (expected[:5] if size == 1 else expected), query
        answered += bool(expected)
    assert answered > QUERIES / 4
    assert History(tmp_path).find(Query(state=["unheard-of"])) == []
    # And the counts of states are those of these jobs
    for by, tag in itertools.product(("", "anna", "nobody"), ("", "blue", "green")):
        query = Query(by=[by] if by else (), without_tag=[tag] if tag else ())
        counted = dict(Counter(entry.state for entry in entries if query.fits(entry)))
        assert History(tmp_path).states(by=by, without_tag=tag) == counted
    # And the looks of the page are in no list that does not ask for them, and count for nothing
    for by in ("", "anna"):
        query = Query(by=[by] if by else ()).without_looks
        counted = dict(
            Counter(entry.state for entry in entries if looks.TAG not in entry.tags and by in ("", entry.by))
        )
        assert dict(Counter(row.state for row in History(tmp_path).find(query, limit=JOBS))) == counted
        stats = History(tmp_path).stats(by=by)
        assert (stats["states"], stats["jobs"]) == (counted, sum(counted.values()))
    assert History(tmp_path).find(Query(tag=[looks.TAG]).without_looks)


def test_after_a_random_life_with_kills_index_and_folders_agree(installation: Callable[..., Installation]) -> None:
    # Given a daemon that is killed while jobs are handed in, wait, end, fail, and are removed
    one = installation(intake={"companion_wait_s": 900})
    chance = random.Random(3)
    for life in range(3):
        one.start()
        for number in range(4):
            name = f"{chance.choice(['good', 'late', 'bad'])}{life}{number}"
            files = {f"{name}__wav": sound(0.3)} if name.startswith("good") else {}
            one.drop(f"{name}.yaml", "txt: a" if name.startswith("bad") else SPEECH.format(name=name), **files)
        least = life + 1
        wait_for("some of them", partial(has_jobs, one, least))
        one.kill()
        for status in chance.sample(
            sorted(one.outbox.glob("good*.json")), min(1, len(list(one.outbox.glob("good*.json"))))
        ):
            status.unlink()
    # When it has come to rest / Then both say the same, after a clean end the index is believed, and it knows every job
    one.start()
    folder = one.spool / "history"
    truth = JobFolders(Spool(one.spool), Outbox(one.outbox))
    wait_for("all of them", lambda: not [*one.inbox.glob("good*.yaml"), *one.inbox.glob("bad*.yaml")])
    wait_for("the ends", lambda: not one.jobs("tts/ready", "tts/active", "deliver/ready", "deliver/active"))
    wait_for("agreement", lambda: agrees(folder, truth))
    assert one.stop() == 0
    assert agrees(folder, truth)
    assert {row.job for row in History(folder).find(limit=1000)} >= set(one.all_jobs())
    assert one.avatar("spool", "check", "--dry-run").stdout == "The spool is in order.\n"


def has_jobs(one: Installation, least: int) -> bool:
    return len(one.all_jobs()) >= least


def test_a_status_that_somebody_else_wrote_is_no_job(folders: Folders) -> None:
    folders.keep(make_job(1), record=False)
    forged = make_job(2, by="anna")
    folders.keep(forged, record=False)
    if os.geteuid() == 0:
        os.chown(folders.outbox.root / f"{forged.name}.json", ANNA, DROPPERS)
    renew(folders.history, folders.truth)
    assert found(folders.history) == ["job1"] if os.geteuid() == 0 else ["job2", "job1"]


def test_the_retention_takes_rows_with_the_last_that_is_left_of_a_job(folders: Folders) -> None:
    jobs = [folders.keep(make_job(number)) for number in range(3)]

    async def live() -> None:
        keeper = HistoryKeeper(folders.history, folders.spool, folders.outbox)
        task = asyncio.create_task(keeper.loop())
        await until(lambda: agrees(folders.history, folders.truth))
        # When of one job the record goes, of one the result, of one both
        for job, what in zip(jobs, ("record", "result", "both"), strict=True):
            if what != "result":
                place = folders.spool.folder_of(job)
                (place / "job.json").unlink()
                place.rmdir()
            if what != "record":
                (folders.outbox.root / f"{job.name}.json").unlink()
        keeper.results_removed([jobs[0].id, jobs[2].id], [jobs[1].name, jobs[2].name])
        await until(lambda: len(found(folders.history)) < 3)
        task.cancel()
        await keeper.close()

    asyncio.run(live())
    assert found(folders.history) == ["job1", "job0"]
    assert agrees(folders.history, folders.truth)


def test_the_check_of_the_spool_mends_an_index_that_disagrees(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    one = Installation(tmp_path)
    folders.keep(make_job(1))
    renew(folders.history, folders.truth)
    close_cleanly(folders.history)
    folders.keep(make_job(2))
    assert "disagrees with the folders about 1 job" in one.avatar("spool", "check").stdout
    assert found(folders.history) == ["job2", "job1"]
    assert one.avatar("spool", "check").stdout == "The spool is in order.\n"


@needs_root
def test_a_member_of_the_group_reads_it_while_the_daemon_is_down_and_may_not_write(strangers_folder: Path) -> None:
    # Given an index outside the spool, closed, and a spool that Anna may not enter
    paths = {"history": "history"}
    one = Installation(strangers_folder, paths=paths)
    spool, outbox, history = Spool(one.spool), Outbox(one.outbox), strangers_folder / "history"
    spool.create()
    one.spool.chmod(0o700)
    os.chown(one.outbox, -1, DROPPERS)
    one.outbox.chmod(0o2770)
    job = make_job(1, manifest={"kind": "speech", "text": "The north wind."})
    place = spool.folder_of(job)
    place.mkdir()
    (place / "job.json").write_bytes(dump_lines(job.to_json()))
    history.mkdir()
    give_to_readers(history, one.outbox)
    os.umask(0o022)
    renew(history, JobFolders(spool, outbox))
    close_cleanly(history)
    before = (history / FILE).read_bytes()
    # Then she finds the job by its text, is told nothing else, and has changed nothing
    told = avatar_as(ANNA, one, "jobs", "list", "--search", "NORTH")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.split("\t")[1:3] == ["job1", "done"]
    assert (history / FILE).read_bytes() == before
    assert (history.stat().st_mode & 0o7777, (history / FILE).stat().st_mode & 0o022) == (0o2750, 0)
    # And where it cannot be read, the folders are, and that is said
    make_newer(history / FILE)
    told = avatar_as(ANNA, one, "jobs", "list")
    assert (told.returncode, told.stdout) == (0, "")
    assert "version 99" in told.stderr
    assert "the status files in the outbox say" in told.stderr


def test_settings_keep_the_index_from_where_others_may_write() -> None:
    with pytest.raises(Exception, match="`history` lies in the folder of `outbox`"):
        Settings.model_validate({"paths": {"history": "/o/h", "outbox": "/o", "inbox": "/i", "spool": "/s"}})


def test_an_id_is_no_name_and_a_name_is_that_of_whom_it_is_asked_for(folders: Folders) -> None:
    # Given a job, and a later one of somebody else whose results have its id as their name, and two of one name
    first = folders.keep(make_job(1, name="hello", by="anna"))
    folders.keep(make_job(2, name=first.id, by="ben"))
    other = make_job(3, name="hello", by="ben")
    folders.keep(other)
    renew(folders.history, folders.truth)
    history = History(folders.history)

    def got(wanted: str, by: str = "") -> str | None:
        return None if (row := history.get(wanted, by=by)) is None else row.job

    assert got(first.id) == first.id
    assert (got("hello"), got("hello", "anna"), got("hello", "ben"), got("hello", "carl")) == (
        other.id, first.id, other.id, None,
    )  # fmt: skip
