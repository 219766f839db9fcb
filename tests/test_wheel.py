"""What is installed from here, by `make install` or from a wheel, is the whole program."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("daemon", "stages")
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")


@pytest.mark.usefixtures("processes")
def test_a_wheel_holds_every_file_of_the_packages_and_the_licence(tmp_path: Path) -> None:
    # Given the files that tools/setup.sh builds from
    source = tmp_path / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, source)
    files = {
        str(path.relative_to(source)) for name in PACKAGES for path in (source / name).rglob("*") if path.is_file()
    }
    # When the wheel is built
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, f"--wheel-dir={tmp_path}", source], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    # Then nothing is left out: no module, no page, no model, no licence
    assert len(files) > 500
    assert sorted(files - held) == []
    assert {name.rpartition("/")[2] for name in held if "/licenses/" in name} == {"LICENSE", "NOTICE"}
