"""What the tests of requests in the inbox share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemon.inbox_requests import PATIENCE_S
from tests.support.daemon.intake import Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, companion_wait_s=PATIENCE_S)
    one.look()
    return one
