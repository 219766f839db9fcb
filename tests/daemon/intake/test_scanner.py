"""A half-copied drop is never read as whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.config.settings import Intake
from daemon.intake.scanner import InboxScanner


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(tmp_path: Path, clock: Clock) -> InboxScanner:
    limits = Intake(settle_s=2.0, settle_unknown_s=2.0, settle_mb_s=0, empty_wait_s=30.0)
    return InboxScanner(tmp_path, Settings(intake=limits), clock)


def settled(inbox: InboxScanner) -> list[str]:
    return [drop.name for drop in inbox.look() if drop.settled]


def test_two_equal_looks_apart_by_the_settle_time_are_needed(tmp_path: Path, inbox: InboxScanner, clock: Clock) -> None:
    # Given a manifest that grows between looks
    path = tmp_path / "a.yaml"
    path.write_text("text: Hel")
    assert settled(inbox) == []
    clock.now = 3.0
    path.write_text("text: Hello")
    assert settled(inbox) == []
    clock.now = 4.9
    assert settled(inbox) == []
    # When it has stood still for the settle time / Then it is taken
    clock.now = 5.0
    assert settled(inbox) == ["a.yaml"]


def test_a_file_exchanged_for_one_of_the_same_size_and_time_is_seen(
    tmp_path: Path, inbox: InboxScanner, clock: Clock
) -> None:
    path, other = tmp_path / "a.yaml", tmp_path / ".b"
    path.write_text("text: 1")
    other.write_text("text: 2")
    os.utime(path, ns=(1, 1))
    os.utime(other, ns=(1, 1))
    inbox.look()
    clock.now = 1.9
    other.rename(path)
    inbox.look()
    clock.now = 2.5
    assert settled(inbox) == []


def test_clock_skew_in_the_file_does_not_matter(tmp_path: Path, inbox: InboxScanner, clock: Clock) -> None:
    # Given a file server whose clock is years ahead
    path = tmp_path / "a.yaml"
    path.write_text("text: x")
    os.utime(path, (4e9, 4e9))
    inbox.look()
    clock.now = 2.0
    assert settled(inbox) == ["a.yaml"]


def test_an_empty_file_is_given_time_to_be_filled(tmp_path: Path, inbox: InboxScanner, clock: Clock) -> None:
    (tmp_path / "a.yaml").touch()
    inbox.look()
    clock.now = 29.0
    assert settled(inbox) == []
    clock.now = 30.0
    assert settled(inbox) == ["a.yaml"]


def test_unfinished_names_are_never_looked_at_and_folders_are(
    tmp_path: Path, inbox: InboxScanner, clock: Clock
) -> None:
    (tmp_path / "folder").mkdir()
    names = [
        ".hidden.yaml",
        ".a.yaml.Xy12Z",
        "~$a.yaml",
        "a.yaml.part",
        "a.yaml.filepart",
        "b.sync-conflict-20260101.yaml",
        "notes.txt",
    ]
    for name in [*names, "folder/b.yml", "C.YAML"]:
        (tmp_path / name).write_text("text: x")
    (tmp_path / ".claimed").mkdir()
    (tmp_path / ".claimed" / "c.yaml").write_text("text: x")
    inbox.look()
    clock.now = 5.0
    assert sorted(settled(inbox)) == ["C.YAML", "folder/b.yml"]
