"""Before the service starts, every NVIDIA GPU has its node in /dev."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("processes")

UNIT = ROOT / "systemd" / "avatard.service"


def command(drivers_list: Path) -> list[str]:
    """Return what the unit runs, as systemd hands it to the shell, with another folder for the list that the driver keeps."""
    (line,) = [line for line in UNIT.read_text().splitlines() if "nvidia-modprobe -" in line and "=" in line]
    prefixes, _, rest = line.partition("=")[2].partition("/")
    assert set(prefixes) == {"+", "-"}  # with all rights, and a failure does not keep the service down
    return [
        part.replace("$$", "$").replace("/proc/driver/nvidia", str(drivers_list)) for part in shlex.split("/" + rest)
    ]


@pytest.mark.parametrize(("minors", "wanted"), [([0, 1, 10], ["-c 0", "-c 1", "-c 10", "-u"]), ([], ["-u"])])
def test_a_node_is_made_for_each_gpu_that_the_driver_lists(
    tmp_path: Path, minors: list[int], wanted: list[str]
) -> None:
    # Given a driver that lists GPUs, and a tool that notes what it is asked for
    for minor in minors:
        about = tmp_path / "driver" / "gpus" / f"0000:{minor:02x}:00.0" / "information"
        about.parent.mkdir(parents=True)
        about.write_text(f"Model: \t\t NVIDIA H200\nIRQ:   \t\t 16\nDevice Minor: \t {minor}\nGPU Excluded:\t No\n")
    tool = tmp_path / "bin" / "nvidia-modprobe"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\n')
    tool.chmod(0o755)
    # When the unit's command runs, then it was asked for each of them, and for the memory manager's
    found = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    subprocess.run(command(tmp_path / "driver"), env=found, check=True)
    assert (tmp_path / "asked").read_text().splitlines() == wanted


def test_without_the_tool_nothing_is_done(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), env={"PATH": str(tmp_path)}, check=True, capture_output=True)
    assert done.stderr == b""
