"""What people without a shell put beside their files: `hello.cancel`, `hello.hold`, `hello.release`.

A wish means the job whose result is called `hello`; a `hello.cancel` beside a `hello.yaml` that was not taken in yet means that
one. Folders that are synchronised bring files in any order, so a wish that fits nothing waits as long as a manifest waits for its
files. One that is granted shows in the job's status; one that is not is answered in the outbox, in words.
"""

from __future__ import annotations

import os
import re

import structlog

from daemon import fs
from daemon.errors import AvatarError, JobError, MachineError
from daemon.intake import Intake
from daemon.outbox import Outbox, clean_stem
from daemon.requests import Requests

log = structlog.get_logger()

Expected = dict[str, list[str]]

_NUMBERED = re.compile(r"(.+)-\d+")  # a job of a file with several


class Wishes:
    def __init__(self, intake: Intake, outbox: Outbox, requests: Requests) -> None:
        self._intake = intake
        self._outbox = outbox
        self._requests = requests
        #: When a wish that fits nothing yet was first seen, by the inbox's clock.
        self._since: dict[str, float] = {}
        #: Wishes that were answered, but may not be taken away.
        self._stuck: set[str] = set()

    async def grant(self) -> None:
        """Do what the wishes found by the last look ask, and take them away.

        Raises:
            MachineError: the machine is at fault; the wish stays, and is looked at again.
        """
        wishes = self._intake.inbox.wishes
        self._stuck &= set(wishes)
        self._since = {name: since for name, since in self._since.items() if name in wishes}
        expected = self._intake.expected() if wishes else {}
        for name in wishes:
            if name in self._stuck:
                continue
            try:
                told = await self._grant(name, expected)
                if told is None:
                    continue
            except MachineError:
                raise
            except AvatarError as exc:
                told = str(exc)
                self._outbox.tell(clean_stem(os.path.basename(name)), told)
            log.info("wish", name=os.path.basename(name), answer=told)
            self._take_away(name)

    async def _grant(self, name: str, expected: Expected) -> str | None:
        """Do what one wish asks; None when its job may still come."""
        folder, (stem, ending) = os.path.dirname(name), os.path.splitext(os.path.basename(name))
        op = ending[1:].lower()
        coming = self._coming(clean_stem(stem), expected)
        if op == "cancel":
            for manifest in coming:
                if manifest.startswith(os.path.join(folder, f"{stem}.")):
                    return await self._requests.do({"op": op, "manifest": manifest})
        job = self._outbox.owner(clean_stem(stem))
        if job is not None and op == "cancel" and self._intake.waiting(job) is not None:
            return await self._requests.do({"op": op, "job": job})
        if coming:
            return None
        if job is not None:
            return await self._requests.do({"op": op, "job": job, "by": "shared folder"})
        now, patience = self._intake.inbox.now, self._intake.settings.intake.companion_wait_s
        if now - self._since.setdefault(name, now) < patience:
            return None
        if self._coming(clean_stem(stem), self._intake.expected(read=True)):
            return None
        raise JobError(
            "job-unknown",
            f"{os.path.basename(name)}: there is no job whose result is called {stem}, and none came within {patience:.0f} s.",
            "The names of the results are those of the .json files in the outbox.",
        )

    def _coming(self, stem: str, expected: Expected) -> list[str]:
        """Manifests that are still in the inbox and may become a job of this name."""
        numbered = _NUMBERED.fullmatch(stem)
        names = [*expected.get(stem, ()), *(expected.get(numbered[1], ()) if numbered else ())]
        return [name for name in names if os.path.lexists(self._intake.settings.paths.inbox / name)]

    def _take_away(self, name: str) -> None:
        try:
            fs.remove(self._intake.settings.paths.inbox / name)
        except PermissionError as exc:
            self._stuck.add(name)  # answered once is enough
            log.warning("wish stays", name=os.path.basename(name), error=str(exc))
