"""What is installed as root is known by its hash: every lock names what pyproject.toml declares, and hashes it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

BASE = ROOT / "requirements.lock"
LOCKS = sorted(ROOT.glob("requirements*.lock"))
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, GROUPS = DECLARED["project"], DECLARED["dependency-groups"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
#: Declared by a dependency, never imported here, and large: the base and its tests do without.
LEFT_OUT = {
    "jax",
    "jaxlib",
    "ml-dtypes",
    "opt-einsum",
    "scipy",
    "sentencepiece",
    "sounddevice",
    "opencv-contrib-python",
    "networkx",
    "imageio",
    "tifffile",
}


def lock_of(name: str) -> Path:
    return ROOT / f"requirements-{name}.lock"


def pinned(requirements: list[str]) -> dict[str, str]:
    """Exact versions by name, of requirements or of the lines of a lock."""
    lines = (re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line) for line in requirements)
    return {re.sub(r"[-_.]+", "-", line[1]).lower(): line[2] for line in lines if line}


def pins(path: Path) -> dict[str, str]:
    return pinned(path.read_text().splitlines())


def test_the_base_and_the_tools_are_locked_in_the_versions_that_are_declared() -> None:
    base, dev = pins(BASE), pins(lock_of("dev"))
    assert pinned(PROJECT["dependencies"] + GROUPS["build"]).items() <= base.items()
    assert pinned(GROUPS["dev"]).items() <= dev.items()
    assert pinned(GROUPS["pip"]) == pins(lock_of("pip"))
    assert LEFT_OUT.isdisjoint(base.keys() | dev.keys())


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_an_extra_is_installed_in_the_versions_that_it_pins(name: str) -> None:
    wanted = pinned(EXTRAS[name])
    assert wanted
    with_torch = pins(lock_of("torch")) if "avatard[torch]" in EXTRAS[name] else {}
    locked = pins(BASE) | with_torch | pins(lock_of(name))
    assert {package: locked.get(package) for package in wanted} == wanted
    # And it brings nothing that the base has, nor torch a second time
    assert pins(lock_of(name)).keys().isdisjoint(pins(BASE).keys() | with_torch.keys())


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.stem))
def test_every_file_of_a_lock_is_hashed(path: Path) -> None:
    # Each requirement is one logical line: its name, its version, perhaps where it is needed, and its hashes
    entries = [line for line in path.read_text().replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert entries
    entry = re.compile(
        r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; [^;#@\\]+?)?( +--hash=sha256:[0-9a-f]{64})+|-r requirements-torch-needs\.lock"
    )
    assert [line[:60] for line in entries if not entry.fullmatch(line)] == []


def test_torch_for_processors_is_the_same_release_and_brings_nothing_of_cuda() -> None:
    small, large = pins(lock_of("torch-cpu")), pins(lock_of("torch"))
    assert small == {"torch": f"{large['torch']}+cpu"}
    assert "\n-r requirements-torch-needs.lock\n" in lock_of("torch-cpu").read_text()
    needs = pins(lock_of("torch-needs"))
    assert needs
    cuda = {name for name in large if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert cuda
    # All that torch needs but CUDA and torch itself: no more and no less
    assert needs.items() == {name: version for name, version in large.items() if name not in cuda | {"torch"}}.items()


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(("there", "goes"), [("2.13.0+cpu", True), ("2.13.0", False)])
def test_torch_for_gpus_takes_the_place_of_the_one_for_processors(tmp_path: Path, there: str, goes: bool) -> None:
    # Given a build of torch. pip takes 2.13.0+cpu for torch==2.13.0, by PEP 440: "Requirement already satisfied"
    pip, calls = tmp_path / "pip", tmp_path / "calls"
    pip.write_text(f'#!/bin/sh\necho "$1" >>{calls}\n[ "$1" != show ] || echo "Version: {there}"\n')
    pip.chmod(0o755)
    # When the one for GPUs is wanted, then another one is removed first
    subprocess.run([ROOT / "tools" / "extras.sh", pip, "gpu", "musetalk"], check=True)
    assert calls.read_text().split() == ["show", *(["uninstall"] if goes else []), "install", "install"]


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("there", "asked", "brought"), [("", "gpu", "gpu"), ("", "", ""), ("gpu", "", ""), ("gpu", "cpu", "cpu")]
)
def test_make_brings_the_torch_that_is_asked_for_and_keeps_the_one_that_is_there(
    tmp_path: Path, there: str, asked: str, brought: str
) -> None:
    # Given an environment that is up to date, with a build of torch; versions before this one did not note which, and took cpu
    for stamp, text in ((".setup", ""), (".setup-dev", ""), (".setup-torch", there)):
        (tmp_path / stamp).write_text(text)
    # When make is asked for it, then it brings a build only where another one is asked for
    wanted = [f"TORCH_BUILD={asked}"] if asked else []
    said = subprocess.run(
        ["make", "-n", f"VENV={tmp_path}", "dev", *wanted], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert re.findall(rf"extras\.sh {tmp_path}/bin/pip (\w+)", said) == ([brought] if brought else [])
