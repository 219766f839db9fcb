"""Takes manifests out of the inbox, each once.

The claim is one rename into `.claimed/<job>/` on the inbox's own filesystem. From there its jobs are made (`JobBuilder`); the
claim is removed last. A crash in between leaves the claim, and `recover` goes on from it.

Every step is taken for a whole batch before it is flushed: a burst costs a few flushes for each batch, not for each job. What
goes wrong with one manifest is that manifest's: one that cannot be moved is refused, one whose files cannot be copied now is
tried again by itself, and the others go on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, MachineError, Postponed
from daemon.intake.claim_folder import ClaimFolder
from daemon.intake.drop import Drop, Look
from daemon.intake.fair_queue import FairQueue, Turn, owner_lines
from daemon.intake.folder_defaults import DefaultsFile, from_bytes, parsed_defaults, to_bytes
from daemon.intake.inbox_names import MAX_DEPTH
from daemon.intake.job_builder import WITHDRAWN, Claimed, JobBuilder, NextTurn
from daemon.jobs.batch.alone import batch_of, is_table
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.hand_in_record import MAX_BY, record_name
from daemon.jobs.record import Job
from daemon.jobs.untrusted import parse_untrusted, read_manifest
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.file_calls import MANY
from daemon.system.json_files import dump_json
from daemon.system.permissions import owner_name
from daemon.system.safe_open import explain_open_error, path_by_descriptor

log = structlog.get_logger()

#: In a claim whose manifest somebody cancelled while it lay in the inbox.
CANCELLED = "cancelled"
#: In a claim whose manifest has waited in the inbox for as long as it may: what cannot be copied then fails at once.
WAITED = "waited"
#: In a claim that a door handed in for somebody: who that is.
BY = "by"
#: In a claim: the files of folder defaults that held when the manifest was taken.
DEFAULTS = "defaults"
#: In a claim whose jobs are held from their first moment: who holds them, why and since when, as JSON.
HELD = "held"
MAX_NAME_BYTES = 4096  # PATH_MAX
#: A claim whose files cannot be copied is tried again after this long at first, and at most, in s.
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


@dataclass
class _Postponed:
    """A claim that waits for its files. Times are those of `Claims`' clock, in s."""

    since: float
    due: float
    delay: float


