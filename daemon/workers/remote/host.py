"""What runs in an actor on a machine of the cluster: a stage worker as its child process, and the folder of its job.

The actor only passes lines and files on, so that killing it, or losing its machine, ends the stage, and a stage that crashes
does not end the actor. Ray is not imported here: `cluster.py` makes an actor of the class.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.config import Settings
from daemon.errors import escape_unprintable
from daemon.system.memory import memory_mb, process_memory_mb
from daemon.system.permissions import restrict_umask
from daemon.wire import InitRequest, RunRequest, read_request
from daemon.workers.remote.content import ContentStore
from daemon.workers.remote.job_files import PART_BYTES, JobFile, Sent, checked_name, list_files, sha256_of
from daemon.workers.remote.portable import SPEAKING
from daemon.workers.remote.voice_profiles import ReceivedProfiles

#: A call for lines is answered after this long at the latest, in s.
POLL_S: Final = 2.0
#: Longest line of a worker, in bytes; the same as of a child process of the daemon.
_LINE_LIMIT: Final = 4 * 2**20
#: Files up to this size travel with the call, in bytes; larger ones by their content.
SMALL_BYTES: Final = 256 * 1024
#: Interval of looks at the worker's memory, in s.
_LOOK_S: Final = 0.5
_LAST_LINES: Final = 40
_PACKAGES: Final = ("daemon", "stages")


@dataclass(frozen=True)
class Ended:
    """How a worker's process ended. `code`: stable; `reason`: a sentence; `tail`: what it printed last."""

    code: str
    reason: str
    tail: list[str]


@dataclass(frozen=True)
class Lines:
    """Lines of a worker. `first`: the number of the first one; `ended`: how it ended, after the last one."""

    first: int
    lines: list[bytes]
    ended: Ended | None


@dataclass(frozen=True)
class Place:
    """Where an actor runs. `node`: its machine's name; `pid`: of the actor; `code`: of the version of avatard there."""

    node: str
    pid: int
    code: str


@dataclass(frozen=True)
class Made:
    """A file that a stage has made. `data`: its content where it is small."""

    name: str
    size: int
    mtime_ns: int
    sha256: str
    data: bytes | None


@dataclass(frozen=True)
class Outcome:
    """What a stage has changed in the job's folder."""

    made: list[Made] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@functools.cache
def code_version() -> str:
    """Return a number of the code of avatard that runs here; both ends must be the same."""
    total = hashlib.sha256()
    for package in _PACKAGES:
        root = Path(__file__).resolve().parents[3] / package
        for path in sorted(root.rglob("*.py")):
            total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def work_folder() -> Path:
    """Return the folder of all workers of this user on this machine.

    Raises:
        PermissionError: somebody else has made it.
    """
    folder = Path(os.environ.get("AVATAR_RAY_DIR") or Path(tempfile.gettempdir()) / f"avatard-ray-{os.geteuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a private folder of user {os.geteuid()}")
    return folder


