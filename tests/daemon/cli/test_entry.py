"""The command `avatar` as a process: it ends in order whenever Ctrl-C comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("processes")

#: Sends Ctrl-C at the moment when a module is imported.
AT_IMPORT = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("name", ["daemon.cli", "click", "daemon.config", "daemon.cli.commands.config"])
def test_ctrl_c_during_the_imports_ends_it_without_a_traceback(tmp_path: Path, name: str) -> None:
    # Given the entry point of the package
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["avatar"]
    module, function = entry.split(":")
    (tmp_path / "config.yaml").touch()
    # When Ctrl-C comes while a module is imported / Then the exit code says so, and nothing is printed but the end of the line
    script = f"{AT_IMPORT.format(name=name)}\nfrom {module} import {function}\nsys.argv[1:] = ['config']\n{function}()"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        # What a script starts with `&` ignores Ctrl-C, and so would a run of the tests in a script hand it down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (130, "", "")
