"""Which tests one process gets together: those of a file, and those of files that share a machine, which is booted once."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

#: Files that begin like this are run by one process, in their order.
TOGETHER = ("tests/systemd/test_service",)


def shares_of_tests(config: pytest.Config, log: Any) -> Any:
    """Return what gives each process of pytest-xdist whole files, and those of `TOGETHER` as if they were one."""
    made = LoadFileScheduling(config, log)
    by_file = made._split_scope
    made._split_scope = lambda node: next((start for start in TOGETHER if node.startswith(start)), by_file(node))
    return made
