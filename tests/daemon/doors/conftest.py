"""What the tests of the doors need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemon.intake import Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """An intake without a daemon, where a file that nobody vouches for stays unsettled for longer than any test takes."""
    (tmp_path / "inbox").mkdir()
    room = Room(tmp_path, settle_s=10**5, settle_unknown_s=10**5, companion_wait_s=10**6)
    room.look()
    return room
