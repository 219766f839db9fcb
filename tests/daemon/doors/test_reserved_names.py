"""A name that somebody chose is one job's: of two that are handed in under it at the same moment one is refused."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from daemon.config.paths import Paths
from daemon.doors.hand_in import hand_in
from daemon.errors import AvatarError
from daemon.system import fs
from tests.conftest import PORTRAIT
from tests.support.daemon.intake import Room

HELLO = {"kind": "speech", "text": "Hello."}


def power_cut(*_: Any, **__: Any) -> bool:
    raise KeyboardInterrupt


def _submit_named(paths: Paths, begin: Any, told: Any) -> None:
    begin.wait()
    try:
        told.put(hand_in({**HELLO, "output": "hello"}, paths=paths).name)
    except AvatarError as exc:
        told.put(exc.code)


@pytest.mark.usefixtures("processes")
def test_of_processes_that_want_one_name_at_the_same_moment_one_gets_it_and_the_others_are_told(room: Room) -> None:
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(2), context.Queue()
    running = [context.Process(target=_submit_named, args=(room.settings.paths, begin, told)) for _ in range(2)]
    for process in running:
        process.start()
    answers = sorted(told.get(timeout=600) for _ in running)
    for process in running:
        process.join()
    assert answers == ["hello", "name-taken"]
    assert [job.name for job in room.look()] == ["hello"]


def test_a_name_is_taken_while_the_daemon_makes_its_job(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a manifest that the daemon has taken out of the inbox, and whose job has no status yet
    paths, outbox = room.settings.paths, room.admission.claims.builder._outbox
    reserve, said = outbox.reserve_names, []

    def taken(requests: Any) -> list[str]:
        assert list(room.inbox.glob("*.yaml")) == []
        with pytest.raises(AvatarError) as refused:
            hand_in({**HELLO, "text": "Another one."}, paths=paths, name="Hello")
        said.append(refused.value.code)
        return reserve(requests)

    monkeypatch.setattr(outbox, "reserve_names", taken)
    hand_in(HELLO, paths=paths, name="hello")
    # Then nobody else is told that a job gets its name
    assert [job.name for job in room.look()] == ["hello"]
    assert said == ["name-taken"]


def test_a_name_is_free_at_once_when_the_door_died_that_wanted_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = room.settings.paths
    with monkeypatch.context() as patch:
        patch.setattr(fs, "publish", power_cut)
        patch.setattr(fs.OPS, "remove", lambda path: None)
        with pytest.raises(KeyboardInterrupt):
            hand_in(HELLO, {"image": PORTRAIT}, paths=paths, name="hello")
    assert list(room.inbox.glob(".*.handin")) != []
    assert hand_in(HELLO, paths=paths, name="hello").name == "hello"


@pytest.mark.parametrize("key", ["", "again"])
def test_a_name_that_the_door_chose_gives_way_to_the_next_version(room: Room, key: str) -> None:
    paths = room.settings.paths
    names = [hand_in(HELLO, key=key and f"{key}{n}", paths=paths, name="hello", chosen=True).name for n in range(3)]
    assert names == ["hello", "hello-v2", "hello-v3"]
    assert hand_in(HELLO, key=key and f"{key}2", paths=paths, name="hello", chosen=True).name == (
        "hello-v3" if key else "hello-v4"
    )
    assert [job.name for job in room.look()][:3] == names
