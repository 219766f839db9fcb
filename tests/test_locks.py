"""What is installed as root is known by its hash: every lock names all that its requirements name, and hashes it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

BASE = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = sorted(PROJECT["tool"]["setuptools"]["dynamic"]["optional-dependencies"].keys() - {"dev"})


def lock_of(name: str) -> Path:
    return ROOT / f"requirements-{name}.lock"


def pins(path: Path) -> dict[str, str]:
    """Exact versions by name, of requirements or of a lock."""
    lines = (re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line) for line in path.read_text().splitlines())
    return {re.sub(r"[-_.]+", "-", line[1]).lower(): line[2] for line in lines if line}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_is_installed_in_the_versions_that_it_pins(name: str) -> None:
    wanted = pins(ROOT / f"requirements-{name}.in")
    assert wanted
    with_torch = pins(lock_of("torch")) if "torch" in wanted else {}
    locked = pins(BASE) | with_torch | pins(lock_of(name))
    assert {package: locked.get(package) for package in wanted} == wanted
    # And it brings nothing in another version than the base has
    base = pins(BASE)
    assert not {package for package, version in pins(lock_of(name)).items() if base.get(package, version) != version}


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: str(path.stem))
def test_every_file_of_a_lock_is_hashed(path: Path) -> None:
    # Each requirement is one logical line: its name, its version, and its hashes
    entries = [line for line in path.read_text().replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert entries
    entry = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( +--hash=sha256:[0-9a-f]{64})+")
    assert [line[:60] for line in entries if not entry.fullmatch(line)] == []


def test_torch_for_processors_is_the_same_release_and_brings_nothing_of_cuda() -> None:
    small, large = pins(lock_of("torch-cpu")), pins(lock_of("torch"))
    assert small["torch"] == f"{large['torch']}+cpu"
    assert all(small[name] == large[name] for name in small.keys() - {"torch"})
    assert not [name for name in small if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert [name for name in large if name.startswith("nvidia-")]
