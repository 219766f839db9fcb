"""Jobs whose file is still being written."""

from __future__ import annotations

import pytest

from tests.support.daemon.growing_source import Case
from tests.support.daemon.queue import QueueRoom


@pytest.fixture
def ready_to_deliver(room: QueueRoom) -> Case:
    return Case(room, "deliver")


@pytest.fixture
def working(room: QueueRoom) -> Case:
    return Case(room, "tts")


@pytest.fixture(params=["deliver", "tts"])
def any_stage(room: QueueRoom, request: pytest.FixtureRequest) -> Case:
    """A job that is about to be delivered, and one whose stage finds that its file ends early."""
    return Case(room, request.param)
