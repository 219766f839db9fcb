"""Takes manifests out of the inbox, each once.

The claim is one rename into `.claimed/<job>/` on the inbox's own filesystem. From there its jobs are made (`JobBuilder`); the
claim is removed last. A crash in between leaves the claim, and `recover` goes on from it.

Every step is taken for a whole batch before it is flushed: a burst costs a few flushes for each batch, not for each job. What
goes wrong with one manifest is that manifest's: one that cannot be moved is refused, one whose files cannot be copied now is
tried again by itself, and the others go on.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError, JobError, MachineError, Postponed
from daemon.intake.claims.claim_contents import ClaimReader, write_notes
from daemon.intake.claims.claim_folder import ClaimFolder
from daemon.intake.drop import Drop, Look
from daemon.intake.fair_queue import FairQueue, Turn, owner_lines
from daemon.intake.folder_defaults import DefaultsFile
from daemon.intake.jobs.claimed import NextTurn, Unsettled, log_wait
from daemon.intake.jobs.job_builder import JobBuilder
from daemon.jobs.hand_in_record import record_name
from daemon.jobs.record import Held, Job
from daemon.queue.spool import Spool
from daemon.system import fs
from daemon.system.file_calls import MANY
from daemon.system.safe_open import explain_open_error, path_by_descriptor

log = structlog.get_logger()

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
        self._reader = ClaimReader(settings)
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
        held: Mapping[str, Held] = MappingProxyType({}),
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
            written: list[Path] = []
            for (drop, _), directory in zip(wanted, directories, strict=True):
                self._make(directory)
                # The name is noted before the rename, which takes it away.
                written += write_notes(
                    directory,
                    drop,
                    cancelled_by=cancelled_by,
                    waited=drop.name in waited,
                    defaults=defaults.get(drop.name, ()),
                    held=held.get(drop.name),
                )
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
        return *owner_lines(uid, self._reader.source(directory)), directory.name

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
                claimed.append(self._reader.read(directory, last=self._is_last_try(directory.name)))
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
        if isinstance(error, Unsettled):
            delay = max(FIRST_RETRY_S, error.wait_s)
        self._postponed[claim] = _Postponed(known.since if known else now, now + delay, delay)
        log_wait("claim postponed", error, claim=claim, next_try_s=round(delay, 1))

    def _is_last_try(self, claim: str) -> bool:
        """Return whether a claim has waited for its files for as long as a manifest may."""
        known = self._postponed.get(claim)
        return known is not None and self._clock() - known.since >= self._settings.intake.companion_wait_s


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
