"""Each picture is measured once for all tests of the frames, in all processes that run tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _known(known_faces: None) -> None:
    """Take the face stage for granted."""
