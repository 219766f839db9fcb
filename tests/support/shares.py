"""What each of several processes does: which tests it gets together, and with which file of tests it begins to import."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

from tests.support.layers import ROOT, is_left_out

#: Groups of files, by how their paths begin. One process runs all files of a group, in the order of `LONG` in layers.py.
TOGETHER = (
    ("tests/systemd/test_service",),  # one machine
    # Coqui TTS, diffusers and the transformers of both take each process that imports them ten seconds.
    (
        "tests/stages/tts/engines/test_xtts",
        "tests/stages/tts/engines/test_coqui.py",
        "tests/stages/tts/engines/test_other_python.py",
        "tests/stages/tts/test_profiles.py",
        "tests/stages/tts/test_release.py",
        "tests/stages/generate/",
        "tests/stages/musetalk/test_benchmark.py",
    ),
)


def shares_of_tests(config: pytest.Config, log: Any) -> Any:
    """Return what gives each process of pytest-xdist whole files, and those of a group of `TOGETHER` as if they were one."""
    made = LoadFileScheduling(config, log)
    by_file = made._split_scope
    made._split_scope = lambda node: next((group[0] for group in TOGETHER if node.startswith(group)), by_file(node))
    return made


def import_apart(config: pytest.Config) -> None:
    """Import all files of tests, each process of pytest-xdist in an order of its own, before it collects them.

    In a fresh clone no module is compiled. In one order all processes would compile the same modules at once; in different ones
    each compiles a part, and finds the others done.
    """
    if (me := getattr(config, "workerinput", None)) is None or config.args != config.getini("testpaths"):
        return
    files = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if not is_left_out(path, config))
    first = len(files) * int(me["workerid"].removeprefix("gw")) // me["workercount"]
    for path in files[first:] + files[:first]:
        with contextlib.suppress(
            Exception, pytest.skip.Exception
        ):  # collecting imports it again, and reports why it cannot
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
