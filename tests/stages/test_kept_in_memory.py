"""A worker keeps values for its next job only while jobs come."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.config import Settings
from daemon.wire import InitRequest
from stages import kept_in_memory, worker
from stages.kept_in_memory import KeptValue
from tests.conftest import PATIENCE_S


class Value:
    pass


def test_a_worker_without_work_frees_what_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a worker that keeps a value, and whose input is closed as soon as that is freed
    monkeypatch.setattr(kept_in_memory, "is_short", lambda: False)
    monkeypatch.setattr(kept_in_memory, "_free", [])
    monkeypatch.setattr(worker, "send_heartbeats", lambda *_: None)
    reader, writer = os.pipe()
    place, value = KeptValue[str, Value](), Value()
    weakref.finalize(value, os.close, writer)
    place.keep("portrait", value)
    del value
    # When no request comes for `lanes.idle_s`
    settings = Settings.model_validate({"lanes": {"idle_s": 0.01}})
    os.write(writer, InitRequest(settings=settings).to_line())
    wire, log = SimpleNamespace(send=lambda _: None), SimpleNamespace(set_level=lambda _: None)
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        serving = threading.Thread(target=worker.serve_requests, args=cast(Any, (wire, log, "cpu")), daemon=True)
        serving.start()
        serving.join(PATIENCE_S)
        # Then the value is gone, and so is the worker
        assert not serving.is_alive()
    assert place.take("portrait") is None


def test_only_the_value_of_the_same_source_is_given_out_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_in_memory, "is_short", lambda: False)
    monkeypatch.setattr(kept_in_memory, "_free", [])
    place, value = KeptValue[str, Value](), Value()
    place.keep("portrait", value)
    assert place.take("portrait") is value
    assert place.take("portrait") is None
    # The value of another source is freed before a new one is made
    place.keep("portrait", value)
    gone = weakref.ref(value)
    del value
    assert place.take("another") is None
    assert gone() is None
