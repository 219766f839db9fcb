"""Whether model.pth is the file that is trusted: the published one, or the one that config.yaml names. Loads no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from daemon.errors import MachineError
from daemon.system import fs
from daemon.system.installation import Missing, how_to_fetch_models
from stages.model_files.catalogue import sha256_of
from stages.tts.engines.xtts.model_files import PARTS


def _other() -> str:
    return (
        f"To fetch it again: {how_to_fetch_models('xtts')} If it is a model of your own, write its sha256 under "
        "`stages.tts.xtts.model_sha256` in config.yaml."
    )


def checked_sha256(model: Path, own: str, cache: Path) -> str:
    """The hash of model.pth, which must be the published one, or `own`.

    Reading 1.9 GB takes seconds, so the hash is noted in the cache and believed while size, time and inode are the same.

    Raises:
        MachineError: `model-altered`.
    """
    found = _noted(model, cache) or _read(model, cache)
    if found != _wanted(own):
        raise MachineError("model-altered", f"{_sentence(model, found)}.", _other())
    return found


def altered(model: Path, own: str, cache: Path) -> Missing | None:
    """Why the file is not to be trusted, and what to do, as far as is known without reading it."""
    found = _noted(model, cache)
    return Missing(_sentence(model, found), _other()) if found and found != _wanted(own) else None


def _sentence(model: Path, found: str) -> str:
    return f"{model} is not the published file: its sha256 is {found}"


def _wanted(own: str) -> str:
    return own.lower() or next(part for part in PARTS if part.role == "model").published.sha256


def _mark(path: Path) -> list[str | int]:
    info = path.stat()
    return [str(path), info.st_size, info.st_mtime_ns, info.st_dev, info.st_ino]


def _note(path: Path, cache: Path) -> Path:
    return cache / "hashes" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"


def _noted(path: Path, cache: Path) -> str:
    """The hash as it was noted, while the file is the same; else empty."""
    try:
        known = json.loads(_note(path, cache).read_bytes())
        return str(known["sha256"]) if known["mark"] == _mark(path) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _read(path: Path, cache: Path) -> str:
    mark, note = _mark(path), _note(path, cache)
    found = sha256_of(path)
    with contextlib.suppress(PermissionError):  # not everybody who may read the model may write to the cache
        note.parent.mkdir(parents=True, exist_ok=True)
        fs.replace_json(note, {"mark": mark, "sha256": found}, durable=False)
    return found
