"""Programs of Debian that tests need and the machine may not have: fetched by apt, unpacked into a cache, never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "avatard-tests"
FETCH_S = 180  # only ends what hangs


def unpacked(*packages: str) -> Path | None:
    """Return the folder into which the packages (those that exist) are unpacked; None when they cannot be had here."""
    folder = CACHE / "-".join(packages)
    if folder.is_dir():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    parts = CACHE / f".{folder.name}.{os.getpid()}"
    shutil.rmtree(parts, ignore_errors=True)
    (parts / "debs").mkdir(parents=True)
    try:
        if not _download(packages, parts / "debs"):
            return None
        for deb in (parts / "debs").glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb, parts / "root"], check=True, capture_output=True)
        (parts / "root").rename(folder)
    except (OSError, subprocess.SubprocessError):
        return folder if folder.is_dir() else None
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return folder


def _download(packages: tuple[str, ...], into: Path) -> bool:
    """Fetch each package; the lists of a fresh image are empty, so they are brought once if the first try finds none."""
    got = [_apt("download", package, cwd=into) for package in packages]
    if not got[0] and os.geteuid() == 0 and _apt("update", cwd=into):
        got = [_apt("download", package, cwd=into) for package in packages]
    return got[0]


def _apt(*words: str, cwd: Path) -> bool:
    command = ["apt-get", "--quiet", "--quiet", "-o", "APT::Sandbox::User=root", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=FETCH_S).returncode == 0
