"""Every change the service makes to a disk, one by one: what if the world ends right there?

A job's whole life is driven through the real intake, state_machine, worker and delivery, with only the four heavy stages replaced
by ones that write their artifact, and the check, which writes nothing, by one that finds nothing. `fs.OPS` is replaced by one
that counts the calls and, at one of them, crashes before it, after it or in the middle of it, or answers with an error. Then a
new set of objects (a new process, as far as the code can tell) recovers and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.config import Settings
from daemon.errors import MachineError, from_exception
from daemon.events import Subscriber
from daemon.intake.batches import keeper, running_batch
from daemon.intake.scanner import InboxScanner
from daemon.jobs.record import Job
from daemon.jobs.stages import STAGES
from daemon.queue.job_end import KEPT
from daemon.queue.recovery import recover_spool
from daemon.service import Service
from daemon.system import fs
from daemon.system.disk_thread import DiskThread
from daemon.system.file_calls import Ops
from daemon.system.mount_guard import MARK
from daemon.wire import Message, RunRequest
from stages import worker
from stages.check.portraits import PortraitChecks
from stages.check.rows import check_rows
from stages.context import Context
from tests.conftest import ROOT
from tests.support.daemon.watched_calls import Crash, Watched
from tests.support.endurance import FULL

pytestmark = pytest.mark.usefixtures("processes")

#: How the world ends, or lies, at a call.
WAYS = ("crash before", "crash after", "crash within", "EIO", "ENOSPC", "EDQUOT", "lies")
#: So many calls are tried in each way where not all of them are, spread over the jobs' life, and each way others.
FEW = 3
#: Those of which the disk may say that they failed although they happened.
MAY_LIE = ("rename", "rename_new", "exchange", "link")
VIDEO = b"the video " * 5000
#: Files of the spool itself.
STANDING = ("lock", "state.json", "lanes.jsonl", "inbox.json", "outbox.json", "tables.json")
#: Of the inbox, so that its folder in the outbox is made in the life of the jobs, too.
FOLDER = "anna"
MADE = {"check": None, "face": "portrait.png", "tts": "speech.wav", "lipsync": "motion.npz", "encode": "video.mp4"}


class Wire:
    def send(self, message: Message) -> None:
        """Nobody listens."""


class Finished(Subscriber):
    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def job_finished(self, job: Job) -> None:
        self.jobs.append(job)


@pytest.fixture(autouse=True)
def light_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that write their artifact the way the real ones do, and nothing else."""
    for stage, artifact in MADE.items():
        module = types.ModuleType(f"stages.{stage}")

        def run(ctx: Context, artifact: str | None = artifact) -> Mapping[str, Any]:
            if ctx.manifest.kind_of_job.makes_jobs:
                return check_rows(ctx)
            if artifact is not None:
                with fs.artifact(ctx.path(artifact)) as path:
                    path.write_bytes(VIDEO)
            return {"artifact": artifact}

        module.run = run  # type: ignore[attr-defined]
        module.__path__ = [str(ROOT / "stages" / stage)]  # other stages import its parts
        monkeypatch.setitem(sys.modules, f"stages.{stage}", module)


@contextlib.contextmanager
def house() -> Iterator[Settings]:
    # In memory where there is such a place: thousands of flushes are asked for, and here only their order matters.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield _settings(Path(folder))


@pytest.fixture
def settings() -> Iterator[Settings]:
    with house() as one:
        yield one


def _settings(folder: Path) -> Settings:
    raw = {
        "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
        "intake": {"settle_s": 0.05, "settle_unknown_s": 0.05, "settle_mb_s": 0, "reserve_mb": 0},
        "lanes": {"pause_s": 0.01},
    }
    settings = Settings.parse(raw, folder / "config.yaml")
    for folder in (settings.paths.inbox, settings.paths.outbox):
        folder.mkdir()
    return settings


