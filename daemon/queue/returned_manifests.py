"""Gives the manifest of a failed or cancelled job back to its author, beside the status, with the error in it as a comment. What
is no text, or holds no job, comes back as it was.

Whoever moves it into the inbox again, mended or not, has a job of the same name. It is a help and no promise, and so costs no
flush: where a crash or a full disk comes in between, the job has ended all the same, and its status says why.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache

import structlog
import yaml

from daemon.errors import AvatarError
from daemon.events import Subscriber
from daemon.jobs.batch.alone import is_table
from daemon.jobs.batch.files import ERRORS
from daemon.jobs.companions import copy_name
from daemon.jobs.parse import decode
from daemon.jobs.record import Job, JobErrorRecord
from daemon.jobs.untrusted import printable, read_manifest
from daemon.jobs.yaml_positions import document_parts
from daemon.outbox.names import ERRORS_ENDING
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import status_of
from daemon.outbox.way_back import (
    COMES_BACK_AS_IT_WAS,
    NOTHING_TO_MEND,
    how_to_mend,
    inbox_folder,
    returned_manifest,
)
from daemon.queue.spool import Spool
from daemon.system.disk_thread import in_thread
from daemon.system.wakeup import Wakeup

log = structlog.get_logger()

#: Begins the lines that are added, and taken out again when the manifest comes back once more.
MARK = "# avatard: "
#: Errors of a file as a whole, of which one job is made: it comes back whole.
OF_THE_FILE = frozenset({"manifest-too-many", "yaml-too-large"})
_LINE = re.compile(r"\bline (\d+)\b")
_SEPARATOR = re.compile(r"---\s*(#.*)?")


def with_error(data: bytes, document: int | None, error: str, *, of_manifest: bool = True) -> bytes | None:
    """Return one document of a manifest file with an error as a comment above the line that it names.

    Args:
        document: its number, from 0; None: the whole file, with the error above its first line.
        error: message and hint; its "line N" counts the lines of the whole file.
        of_manifest: whether that is this file; else the comment goes to its top.

    Returns:
        None where the file is no text, or has no such document.
    """
    try:
        documents = _documents(data)
    except AvatarError:
        return None
    if document is None:
        comment = [MARK + line for line in error.splitlines()]
        whole = "\n".join(part.removesuffix("\n") for _, part in documents)
        return _without_old_marks([*comment, *whole.split("\n")], comment).encode() if documents else None
    if document >= len(documents):
        return None
    before, part = documents[document]
    lines = part.split("\n")
    first = next(number for number, line in enumerate(lines) if line.strip())
    first += _SEPARATOR.fullmatch(lines[first]) is not None
    found = _LINE.search(error) if of_manifest else None
    at = min(max(first, int(found[1]) - 1 - before if found else first), len(lines) - 1)
    # A comment inside a text would be spoken: it goes above the key that the line belongs to.
    while at > first and (not lines[at].strip() or lines[at][0] in " \t-]}"):
        at -= 1
    comment = [MARK + line for line in error.splitlines()]
    marked, plain = [*lines[first:at], *comment, *lines[at:]], lines[first:]
    if _value(marked) != _value(plain):
        marked = [*comment, *plain]
    return _without_old_marks(marked, comment).encode()


# The jobs of one file come one after the other.
@lru_cache(maxsize=1)
def _documents(data: bytes) -> tuple[tuple[int, str], ...]:
    """Return the documents of a manifest file that are not empty, each with the number of lines before it."""
    parts = document_parts(decode(data).replace("\r\n", "\n"))
    return tuple(part for part in parts if not _is_empty(part[1]))


def _without_old_marks(lines: list[str], comment: list[str]) -> str:
    return "\n".join(line for line in lines if not line.startswith(MARK) or line in comment).strip("\n") + "\n"


def _is_empty(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith("#") or _SEPARATOR.fullmatch(line) for line in lines)


def _value(lines: list[str]) -> object:
    """Return what YAML reads in lines; None where it is no YAML."""
    try:
        events = yaml.parse("\n".join(lines), Loader=yaml.CSafeLoader)
        return [(type(event), getattr(event, "value", None)) for event in events]
    except yaml.YAMLError:
        return None


class ManifestReturner(Subscriber):
    """Gives manifests back when their jobs have failed or were cancelled: in a thread, one after the other, since one file may
    hold a thousand jobs that fail at once.

    Args:
        max_bytes: gives the most bytes that a manifest may have; larger ones were not read.
    """

    def __init__(self, outbox: Outbox, spool: Spool, max_bytes: Callable[[], int]) -> None:
        self._outbox = outbox
        self._spool = spool
        self._max_bytes = max_bytes
        self._ended: deque[tuple[Job, JobErrorRecord]] = deque()
        self._wake = Wakeup()

    def job_finished(self, job: Job) -> None:
        # The way back of a row, and of a batch whose rows were made, is the report: `welcome.report.csv`.
        of_batch = job.facts.row is not None or job.facts.batch is not None
        if job.state in ("failed", "cancelled") and job.error is not None and not of_batch:
            self._ended.append((job, job.error))
            self._wake.notify()

    async def loop(self) -> None:
        """Give back the manifests of jobs that fail or are cancelled, until cancelled."""
        while True:
            heard = self._wake.notifications
            while self._ended:
                await in_thread(self.give_back_next)
            await self._wake.wait(seen=heard)

    def give_back_next(self) -> bool:
        """Give back the manifest of the job that has waited longest. Returns False where none waits."""
        if not self._ended:
            return False
        self._give_back(*self._ended.popleft())
        return True

    def _give_back(self, job: Job, why: JobErrorRecord) -> None:
        error = f"{why.get('message', '')} {why.get('hint', '')}".strip()
        # A manifest that was cancelled in the inbox was not parted into jobs.
        whole = why.get("code") in OF_THE_FILE or (job.state == "cancelled" and not job.was_accepted)
        try:
            if self._outbox.read_head(job.name) is None:
                return  # its sender has cleared everything, as heartbeats do
            self._give_errors(job)
            if is_table(job.source):  # its manifest is the daemon's, and the table is still in the job's folder
                self._give_table(job)
                return
            # The jobs of one file share its copy by hard links.
            with (self._spool.folder_of(job) / "manifest.yaml").open("rb") as copy:
                data = copy.read((limit := self._max_bytes()) + 1)
            own = why.get("code") != "defaults-wrong"  # that is in another file
            document = None if whole else job.document
            marked = with_error(data, document, error, of_manifest=own) if len(data) <= limit else None
            if marked is None and data and len(data) <= limit and why.get("code") in COMES_BACK_AS_IT_WAS:
                marked = data
            if marked is not None:
                file = self._present(job, marked, limit) or self._outbox.publish_manifest(job.name, job.id, marked)
                if file is not None:
                    self._outbox.amend_status(job.name, {**status_of(job), "next": how_to_mend(file, job)})
        except (AvatarError, OSError) as exc:
            log.warning("manifest not given back", job_id=job.id, error=str(exc))

    def _give_errors(self, job: Job) -> None:
        """Put the table of what is wrong with the rows of a batch beside its status."""
        if self._outbox.owner_of(job.name) != job.id:
            return  # the mended batch has its name by now
        with contextlib.suppress(FileNotFoundError):
            text = (self._spool.folder_of(job) / ERRORS).read_text("utf-8-sig")
            self._outbox.publish_table(job.name, job.id, ERRORS_ENDING, [text])

    def _give_table(self, job: Job) -> None:
        """Put a table that was a batch of its own beside the status of that."""
        folder = self._spool.folder_of(job)
        copy = folder / copy_name("rows")
        # One that was refused when it was taken in stands in place of the manifest.
        data = (copy if copy.exists() else folder / "manifest.yaml").read_bytes()
        ending = os.path.splitext(job.source)[1]
        file = self._outbox.publish_manifest(job.name, job.id, data, ending)
        if file is not None:
            todo = f"Mend it, and move it into {inbox_folder(job)}: it runs again."
            if job.error is not None and job.error.get("code") in NOTHING_TO_MEND:
                todo = f"Nothing is to be mended in it. {job.error.get('hint', '')}"
            said = f"{printable(os.path.basename(file))}, beside this job's status in the outbox, is your table. {todo}"
            self._outbox.amend_status(job.name, {**status_of(job), "next": said})

    def _present(self, job: Job, marked: bytes, limit: int) -> str | None:
        """Return the manifest that was given back when the job ended before, if nobody has changed it since."""
        file = returned_manifest(self._outbox.root, job)
        try:
            same = file is not None and read_manifest(self._outbox.root, file, limit + len(marked)) == marked
        except (AvatarError, OSError):
            return None
        return file if same else None
