"""What several tests of the intake need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon.intake import Room
from tests.support.daemon.watched_folder import Watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "inbox").mkdir()
    one = Watched(tmp_path / "inbox")
    yield one
    one.watcher.stop()


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """An intake without a daemon, whose inbox has been looked at once."""
    one = Room(tmp_path)
    one.look()
    return one
