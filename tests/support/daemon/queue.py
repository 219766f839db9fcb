"""A real queue on real folders, without a daemon, workers or flushes, for tests of its parts that take milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.events import Events, Subscriber
from daemon.jobs.facts import SourceFile
from daemon.jobs.record import Job, new_job_id
from daemon.jobs.stages import DELIVER, Stage
from daemon.outbox.estimator import Estimator
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import StatusWriter
from daemon.queue.ready_queue import ReadyQueue
from daemon.queue.source_files import SourceFiles
from daemon.queue.spool import Spool
from daemon.queue.state_machine import StateMachine
from daemon.system.file_calls import Ops
from daemon.system.file_key import file_key
from daemon.system.mount_guard import MountGuard

#: Only ends a test that hangs, in s.
PATIENCE_S = 120.0


class PowerCut(BaseException):
    """The world ends. Not an Exception, so that nothing can catch it by accident."""


class Unflushed(Ops):
    """The real calls, without their flushes.

    Attributes:
        calls: name and target of each, in order.
        before: called before each with the same; what it raises, the call raises.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Path]] = []
        self.before: Callable[[str, Path], None] = lambda name, path: None

    def _note(self, name: str, path: Path) -> None:
        self.calls.append((name, path))
        self.before(name, path)

    def write(self, path: Path, data: bytes, sync: bool = True, mode: int | None = None) -> None:
        self._note("write", path)
        super().write(path, data, sync=False, mode=mode)

    def write_unseen(self, path: Path, data: bytes) -> None:
        self.write(path, data)

    def rewrite(self, path: Path, data: bytes, sync: bool = True) -> None:
        self._note("rewrite", path)
        super().rewrite(path, data, sync=False)

    def touch(self, path: Path) -> None:
        self._note("touch", path)
        super().touch(path)

    def exchange(self, one: Path, other: Path) -> None:
        self._note("exchange", other)
        super().exchange(one, other)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", target)
        super().rename(source, target)

    def rename_new(self, source: Path, target: Path) -> None:
        self._note("rename_new", target)
        super().rename_new(source, target)

    def link(self, source: Path, target: Path) -> None:
        self._note("link", target)
        super().link(source, target)

    def sync_file(self, path: Path) -> None:
        self._note("sync_file", path)

    def sync_dir(self, path: Path) -> None:
        self._note("sync_dir", path)

    def sync_all(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._note("sync_all", path)


class Diary(Subscriber):
    """Writes a line for each event of jobs and lanes, and lets a test wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def _write(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()

    async def until(self, line: str, times: int = 1) -> None:
        """Wait until a line has been written so often."""
        async with asyncio.timeout(PATIENCE_S):
            while self.lines.count(line) < times:
                self._news.clear()
                await self._news.wait()

    def stage_started(self, job: Job, stage: Stage, wait_s: float) -> None:
        self._write(f"{job.name} {stage} started")

    def stage_ended(self, job: Job, stage: Stage, result: str, seconds: float) -> None:
        self._write(f"{job.name} {stage} {result}")

    def job_changed(self, job: Job) -> None:
        self._write(f"{job.name} is {job.state}")

    def job_finished(self, job: Job) -> None:
        self._write(f"{job.name} is {job.state}")

    def lane_paused(self, lane: str, error: AvatarError, delay_s: float) -> None:
        self._write(f"{lane} paused: {error.code}")

    def lane_resumed(self, lane: str) -> None:
        self._write(f"{lane} resumed")

    def worker_died(self, lane: str, reason: str) -> None:
        self._write(f"{lane} worker died: {reason}")


class QueueRoom:
    """Spool, ready queue, state machine, outbox and status files as a daemon has them; nothing runs by itself."""

    def __init__(self, root: Path, ops: Unflushed) -> None:
        raw = {
            "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
            "retry": {"first_delay_s": 0},
            "lanes": {"pause_s": 0.001},
        }
        self.settings = Settings.parse(raw, root / "config.yaml")
        self.ops = ops
        self.spool = Spool(self.settings.paths.spool)
        self.spool.create()
        self.settings.paths.outbox.mkdir()
        self.outbox = Outbox(self.settings.paths.outbox, is_resting=self.spool.is_resting)
        self.diary = Diary()
        #: The clock of the checks of source files, and which of these somebody has open for writing.
        self.now, self.open_files = time.monotonic(), set[str]()
        self.restart()

    def restart(self) -> None:
        """Make queue and state machine anew, as a start of the daemon does before it recovers the spool."""
        self.ready_queue = ReadyQueue()
        self.state_machine = StateMachine(
            self.settings,
            self.spool,
            self.ready_queue,
            Events(StatusWriter(self.outbox, Estimator()), self.diary),
            SourceFiles(
                self.settings,
                lambda path: path in self.open_files,
                lambda: self.now,
                lambda: self.mount_guard().held(adopt=False),
            ),
        )

    def mount_guard(self) -> MountGuard:
        """Return the guard of the inbox, as a start of the daemon makes it."""
        return MountGuard(self.settings.paths.inbox, self.spool.root / "inbox.json")

    def use_sources(self, is_open: Callable[[str], bool]) -> None:
        """Say in another way than `open_files` which source files are open for writing."""
        self.state_machine._sources._files._is_open = is_open

    def set(self, **settings: dict[str, Any]) -> None:
        """Give sections other values, as a reload does: `set(retry={"attempts": 2})`."""
        for section, values in settings.items():
            setattr(self.settings, section, getattr(self.settings, section).model_copy(update=values))

    def accept(self, name: str = "hello", stage: Stage = "tts", **fields: Any) -> Job:
        """Return a job of kind speech that stands in the queue of `stage`, on disk and in the ready queue."""
        now = time.time()
        record: dict[str, Any] = {
            "manifest": {"kind": "speech", "text": "Hello."},
            "stages": ("tts", DELIVER),  # without the check, which would only be one more move
            "accepted": now,
            "since": now,
        }
        job = Job(new_job_id(), name, f"{name}.yaml", stage=stage, **{**record, **fields})
        directory = self.spool.folder_of(job)
        directory.mkdir()
        (directory / "manifest.yaml").write_text("kind: speech\ntext: Hello.\n")
        self.spool.save_job(job, directory)
        self.ready_queue.add(job)
        return job

    def put_source(self, name: str, content: bytes, still_s: float) -> SourceFile:
        """A file in the inbox, as a job knows it that has copied it. `still_s`: how long it had been unchanged by then."""
        path = self.settings.paths.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with path.open("rb") as file:
            return SourceFile(name, list(file_key(file.fileno())), still_s)

    async def take(self, job: Job) -> tuple[Job, Path]:
        """Start a job's stage, as a lane does once its turn has come."""
        taken = await self.try_to_take(job)
        assert taken is not None
        return taken

    async def try_to_take(self, job: Job) -> tuple[Job, Path] | None:
        """Start a job's stage, unless the job waits for the rest of a file."""
        ticket = next(ticket for ticket in self.ready_queue.tickets() if ticket.id == job.id)
        return await self.state_machine.start_attempt(ticket)

    def where(self, job: Job) -> str:
        """Return the folder of the spool in which a job is."""
        directory = self.spool.find_job(job.id)
        assert directory is not None
        return str(directory.parent.relative_to(self.spool.root))

    def on_disk(self, job: Job) -> Job:
        """Return a job's record as the next start would read it."""
        directory = self.spool.find_job(job.id)
        assert directory is not None
        return self.spool.load_job(directory)

    def status(self, name: str = "hello") -> dict[str, Any]:
        """Return what people see of a job."""
        status = self.outbox.read_status(name)
        assert status is not None
        return status