class Claims:
    """Takes manifests out of the inbox, and remembers what an interrupted claim still needs.

    Args:
        builder: makes the jobs of what was claimed.
        clock: monotonic seconds.
    """

    def __init__(
        self, settings: Settings, spool: Spool, builder: JobBuilder, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._jobs_in = spool.job_folders
        self.builder = builder
        self._clock = clock
        self.folder = ClaimFolder(settings.paths.inbox)
        #: Manifests that could not be taken, by name, and why.
        self.refused: dict[str, str] = {}
        #: Claims whose files could not be copied, by their id.
        self._postponed: dict[str, _Postponed] = {}
        #: Claims that have jobs left for the next turn.
        self._unfinished: set[str] = set()
        self._queue: FairQueue[Path] = FairQueue(self._lines)
        #: Folders among the claims that are not ours; each is logged once.
        self._foreign: set[str] = set()

    # -- out of the inbox ----------------------------------------------------------------------------------------

    def take(
        self,
        wanted: Sequence[tuple[Drop, str]],
        *,
        cancelled_by: str | None = None,
        waited: Set[str] = frozenset(),
        defaults: Mapping[str, Sequence[DefaultsFile]] = MappingProxyType({}),
        held: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    ) -> list[Job]:
        """Claim drops, each under the id given with it, and make their jobs. What was exchanged meanwhile is left.

        Args:
            cancelled_by: if given, each manifest becomes one job that is cancelled already, whatever is in it; who asked for
                that, or empty if it is not known.
            waited: names of drops that have waited for as long as they may.
            defaults: the files of folder defaults that hold for a drop, by its name. They are kept in the claim, so that a
                change of them is for later drops only.
            held: who holds the jobs of a drop, why and since when, by its name. Kept in the claim, too.
        """
        with self.folder.opened() as root:
            directories = [root / claim for _, claim in wanted]
            written = [directory / "source" for directory in directories]
            for (drop, _), directory in zip(wanted, directories, strict=True):
                self._make(directory)
                # The name is noted before the rename, which takes it away.
                fs.OPS.write(directory / "source", drop.name.encode("utf-8", "surrogateescape"), sync=False)
                if cancelled_by is not None:
                    fs.OPS.write(directory / CANCELLED, cancelled_by.encode(), sync=False)
                if drop.by:
                    fs.OPS.write(directory / BY, drop.by.encode(), sync=False)
                    written.append(directory / BY)
                if drop.name in waited:
                    fs.OPS.write(directory / WAITED, b"", sync=False)
                if files := defaults.get(drop.name):
                    fs.OPS.write(directory / DEFAULTS, to_bytes(files), sync=False)
                    written.append(directory / DEFAULTS)
                if order := held.get(drop.name):
                    fs.OPS.write(directory / HELD, dump_json(order), sync=False)
                    written.append(directory / HELD)
            fs.OPS.sync_all([*written, *directories, root])
            claimed = [self._claim(drop, directory) for (drop, _), directory in zip(wanted, directories, strict=True)]
            taken = [directory for directory, done in zip(directories, claimed, strict=True) if done]
            if not taken:
                return []
            self._flush(taken)
            self._unfinished.update(directory.name for directory in taken)
            turn = Turn(self._clock)
            # The job of an id that a door gave may be there: it was handed in twice.
            new = not any(drop.job for drop, _ in wanted)
            return self._accept(root, (one for one in taken if turn.has_room()), turn, new=new)

    def _make(self, directory: Path) -> None:
        try:
            fs.OPS.mkdir(directory)
        except PermissionError as exc:
            raise MachineError(
                "claims-unusable",
                f"{self.folder.path} may not be written: {exc.strerror}.",
                "Give the service's user the right to write there; what waits is then taken in by itself.",
            ) from exc

    def _claim(self, drop: Drop, directory: Path) -> bool:
        try:
            with path_by_descriptor(self._settings.paths.inbox, drop.name) as source:
                if self._move(drop, source, directory):
                    return True
        except FileNotFoundError:
            pass
        except JobError as exc:
            self.refused[drop.name] = exc.message
        except OSError as exc:  # any error concerns this file only: the others are taken
            self.refused[drop.name] = _reason(exc)
        fs.remove(directory)
        return False

    def _move(self, drop: Drop, source: Path, directory: Path) -> bool:
        taken = directory / "manifest.yaml"
        fs.rename(source, taken)
        if drop.look.same_content(Look.at(taken)):
            return True
        # It was exchanged just before: move it back, for the next scan. Another file may have its name by now.
        names = (source, source.with_name(f"{directory.name}.yaml"))
        return not any(fs.publish(taken, name, sync=False) for name in names)

    def _flush(self, taken: Sequence[Path]) -> None:
        """Flush claims. Who dropped a manifest may not have flushed it, and it is ours now."""
        if len(taken) < MANY:  # else the whole filesystem is flushed, and these with it
            for directory in taken:
                _flush_foreign(directory / "manifest.yaml")
        fs.OPS.sync_all(taken)

    def recover(self) -> int:
        """Go on with the claims that a crash, a full disk, a file that could not be copied or the end of a turn left behind: one
        of each owner in turn, as far as one turn goes. Returns how many there were.
        """
        with self.folder.opened() as root:
            now = self._clock()
            left = [directory for directory in self._jobs_in(root) if self._is_usable(directory)]
            for name in self._postponed.keys() - {directory.name for directory in left}:
                del self._postponed[name]
            claims = [directory for directory in left if self._is_due(directory.name, now)]
            whole = [directory for directory in claims if os.path.lexists(directory / "manifest.yaml")]
            for directory in claims:
                if directory not in whole:
                    self._clear(directory)
            self._unfinished = {directory.name for directory in whole}
            self._queue.keep(sorted(whole))
            turn = Turn(self._clock)
            self._accept(root, self._queue.serve(turn), turn)
            return len(claims)

    def _lines(self, directory: Path) -> tuple[Hashable, ...]:
        uid = os.lstat(directory / "manifest.yaml").st_uid
        return *owner_lines(uid, self._source(directory)), directory.name

    def _is_due(self, claim: str, now: float) -> bool:
        return claim not in self._postponed or self._postponed[claim].due <= now

    def next_try(self) -> float | None:
        """Return seconds until a claim that was postponed is to be tried again; None where there is none."""
        if self._unfinished:
            return 0.0
        return min((one.due - self._clock() for one in list(self._postponed.values())), default=None)

    def _is_usable(self, directory: Path) -> bool:
        """Return whether we can go on with a claim. A claim that somebody else put there is skipped."""
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
            "claim passed over",
            path=str(self.folder.path / directory.name),
            why="it is somebody else's, and may not be read or removed",
        )

    # -- into the spool ------------------------------------------------------------------------------------------

    def _accept(self, root: Path, directories: Iterable[Path], turn: Turn, *, new: bool = False) -> list[Job]:
        """Make the jobs of claimed manifests, each once, and remove the claims; those that `turn` does not reach stay.

        Args:
            new: none of the jobs can be in the spool yet.
        """
        seen: list[Path] = []
        claimed, unread = [], {}
        for directory in directories:
            seen.append(directory)
            try:
                claimed.append(self._read(directory))
                turn.jobs += len(claimed[-1].items)
            except Postponed as exc:
                unread[directory.name] = exc
        jobs, uncopied = self.builder.make(claimed, new=new)
        waiting = {**unread, **uncopied}
        for directory in seen:
            error = waiting.get(directory.name)
            if isinstance(error, NextTurn):
                continue
            self._unfinished.discard(directory.name)
            if error is not None:
                self._postpone(directory.name, error)
            else:
                self._postponed.pop(directory.name, None)
                fs.discard(self._settings.paths.inbox / record_name(directory.name))
                self._clear(directory)
        if seen:
            fs.OPS.sync_dir(root)
        return jobs

    def _postpone(self, claim: str, error: AvatarError) -> None:
        now = self._clock()
        known = self._postponed.get(claim)
        delay = min(known.delay * 2, LONGEST_RETRY_S) if known else FIRST_RETRY_S
        self._postponed[claim] = _Postponed(known.since if known else now, now + delay, delay)
        log.warning("claim postponed", claim=claim, code=error.code, message=error.message, next_try_s=delay)

    def _read(self, directory: Path) -> Claimed:
        source = self._source(directory)
        last = os.path.lexists(directory / WAITED) or self._is_last_try(directory.name)
        cancelled = os.path.lexists(directory / CANCELLED)
        data, by = b"", ""
        table: bytes | None = None
        try:
            if is_table(source):
                table = read_manifest(directory, "manifest.yaml", self._settings.intake.max_file_bytes)
                data = _manifest_of(directory / "manifest.yaml", os.path.basename(source))
            else:
                data = read_manifest(directory, "manifest.yaml", self._settings.intake.max_manifest_bytes)
            items = tuple(parse_untrusted(data, self._settings.intake.max_documents, self._defaults(directory)))
        except Postponed as exc:
            if not (last or cancelled):
                raise
            error = JobError(exc.code, exc.message, exc.hint)
            error.fault = exc.fault
            items = (error,)
        except JobError as exc:
            items = (exc,)
            data = table or data  # it is given back to its author
        if cancelled:
            items = (WITHDRAWN,)
            with contextlib.suppress(AvatarError, UnicodeDecodeError):
                by = read_manifest(directory, CANCELLED, MAX_NAME_BYTES * 4).decode()
        owner, ours = _owner(directory / "manifest.yaml")
        if told := self._handed_in_by(directory):
            owner, ours = told, False
        return Claimed(directory.name, source, data, items, last, by, owner, ours, _held(directory), table=table)

    def _handed_in_by(self, directory: Path) -> str:
        """Return for whom a door handed in a claimed manifest; empty where its owner did it himself."""
        if not os.path.lexists(directory / BY):
            return ""
        with contextlib.suppress(AvatarError, UnicodeDecodeError):
            return read_manifest(directory, BY, MAX_BY * 4).decode()
        return ""

    def _defaults(self, directory: Path) -> list[FolderDefaults]:
        """Return the folder defaults that are kept in a claim.

        Raises:
            JobError: `defaults-wrong`.
            Postponed: they cannot be read now.
        """
        if not os.path.lexists(directory / DEFAULTS):
            return []
        limit = self._settings.intake.max_manifest_bytes
        try:
            files = from_bytes(read_manifest(directory, DEFAULTS, (limit * 2 + MAX_NAME_BYTES) * (MAX_DEPTH + 1) * 2))
        except ValueError as exc:
            raise JobError(
                "defaults-wrong", "The copy of the folder's defaults is damaged.", "Drop the manifest again."
            ) from exc
        return parsed_defaults(files)

    def _is_last_try(self, claim: str) -> bool:
        """Return whether a claim has waited for its files for as long as a manifest may."""
        known = self._postponed.get(claim)
        return known is not None and self._clock() - known.since >= self._settings.intake.companion_wait_s

    def _source(self, directory: Path) -> str:
        try:
            name = read_manifest(directory, "source", MAX_NAME_BYTES).decode("utf-8", "surrogateescape")
        except AvatarError:  # somebody changed the claim: its name is lost, the job is not
            name = ""
        return name if name and "\0" not in name else f"{directory.name}.yaml"


