"""What several tests of the daemon need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.disk import Disk, unavailable


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Disk]]:
    """Makes small ext4 disks; skips where that is not allowed. What uses them must have ended before the test does."""
    if why := unavailable():
        pytest.skip(why)
    made: list[Disk] = []

    def make(size_mb: int) -> Disk:
        made.append(Disk(tmp_path / f"disk{len(made)}", size_mb))
        return made[-1]

    yield make
    for one in made:
        one.unmount()