@dataclass(frozen=True, eq=False)
class Scene:
    """What is dropped into a folder of the inbox, and what is there in the end.

    Attributes:
        files: name → content; the manifest comes last, and is the one that is taken.
        results: in the folder of that name in the outbox, below which they may lie.
        jobs: number of records in the spool.
    """

    files: dict[str, str]
    results: tuple[str, ...]
    jobs: int


DOCUMENTS = Scene(
    {"p.png": "picture", "hello.yaml": "text: One.\nimage: p.png\n---\ntext: Two.\nimage: p.png\n"},
    ("hello-1.json", "hello-1.mp4", "hello-2.json", "hello-2.mp4"),
    2,
)
#: Three rows, of which two are equal: two jobs beside the batch's own, and a copy.
BATCH = Scene(
    {
        "p.png": "picture",
        "people.csv": "name\nAnna\nBen\nAnna\n",
        "hello.yaml": 'kind: batch\nrows: people.csv\ntemplate: {text: "Hello {{name}}.", image: p.png}\n',
    },
    (
        "hello.json",
        "hello.report.csv",
        *(f"hello/hello-{name}" for name in ("1.json", "1.mp4", "2.json", "2.mp4", "3.mp4")),
    ),
    3,
)


def drop(settings: Settings, scene: Scene) -> None:
    folder = settings.paths.inbox / FOLDER
    folder.mkdir()
    for name, content in scene.files.items():
        (folder / name).write_text(content)


