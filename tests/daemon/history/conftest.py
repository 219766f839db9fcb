"""A spool and an outbox for each test of the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemon.history_folders import Folders


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)