def _manifest_of(table: Path, name: str) -> bytes:
    """Return the manifest of a table that is a batch of its own.

    Raises:
        JobError: `rows-invalid`: it is none any more.
    """
    if (data := batch_of(table, name)) is None:
        hint = "Drop it beside a manifest of `kind: batch` that names it in `rows`."
        raise JobError("rows-invalid", f"{name} is no table whose columns are keys of a manifest.", hint)
    return data


def _owner(path: Path) -> tuple[str, bool]:
    """Return the name of the user who owns a claimed manifest, whom no other user can change in a folder of ours, and whether
    it is the service's own user.
    """
    try:
        info = os.lstat(path)
    except OSError:
        return "", False
    return owner_name(info), info.st_uid == os.geteuid()


def _flush_foreign(path: Path) -> None:
    """Flush a file that was somebody else's. What is no file, or not ours to open now, fails later with a reason."""
    look = Look.at(path)
    if look is None or look.size < 0:
        return
    try:
        fs.OPS.sync_file(path)
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE):
            raise


def _reason(exc: OSError) -> str:
    """Return why a manifest cannot be renamed, for its owner."""
    if exc.errno == errno.EXDEV:
        return "it lies on another filesystem, subvolume or quota project than the inbox; move it into the inbox itself"
    told = explain_open_error(exc, "it")
    if isinstance(told, JobError) and told.code == "file-is-link":
        return "it lies behind a link"
    return f"{exc.strerror}; give the service the right to write there"


def _held(directory: Path) -> dict[str, Any] | None:
    """Return who holds the jobs of a claim, why and since when; None where nobody does."""
    if not os.path.lexists(directory / HELD):
        return None
    with contextlib.suppress(AvatarError, ValueError, RecursionError):
        value = json.loads(read_manifest(directory, HELD, MAX_NAME_BYTES * 4))
        if isinstance(value, dict):
            return value
    return {"by": "", "reason": "", "since": time.time()}  # it cannot be read: that it was there is enough to hold them