class Host:
    """A worker on this machine: its process, its lines, and the folder of its job."""

    def __init__(self) -> None:
        restrict_umask()
        root = work_folder()
        _remove_left(root / "hosts")
        self._store = ContentStore(root / "content")
        self._folder = root / "hosts" / str(os.getpid())
        self._job = self._folder / "job"
        self._cache = root / "cache"
        self._voices = ReceivedProfiles(self._folder / "profiles", self._store)
        self._before: dict[str, JobFile] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._lines: deque[bytes] = deque()
        self._first = 0
        self._ended: Ended | None = None
        self._killed: tuple[str, str] | None = None
        self._news = asyncio.Event()
        self._tail: deque[str] = deque(maxlen=_LAST_LINES)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, lane: str, init: str) -> Place:
        """Start the worker with its first line. Its folders are this machine's; the models lie where the daemon's do."""
        request = read_request(init.encode())
        assert isinstance(request, InitRequest)
        settings = self._here(request.settings)
        for folder in (self._job, self._cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}  # Ray sets it to 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stages.worker", "--lane", lane, "--parent", str(os.getpid()),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT, start_new_session=True, cwd="/", env=environment,
        )  # fmt: skip
        limit_mb = settings.lanes.memory_mb or memory_mb() / 2
        self._tasks = [
            asyncio.create_task(work)
            for work in (self._read_lines(self._process), self._read_log(self._process), self._watch_memory(limit_mb))
        ]
        await self._write(InitRequest(settings=settings).to_line())
        return Place(socket.gethostname(), os.getpid(), await asyncio.to_thread(code_version))

    def _here(self, settings: Settings) -> Settings:
        mine = self._folder
        paths = settings.paths.model_copy(
            update={
                "cache": self._cache,
                **{name: mine / name for name in ("inbox", "outbox", "spool", "profiles", "avatars", "history")},
            }
        )
        return settings.model_copy(update={"paths": paths})

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        why = ""
        try:
            while line := await process.stdout.readline():
                self._lines.append(line)
                self._news.set()
        except ValueError as exc:  # a line without end
            why = f": {exc}"
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = await process.wait()
        await asyncio.wait(self._tasks[1:2], timeout=1.0)  # its last words
        what = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        name, reason = self._killed or (
            "worker-crashed",
            f"The worker process {what} while it worked on this job{why}.",
        )
        self._ended = Ended(name, reason, list(self._tail))
        self._news.set()

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(65536):
            self._tail.extend(escape_unprintable(line[:500]) for line in chunk.decode("utf-8", "replace").splitlines())

    async def _watch_memory(self, limit_mb: float) -> None:
        """End a worker that takes too much memory of this machine."""
        assert self._process is not None
        while self._process.returncode is None:
            await asyncio.sleep(_LOOK_S)
            used = process_memory_mb(self._process.pid)
            if used > limit_mb:
                words = f"The worker used {used:.0f} MB of memory; at most {limit_mb:.0f} MB are allowed."
                self._killed = "worker-memory", words
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                return

    async def _write(self, line: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(ConnectionError):  # the reader of lines notices that it ended
            self._process.stdin.write(line)
            await self._process.stdin.drain()

    async def lines(self, after: int) -> Lines:
        """Return the lines from number `after` on, as soon as there are any; the earlier ones have been received."""
        while self._first < after and self._lines:
            self._lines.popleft()
            self._first += 1
        if not self._lines and self._ended is None:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), POLL_S)
        lines = list(self._lines)
        return Lines(self._first, lines, self._ended)

    async def tell(self, line: str) -> None:
        """Pass a line on to the worker."""
        await self._write(line.encode())

    async def missing(self, sums: list[str]) -> list[str]:
        """Return the contents that this machine does not have."""
        return await asyncio.to_thread(self._store.missing, sums)

    async def add(self, sha256: str, offset: int, data: bytes, is_last: bool) -> None:
        """Add a part of a content."""
        await asyncio.to_thread(functools.partial(self._store.add, sha256, offset, data, is_last=is_last))

    async def run(self, line: str, files: list[Sent], voices: list[Sent]) -> None:
        """Have the worker run a stage on these files, and with these files of voice profiles."""
        request = read_request(line.encode())
        assert isinstance(request, RunRequest)
        await asyncio.to_thread(self._prepare, files)
        if request.stage in SPEAKING:
            await asyncio.to_thread(self._voices.put_down, voices)
        await self._write(request.model_copy(update={"dir": self._job}).to_line())

    def _prepare(self, files: list[Sent]) -> None:
        shutil.rmtree(self._job, ignore_errors=True)
        self._job.mkdir(mode=0o700)
        for file in files:
            self._store.put(file, self._job / checked_name(file.name))
        self._before = list_files(self._job)

    async def outcome(self) -> Outcome:
        """Return what the stage has changed."""
        return await asyncio.to_thread(self._outcome)

    def _outcome(self) -> Outcome:
        now = list_files(self._job)
        changed = [file for name, file in now.items() if name not in self._before or self._before[name].key != file.key]
        made = []
        for file in changed:
            path = self._job / file.name
            data = path.read_bytes() if file.size <= SMALL_BYTES else None
            sha256 = hashlib.sha256(data).hexdigest() if data is not None else sha256_of(path)
            made.append(Made(file.name, file.size, file.mtime_ns, sha256, data))
        return Outcome(made, [name for name in self._before if name not in now])

    async def forget(self) -> None:
        """Remove the job's files, which have been brought back."""
        await asyncio.to_thread(shutil.rmtree, self._job, ignore_errors=True)

    async def read(self, name: str, offset: int) -> bytes:
        """Return a part of a file that the stage has made."""

        def part() -> bytes:
            with (self._job / checked_name(name)).open("rb") as file:
                file.seek(offset)
                return file.read(PART_BYTES)

        return await asyncio.to_thread(part)


def _remove_left(folder: Path) -> None:
    """Remove the folders of actors that are gone; each is named by its process."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if not entry.name.isdigit() or not Path(f"/proc/{entry.name}").exists():
                shutil.rmtree(entry.path, ignore_errors=True)
