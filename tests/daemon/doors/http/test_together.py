"""Jobs that come at the same moment are committed to the disk together, and each is answered for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.jobs.inbox_defaults import LIST_S, InboxDefaults
from daemon.doors.http.jobs.together import MOST, HandInGroups, PlainJob, hand_in_together
from daemon.doors.submission import HandedIn
from daemon.errors import AvatarError, JobError
from daemon.system import fs
from tests.support.daemon.intake import Room

ANYBODY = Caller()


class Crash(BaseException):
    """The process dies here."""


def plain(text: str = "Hello.", name: str | None = None, **manifest: Any) -> PlainJob:
    return PlainJob({"kind": "speech", "text": text, **manifest}, ANYBODY, name)


def left_over(room: Room) -> list[str]:
    """Files that never got their names."""
    return [path.name for path in room.inbox.glob(".*.tmp")]


def test_jobs_of_a_group_wait_for_the_disk_once_and_each_is_made(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []

    def watch(name: str) -> None:
        real: Callable[[Any], None] = getattr(fs.OPS, name)

        def flush(what: Any) -> None:
            waits.append(name)
            real(what)

        monkeypatch.setattr(fs.OPS, name, flush)

    for name in ("sync_all", "sync_dir", "sync_file"):
        watch(name)
    done = hand_in_together(Jobs(room.settings), [plain(f"Number {number}.") for number in range(5)])
    assert waits == ["sync_all", "sync_dir"]
    told = [one.job for one in done if isinstance(one, HandedIn)]
    assert sorted(job.id for job in room.look()) == sorted(told)
    assert len(set(told)) == 5


def test_what_is_wrong_with_one_job_is_answered_to_its_client_alone(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = fs.OPS.rename_new

    def failing(source: Path, target: Path) -> None:
        if target.name == "failing.yaml":
            raise OSError(5, "Input/output error")
        publish(source, target)

    monkeypatch.setattr(fs.OPS, "rename_new", failing)
    wanted = [
        plain(name="one"),
        plain(name="one"),
        plain(fps="x"),
        plain(name="failing"),
        plain(name="a/b"),
        plain(name="two"),
    ]
    done = hand_in_together(Jobs(room.settings), wanted)
    said = [one.code if isinstance(one, AvatarError) else getattr(one, "name", type(one).__name__) for one in done]
    assert said == ["one", "name-taken", "manifest-invalid", "OSError", "manifest-invalid", "two"]
    assert len(room.look()) == 2
    assert left_over(room) == []


@pytest.mark.parametrize("folder", ["inbox", "outbox"])
def test_a_server_without_the_rights_to_hand_in_says_so_and_takes_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    refused = room.settings.paths.inbox if folder == "inbox" else room.settings.paths.outbox
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, *args, **how: Path(path) != refused and allowed(path, *args, **how))
    with pytest.raises(AvatarError) as caught:
        hand_in_together(Jobs(room.settings), [plain(), plain()])
    assert caught.value.code == "not-allowed"
    assert list(room.inbox.glob("*.yaml")) == []


def test_a_crash_at_any_call_leaves_jobs_that_are_whole_or_none(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = ("write", "rename", "rename_new", "sync_dir", "sync_all")
    jobs, step = Jobs(room.settings), 0
    while True:
        step += 1
        left = step

        def call(name: str, *args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Crash  # and nothing more is done
            return getattr(type(fs.OPS), name)(fs.OPS, *args, **options)

        with monkeypatch.context() as patch:
            for name in calls:
                patch.setattr(fs.OPS, name, lambda *args, _name=name, **options: call(_name, *args, **options))
            patch.setattr(fs.OPS, "unlink", lambda path: None)
            try:
                done = hand_in_together(jobs, [plain("One."), plain("Two.")])
            except Crash:
                pass
            else:
                break
        assert {job.state for job in room.look()} <= {"queued", "waiting"}, f"died at call {step}"
    assert {job.id for job in room.look()} == {one.job for one in done if isinstance(one, HandedIn)}
    assert step == 2 * 2 + 1 + 2 * 2 + 1 + 1  # each file written, all flushed, each named, the folder flushed


def test_clients_at_once_get_a_job_each_also_where_the_disk_fails_for_some(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, many = HandInGroups(Jobs(room.settings)), 3 * MOST
    sync_all = fs.OPS.sync_all
    fails = [True]

    def failing(paths: list[Path]) -> None:
        if fails:
            fails.pop()
            raise OSError(28, os.strerror(28))
        sync_all(paths)

    monkeypatch.setattr(fs.OPS, "sync_all", failing)

    async def hand_in_all() -> list[HandedIn | BaseException]:
        wanted = (groups.hand_in(plain(f"Number {number}.")) for number in range(many))
        async with asyncio.timeout(60):
            return await asyncio.gather(*wanted, return_exceptions=True)

    done = asyncio.run(hand_in_all())
    told = {one.job for one in done if isinstance(one, HandedIn)}
    failed = [one for one in done if isinstance(one, OSError)]
    assert failed
    assert len(told) + len(failed) == many
    assert {job.id for job in room.look()} == told
    assert left_over(room) == []


def test_a_client_that_goes_does_not_keep_the_others_waiting(room: Room) -> None:
    groups = HandInGroups(Jobs(room.settings))

    async def hand_in_some() -> HandedIn:
        gone = asyncio.ensure_future(groups.hand_in(plain(name="gone")))
        await asyncio.sleep(0)
        gone.cancel()
        async with asyncio.timeout(60):
            return await groups.hand_in(plain(name="there"))

    assert asyncio.run(hand_in_some()).name == "there"


def test_the_defaults_of_the_inbox_hold_at_once_and_it_is_not_listed_for_every_job(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, listed, listdir = 0.0, [], os.listdir

    def watched(path: Any = ".") -> list[str]:
        listed.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", watched)
    defaults = InboxDefaults(room.settings, lambda: now)
    assert defaults.read() == []
    room.put("_defaults.yml", "voice: heart\n")
    assert [one.values for one in defaults.read()] == [{"voice": "heart"}]
    assert listed == [room.inbox]
    # Those whose name is written otherwise follow
    (room.inbox / "_defaults.yml").rename(room.inbox / "_Defaults.YAML")
    now = LIST_S
    assert [one.path for one in defaults.read()] == ["_Defaults.YAML"]
    assert listed == [room.inbox] * 2
    # And two are refused
    room.put("_defaults.yaml", "speed: 1\n")
    with pytest.raises(JobError, match="two files of defaults"):
        defaults.read()
