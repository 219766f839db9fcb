"""Request files for users without a shell: `hello.cancel`, `hello.hold`, `hello.release`.

A request file acts on the job whose result is called `hello`; `hello.cancel` beside a `hello.yaml` that is still in the inbox
cancels that manifest. Unmatched requests wait `companion_wait_s`, because a synchronised folder receives files in any order.
A successful request shows in the job's status; a refused one is answered by a text file in the outbox.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field

import structlog

from daemon.control.operations import Operations, Request
from daemon.errors import AvatarError, JobError, MachineError
from daemon.intake.admission import Admission
from daemon.outbox.outbox import Outbox, clean_stem
from daemon.system import fs
from daemon.system.disk_thread import DiskThread
from daemon.system.safe_open import path_by_descriptor

log = structlog.get_logger()

Expected = dict[str, list[str]]

_NUMBERED = re.compile(r"(.+)-\d+")  # a job of a file with several


@dataclass
class _Looks:
    """Look-ups shared by all request files of one scan, so that their cost does not grow with the number of requests."""

    expected: Expected
    #: `expected` after reading every manifest; computed once a request has waited `companion_wait_s`.
    read: Expected | None = None
    there: dict[str, bool] = field(default_factory=dict)


#: How long one turn answers request files before the inbox is scanned again. s
TURN_S = 1.0


class InboxRequests:
    """Answers the request files that the last scan of the inbox found.

    Args:
        disk: the thread that touches files in the inbox and outbox.
    """

    def __init__(self, admission: Admission, outbox: Outbox, operations: Operations, disk: DiskThread) -> None:
        self._admission = admission
        self._outbox = outbox
        self._operations = operations
        self._disk = disk
        #: When an unmatched request was first seen, by the inbox's clock, in s.
        self._since: dict[str, float] = {}
        #: InboxRequests that were answered, but may not be taken away.
        self._stuck: set[str] = set()
        #: Whether the last turn ended before all of them were looked at.
        self.unfinished = False

    async def answer_all(self) -> None:
        """Carry out the request files found by the last scan, and remove them.

        Raises:
            MachineError: the machine is at fault; the request file stays and is tried again.
        """
        requests = self._admission.inbox.requests
        present = set(requests)
        self._stuck &= present
        self._since = {name: since for name, since in self._since.items() if name in present}
        # Not in the event loop: one manifest may name thousands of results.
        looks = _Looks(await self._disk.run(self._admission.expected)) if requests else _Looks({})
        began, self.unfinished = time.monotonic(), False
        for name in requests:
            if time.monotonic() - began > TURN_S:  # thousands of request files must not delay manifests
                self.unfinished = True
                return
            if name not in self._stuck:
                await self._answer(name, looks)

    async def _answer(self, name: str, looks: _Looks) -> None:
        try:
            request = await self._disk.run(self._request, name, looks)
            if request is None:
                return
            told = await self._operations.run_request(request)
        except MachineError:
            raise
        except AvatarError as exc:
            told = str(exc)
            await self._disk.run(self._outbox.publish_note, clean_stem(os.path.basename(name)), told)
        log.info("wish", name=os.path.basename(name), answer=told)
        await self._disk.run(self._take_away, name)

    def _request(self, name: str, looks: _Looks) -> Request | None:
        """Return the operation that a request file asks for; None while its job may still arrive.

        Raises:
            JobError: `job-unknown`.
        """
        folder, (stem, ending) = os.path.dirname(name), os.path.splitext(os.path.basename(name))
        op = ending[1:].lower()
        coming = self._coming(clean_stem(stem), looks.expected, looks)
        if op == "cancel":
            for manifest in coming:
                if manifest.startswith(os.path.join(folder, f"{stem}.")):
                    looks.there.pop(manifest, None)
                    return {"op": op, "manifest": manifest}
        job = self._outbox.owner_of(clean_stem(stem))
        if job is not None and op == "cancel" and self._admission.waiting(job) is not None:
            return {"op": op, "job": job}
        if coming:
            return None
        if job is not None:
            return {"op": op, "job": job, "by": "shared folder"}
        now, patience = self._admission.inbox.now, self._admission.settings.intake.companion_wait_s
        if now - self._since.setdefault(name, now) < patience:
            return None
        if looks.read is None:
            looks.read = self._admission.expected(read=True)
        if self._coming(clean_stem(stem), looks.read, looks):
            return None
        raise JobError(
            "job-unknown",
            f"{os.path.basename(name)}: there is no job whose result is called {stem}, and none came within {patience:.0f} s.",
            "The names of the results are those of the .json files in the outbox.",
        )

    def _coming(self, stem: str, expected: Expected, looks: _Looks) -> list[str]:
        """Manifests that are still in the inbox and may become a job of this name."""
        numbered = _NUMBERED.fullmatch(stem)
        names = [*expected.get(stem, ()), *(expected.get(numbered[1], ()) if numbered else ())]
        return [name for name in names if self._there(name, looks)]

    def _there(self, name: str, looks: _Looks) -> bool:
        if name not in looks.there:
            looks.there[name] = self._admission.inbox.at(name) is not None
        return looks.there[name]

    def _take_away(self, name: str) -> None:
        try:
            with path_by_descriptor(self._admission.settings.paths.inbox, name) as path:
                fs.OPS.unlink(path)
        except FileNotFoundError:
            return
        except OSError as exc:
            self._stuck.add(name)  # answered once is enough
            log.warning("wish stays", name=os.path.basename(name), error=str(exc))
