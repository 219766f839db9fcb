"""Taking manifests out of the inbox, once.

The claim is one rename into `.claimed/<job>/` on the inbox's own filesystem. From there its jobs are made (`Builder`); the
claim is removed last. A crash in between leaves the claim, and `accept` goes on from it.

Every step is taken for a whole batch before it is flushed: a burst costs a few flushes for each batch, not for each job.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import structlog

from daemon import fs
from daemon.board import Board
from daemon.builder import BATCH, WITHDRAWN, Builder, Claimed
from daemon.config import Settings
from daemon.errors import JobError
from daemon.events import Events
from daemon.inbox import Drop, Look
from daemon.job import Job
from daemon.outbox import Outbox
from daemon.reading import parse_safely, read_manifest
from daemon.spool import Spool

log = structlog.get_logger()

CLAIMED = ".claimed"
#: In a claim whose manifest somebody cancelled while it lay in the inbox.
CANCELLED = "cancelled"
MAX_NAME_BYTES = 4096  # PATH_MAX
#: What rename says of a manifest that we may not take, or that somebody has open on a file server.
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY})


class Claims:
    def __init__(self, settings: Settings, spool: Spool, outbox: Outbox, board: Board, events: Events) -> None:
        self._settings = settings
        self._jobs_in = spool.jobs
        self._builder = Builder(settings, spool, outbox, board, events)
        self.root = settings.paths.inbox / CLAIMED
        #: Manifests that could not be taken, by name, and why.
        self.refused: dict[str, str] = {}
        #: Folders among the claims that are not ours; said once.
        self._foreign: set[str] = set()

    # -- out of the inbox ----------------------------------------------------------------------------------------

    def take(self, wanted: Sequence[tuple[Drop, str]], *, cancelled: bool = False) -> list[Job]:
        """Claim drops, each under the id given with it, and make their jobs. What was exchanged meanwhile is left.

        `cancelled`: each manifest becomes one job that is cancelled already, whatever is in it.
        """
        directories = [self.root / claim for _, claim in wanted]
        for (drop, _), directory in zip(wanted, directories, strict=True):
            fs.OPS.mkdir(directory)
            # The name is noted before the rename, which takes it away.
            fs.OPS.write(directory / "source", drop.name.encode("utf-8", "surrogateescape"), sync=False)
            if cancelled:
                fs.OPS.write(directory / CANCELLED, b"", sync=False)
        fs.OPS.sync_all([*(directory / "source" for directory in directories), *directories, self.root])
        taken = [
            directory for (drop, _), directory in zip(wanted, directories, strict=True) if self._claim(drop, directory)
        ]
        if not taken:
            return []
        # Who dropped it may not have flushed it, and it is ours now.
        manifests = [path for directory in taken if _flushable(path := directory / "manifest.yaml")]
        fs.OPS.sync_all([*manifests, *taken])
        return self.accept(taken, new=True)

    def _claim(self, drop: Drop, directory: Path) -> bool:
        taken = directory / "manifest.yaml"
        try:
            fs.rename(self._settings.paths.inbox / drop.name, taken)
        except FileNotFoundError:
            fs.remove(directory)
            return False
        except OSError as exc:
            if exc.errno not in _REFUSED:
                raise
            fs.remove(directory)
            self.refused[drop.name] = os.strerror(exc.errno)
            return False
        if drop.look.same_content(Look.at(taken)):
            return True
        # It was exchanged in the last moment: back with it, and look again. Its name may be another one's by now.
        names = (drop.name, f"{directory.name}.yaml")
        if any(fs.publish(taken, self._settings.paths.inbox / name) for name in names):
            fs.remove(directory)
            return False
        return True

    def recover(self) -> int:
        """Go on with every claim that a crash or a full disk left behind. Returns how many."""
        self._own_root()
        claims = [directory for directory in self._jobs_in(self.root) if self._usable(directory)]
        whole = [directory for directory in claims if os.path.lexists(directory / "manifest.yaml")]
        for directory in claims:
            if directory not in whole:
                self._clear(directory)
        whole.sort()
        for start in range(0, len(whole), BATCH):
            self.accept(whole[start : start + BATCH])
        return len(claims)

    def _usable(self, directory: Path) -> bool:
        """Whether we can go on with a claim. One that somebody else put there is passed over: it is no work of ours."""
        if directory.name not in self._foreign and not os.access(
            directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True
        ):
            self._pass_over(directory)
        return directory.name not in self._foreign

    def _clear(self, directory: Path) -> None:
        try:
            fs.remove(directory)
        except PermissionError:
            self._pass_over(directory)

    def _pass_over(self, directory: Path) -> None:
        self._foreign.add(directory.name)
        log.warning(
            "claim passed over", path=str(directory), why="it is somebody else's, and may not be read or removed"
        )

    def _own_root(self) -> None:
        """Have a folder of our own for claims: people can write in the inbox, and may have put a link in its place."""
        try:
            if stat.S_ISDIR(os.lstat(self.root).st_mode):
                return
            fs.remove(self.root)
        except FileNotFoundError:
            pass
        fs.OPS.mkdir(self.root)
        with contextlib.suppress(OSError):  # a share may know no modes
            os.chmod(self.root, 0o700)  # nobody else has any business here

    # -- into the spool ------------------------------------------------------------------------------------------

    def accept(self, directories: Sequence[Path], *, new: bool = False) -> list[Job]:
        """Make the jobs of claimed manifests, each once, and remove the claims. `new`: none of them can be in the spool yet."""
        jobs = self._builder.make([self._read(directory) for directory in directories], new=new)
        for directory in directories:
            self._clear(directory)
        if directories:
            fs.OPS.sync_dir(self.root)
        return jobs

    def _read(self, directory: Path) -> Claimed:
        source = self._source(directory)
        data = b""
        try:
            data = read_manifest(directory, "manifest.yaml", self._settings.intake.max_manifest_bytes)
            items = tuple(parse_safely(data, self._settings.intake.max_documents))
            if os.path.lexists(directory / CANCELLED):
                items = (WITHDRAWN,)
        except JobError as exc:
            items = (exc,)
        return Claimed(directory.name, source, data, items)

    def _source(self, directory: Path) -> str:
        try:
            name = read_manifest(directory, "source", MAX_NAME_BYTES).decode("utf-8", "surrogateescape")
        except JobError:  # somebody was in here: the name is lost, the job is not
            name = ""
        return name if name and "\0" not in name else f"{directory.name}.yaml"


def _flushable(path: Path) -> bool:
    """Whether we can open it to flush it: what is no file, or not ours to read, fails later with a reason."""
    look = Look.at(path)
    return look is not None and look.size >= 0 and os.access(path, os.R_OK)
