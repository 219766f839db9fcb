"""Before the service starts, the driver, every NVIDIA GPU, its slices and CUDA's memory manager have their nodes in /dev."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("processes")

UNIT = ROOT / "systemd" / "avatard.service"
#: What the tool makes of its options. nvidia-modprobe.c, main, and nvidia-modprobe-utils.h, assign_device_file_name: with -u the
#: numbers of -c are those of the memory manager's node, and without a number there is none; else 255 is the driver's own.
TOOL = """#!/bin/sh
minors= slices= manager=
while [ $# -gt 0 ]; do
    case $1 in
    -c) minors="$minors $2"; shift ;;
    -f) slices="$slices $2"; shift ;;
    -u) manager=yes ;;
    *) exit 1 ;;
    esac
    shift
done
for minor in $minors; do
    if [ "$manager" ]; then : > "{dev}/nvidia-uvm"
    elif [ "$minor" = 255 ]; then : > "{dev}/nvidiactl"
    else : > "{dev}/nvidia$minor"
    fi
done
for slice in $slices; do
    : > "{dev}/nvidia-cap$(sed -n 's/^DeviceFileMinor: //p' "$slice")" || exit 1
done
"""


def command(drivers_list: Path) -> list[str]:
    """Return what the unit runs, as systemd hands it to the shell, with another folder for the list that the driver keeps."""
    lines = UNIT.read_text().replace("\\\n", " ").splitlines()
    (line,) = [line for line in lines if line.startswith("ExecStartPre=") and "nvidia-modprobe" in line]
    prefixes, _, rest = line.partition("=")[2].partition("/")
    assert set(prefixes) == {"+", "-"}  # with all rights, and a failure does not keep the service down
    return [
        part.replace("$$", "$").replace("/proc/driver/nvidia", str(drivers_list)) for part in shlex.split("/" + rest)
    ]


@pytest.mark.parametrize(
    ("minors", "slices", "wanted"),
    [
        ([0, 1, 10], {}, {"nvidia0", "nvidia1", "nvidia10"}),
        ([0], {"gi3": 30, "gi3/ci0": 31}, {"nvidia0", "nvidia-cap30", "nvidia-cap31"}),
        ([], {}, set()),
    ],
    ids=["three GPUs", "a GPU with a slice", "none"],
)
def test_each_gpu_and_slice_that_the_driver_lists_has_its_node(
    tmp_path: Path, minors: list[int], slices: dict[str, int], wanted: set[str]
) -> None:
    # Given a driver that lists GPUs and slices of the first one, and a tool that makes nodes as the true one does
    driver, dev = tmp_path / "driver", tmp_path / "dev"
    dev.mkdir()
    for minor in minors:
        about = driver / "gpus" / f"0000:{minor:02x}:00.0" / "information"
        about.parent.mkdir(parents=True)
        about.write_text(f"Model: \t\t NVIDIA H200\nIRQ:   \t\t 16\nDevice Minor: \t {minor}\nGPU Excluded:\t No\n")
    for name, minor in slices.items():
        access = driver / "capabilities" / "gpu0" / "mig" / name / "access"
        access.parent.mkdir(parents=True)
        access.write_text(f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\nDeviceFileModify: 1\n")
    tool = tmp_path / "bin" / "nvidia-modprobe"
    tool.parent.mkdir()
    tool.write_text(TOOL.replace("{dev}", str(dev)))
    tool.chmod(0o755)
    # When the unit's command runs, then each has its node, and so have the driver and the memory manager
    found = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command(driver), env=found, check=True, capture_output=True)
    assert {node.name for node in dev.iterdir()} == {"nvidiactl", "nvidia-uvm", *wanted}
    assert done.stderr == b""


def test_without_the_tool_nothing_is_done(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), env={"PATH": str(tmp_path)}, check=True, capture_output=True)
    assert done.stderr == b""


def test_the_device_filter_lets_the_tool_make_nodes_and_the_daemon_has_no_right_to() -> None:
    # systemd.service(5): + does "not bypass options that apply to the whole control group, such as DevicePolicy=", and the kernel
    # asks the group's filter for m before it makes a node (devcgroup_inode_mknod, called by vfs_mknod).
    settings = [line.partition("=")[::2] for line in UNIT.read_text().splitlines()]
    allowed = [value.split() for name, value in settings if name == "DeviceAllow"]
    assert allowed == [["char-nvidia*", "rwm"]]
    # And without CAP_MKNOD that opens nothing to the daemon
    assert [value for name, value in settings if name == "CapabilityBoundingSet"] == ["CAP_LEASE"]
