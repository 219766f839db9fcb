"""Which tests one process gets together: those of a file, and those of files that share a machine, which is booted once."""

from __future__ import annotations

from xdist.scheduler.loadfile import LoadFileScheduling

#: Folders whose files are run by one process, in their order.
TOGETHER = ("tests/systemd/test_service",)


class SharesOfTests(LoadFileScheduling):
    """Gives each process of pytest-xdist whole files, and those of `TOGETHER` as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((start for start in TOGETHER if nodeid.startswith(start)), super()._split_scope(nodeid))