@pytest.fixture(autouse=True)
def any_picture_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures here are none, as the face stage that would look at them is a stand-in, too."""
    monkeypatch.setattr(PortraitChecks, "_look", lambda self, manifest, path: None)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


async def live(settings: Settings) -> list[Job]:
    """One process: start, recover, work until nothing is left to do. Errors of the machine are met as the service meets them."""
    service = Service(settings)
    service._make_folders()
    finished = Finished()
    service.events.add(finished)
    ticks = iter(range(10**6))
    service.admission.inbox = InboxScanner(settings.paths.inbox, settings, lambda: float(next(ticks)))
    await patiently(lambda: recover_spool(service.state_machine, service.outbox))
    await patiently(lambda: sync(service.admission.resume))
    for _ in range(12):
        try:
            service.admission.resume()
            for ready in service.admission.scan():
                service.admission.take(ready)
        except OSError:
            continue  # the service pauses its intake and looks again
    await service.batches.resume()
    idle = 0
    for _ in range(120):
        ticket = next((head for stage in reversed(STAGES) if (head := service.ready_queue.head(stage, 2e9))), None)
        if ticket is None:
            if await service.batches.carry_on() is None or idle > 20:
                break
            idle += 1
            continue
        taken = await service.state_machine.start_attempt(ticket)
        await settle(service)
        if taken is None:
            continue
        job, directory = taken
        request = RunRequest(job=job.id, name=job.name, stage=ticket.stage, dir=directory, manifest=job.manifest)
        try:
            result = worker.run_stage(request, settings, Wire())  # type: ignore[arg-type]
        except Exception as exc:
            if not isinstance(from_exception(exc), MachineError):
                raise
            service.state_machine.begin_to_put_down(job)
            await service.state_machine.put_back(job, directory)
        else:
            service.state_machine.begin_to_put_down(job)
            await service.state_machine.advance(job, directory, result.facts, result.warnings)
        service.state_machine.end_putting_down(job)
        await settle(service)
    return finished.jobs


async def settle(service: Service) -> None:
    """Let what is flushed and written beside the event loop end, so that the order of the calls is the same each time."""
    await service.state_machine.durable.flushed()
    await service.status_writes.written()
    await service.state_writes.written()


async def sync(step: Callable[[], Any]) -> Any:
    return step()


async def patiently(step: Callable[[], Any]) -> None:
    """A start that fails is tried again, as systemd does."""
    try:
        await step()
    except OSError:
        await step()


def run(settings: Settings, ops: Watched) -> bool:
    """Live with `ops`; whether it came to its end without a crash."""
    fs.OPS = ops
    try:
        asyncio.run(live(settings))
    except Crash:
        return False
    finally:
        fs.OPS = Ops()
    return True


def visible(settings: Settings) -> tuple[str, ...]:
    """The files in the folder of the outbox, and below."""
    folder = settings.paths.outbox / FOLDER
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))


def check(settings: Settings, scene: Scene, published: list[str], where: str) -> None:
    """All jobs delivered, whole, once; and nothing else anywhere."""
    paths = settings.paths
    assert sorted(path.name for path in paths.outbox.iterdir() if path.name != MARK) == [FOLDER], where
    assert visible(settings) == tuple(sorted(scene.results)), where
    for path in (paths.outbox / FOLDER).rglob("*.mp4"):
        assert path.read_bytes() == VIDEO, where
    for path in (paths.outbox / FOLDER).rglob("*.json"):
        assert '"state": "done"' in path.read_text(), where
    for path in (paths.outbox / FOLDER).rglob("*.csv"):
        assert path.read_text("utf-8-sig").count(",done,") == 3, where
    assert sorted(set(published)) == sorted(published), f"{where}: delivered twice: {published}"
    assert sorted(path.name for path in paths.inbox.iterdir()) == [".avatard", ".claimed", FOLDER], where
    assert {path.name for path in (paths.inbox / FOLDER).iterdir()} == {*scene.files} - {"hello.yaml"}, where
    assert list((paths.inbox / ".claimed").iterdir()) == [], where
    records = [path.parent.parent.name for path in paths.spool.rglob("job.json")]
    assert records == ["done"] * scene.jobs, f"{where}: {records}"
    leftovers = [path for path in paths.spool.rglob("*") if path.is_file() and path.name not in (*KEPT, *STANDING)]
    assert leftovers == [], f"{where}: {leftovers}"


@functools.cache
def all_calls(scene: Scene) -> list[str]:
    ops = Watched()
    with house() as settings:
        drop(settings, scene)
        assert run(settings, ops)
        check(settings, scene, ops.published, "the undisturbed life")
    return ops.calls


def clean(settings: Settings) -> None:
    fs.OPS = Ops()
    for folder in (settings.paths.inbox, settings.paths.outbox, settings.paths.spool):
        if folder.exists():
            fs.remove(folder)
    settings.paths.inbox.mkdir()
    settings.paths.outbox.mkdir()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    fs.OPS = Ops()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch goes on at once where the machine was at fault."""
    monkeypatch.setattr(running_batch, "FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(running_batch, "LONGEST_RETRY_S", 0.0)
    monkeypatch.setattr(keeper, "REPORT_S", 0.0)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """All calls are made in one order."""

    async def run(self: DiskThread, call: Callable[..., Any], *args: Any) -> Any:
        return call(*args)

    monkeypatch.setattr(DiskThread, "run", run)


@pytest.mark.parametrize("scene", [DOCUMENTS, BATCH], ids=["documents", "batch"])
@pytest.mark.parametrize("how", WAYS)
def test_every_call_may_be_the_last(
    settings: Settings, how: str, scene: Scene, close_kept_copies: Callable[[], None]
) -> None:
    # Given the list of every call of the jobs' whole life
    calls = all_calls(scene)
    assert len(calls) > 100
    tried = [at for at, call in enumerate(calls) if how != "lies" or call.split()[0] in MAY_LIE]
    apart = len(tried) // FEW
    for at in tried if FULL else tried[apart * WAYS.index(how) // len(WAYS) :: apart]:
        call = calls[at]
        # When the world ends (or lies) at that one, and a new process starts (twice, for what only a second start clears)
        clean(settings)
        drop(settings, scene)
        first = Watched(at, how)
        if run(settings, first):
            # Then an error, unlike a crash, has been got over without a new process
            assert visible(settings) == tuple(sorted(scene.results)), f"{how} at {at}: {call}"
        second = Watched()
        assert run(settings, second)
        third = Watched()
        assert run(settings, third)
        # Then everything is there, once, and nothing else
        check(settings, scene, first.published + second.published + third.published, f"{how} at call {at}: {call}")
        close_kept_copies()
