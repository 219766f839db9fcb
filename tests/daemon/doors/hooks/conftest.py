"""A spool with jobs that have ended, and receivers of what is told of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.config import Settings
from daemon.doors.hooks import deliver
from daemon.doors.hooks.service import HookService
from daemon.doors.hooks.store import Delivery, Store
from daemon.jobs.record import Job, State, new_job_id
from daemon.queue.spool import Spool
from tests.conftest import PATIENCE_S, wait_for
from tests.support.daemon.receiver import Receiver


class Place:
    """The folders of an installation without a daemon, and its hooks.

    Attributes:
        store: what the hooks have on the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.config = root, root / "config.yaml"
        self.spool = Spool(root / "spool")
        self.spool.create()
        for name in ("inbox", "outbox"):
            (root / name).mkdir()
        self.store = Store(root / "spool" / "hooks")
        self.configure()

    def configure(self, *targets: dict[str, Any], **hooks: Any) -> None:
        paths = {name: name for name in ("inbox", "outbox", "spool")}
        log = {"format": "json"}
        raw = {"paths": paths, "log": log, "hooks": {"scan_s": 0.05, **hooks, "targets": list(targets)}}
        self.config.write_text(yaml.safe_dump(raw))

    def settings(self) -> Settings:
        return Settings.load(self.config)

    def end(self, name: str = "hello", state: State = "done", job: str = "", **fields: Any) -> str:
        """Let a job end, as the daemon does it: its record, then the rename. Returns its id."""
        now = time.time()
        manifest = {"kind": "speech", "text": "Hello.", **fields.pop("manifest", {})}
        one = Job(job or new_job_id(), name, f"{name}.yaml", by="anna", manifest=manifest, state=state, **fields)
        one.accepted, one.finished = now, now
        if state == "done":
            one.outputs = {"outputs": [{"file": f"{name}.wav", "bytes": 4, "sha256": "0" * 64}]}
        building = self.spool.tmp / one.id
        building.mkdir()
        self.spool.move_job(one, building)
        return one.id

    def deliveries(self, count: int, state: str = "delivered") -> list[Delivery]:
        """Return so many deliveries, the oldest first, once they are in that state."""

        def look() -> list[Delivery] | None:
            found = self.store.find(state=state) if self.store.exists() else []
            return found if len(found) >= count else None

        return wait_for(f"{count} deliveries that are {state}", look)[::-1]

    def run(self) -> Running:
        """Run the hooks in a thread, until it is stopped."""
        return Running(self)


class Running:
    """The hooks at work; they have looked once when this is made."""

    def __init__(self, place: Place) -> None:
        self.service = HookService(place.settings)
        self._thread = threading.Thread(target=self.service.run, daemon=True)
        self._thread.start()
        wait_for("the queue", place.store.exists)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Folders and hooks that try again at once, so often as usual."""
    monkeypatch.setattr(deliver, "DELAYS_S", tuple(0.01 for _ in deliver.DELAYS_S))
    return Place(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers."""
    made: list[Receiver] = []

    def make(*args: Any) -> Receiver:
        made.append(Receiver(*args))
        return made[-1]

    yield make
    for one in made:
        one.close()
