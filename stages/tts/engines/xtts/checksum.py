"""Checks that model.pth is the published file, or the one whose hash config.yaml names. Does not import torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from daemon.errors import MachineError
from daemon.system.installation import Missing, how_to_fetch_models
from daemon.system.json_files import replace_json
from stages.model_files.catalogue import sha256_of
from stages.tts.engines.xtts.model_files import PARTS


def _remedy() -> str:
    return (
        f"To download it again: {how_to_fetch_models('xtts')} If it is a model of your own, write its sha256 under "
        "`stages.tts.xtts.model_sha256` in config.yaml."
    )


def checked_sha256(model: Path, own: str, cache: Path) -> str:
    """Return the sha256 of model.pth, which must be the published one, or `own` unless that is empty.

    Reading 1.9 GB takes seconds, so the hash is cached while size, modification time and inode stay the same.

    Raises:
        MachineError: `model-altered`.
    """
    found = _noted_sha256(model, cache) or _read_sha256(model, cache)
    if found != _trusted_sha256(own):
        raise MachineError("model-altered", f"{_altered_sentence(model, found)}.", _remedy())
    return found


def altered_model(model: Path, own: str, cache: Path) -> Missing | None:
    """Return why the file is not trusted, as far as the cache tells; None where nothing is known against it."""
    found = _noted_sha256(model, cache)
    return Missing(_altered_sentence(model, found), _remedy()) if found and found != _trusted_sha256(own) else None


def _altered_sentence(model: Path, found: str) -> str:
    return f"{model} is not the published file: its sha256 is {found}"


def _trusted_sha256(own: str) -> str:
    return own.lower() or next(part for part in PARTS if part.role == "model").published.sha256


def _file_state(path: Path) -> list[str | int]:
    info = path.stat()
    return [str(path), info.st_size, info.st_mtime_ns, info.st_dev, info.st_ino]


def _note_path(path: Path, cache: Path) -> Path:
    return cache / "hashes" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.json"


def _noted_sha256(path: Path, cache: Path) -> str:
    """Return the cached hash while the file is unchanged; else an empty string."""
    try:
        known = json.loads(_note_path(path, cache).read_bytes())
        return str(known["sha256"]) if known["mark"] == _file_state(path) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _read_sha256(path: Path, cache: Path) -> str:
    mark, note = _file_state(path), _note_path(path, cache)
    found = sha256_of(path)
    with contextlib.suppress(PermissionError):  # some users may read the model but not write the cache
        note.parent.mkdir(parents=True, exist_ok=True)
        replace_json(note, {"mark": mark, "sha256": found}, durable=False)
    return found
