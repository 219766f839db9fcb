"""Keeps what was measured in a picture, so that a picture that comes again, with another text, is not measured again.

A result is kept by all that it follows from: the picture's bytes, the options, the stage's own code, and the versions of the
libraries under it. Refused pictures are not kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

from daemon.config.stage_settings import FaceStage
from stages.face.cache import cache_file
from stages.facts import FaceFacts

_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class PictureOptions:
    """All that a measurement depends on besides the picture.

    Attributes:
        face, size, aspect, fit: as in the manifest.
        cut_out: whether the person is put in front of another background.
        draft: whether the manifest asks for half the size.
        limits: the settings of the stage.
    """

    face: str
    size: str | None
    aspect: str | None
    fit: str
    cut_out: bool
    draft: bool
    limits: FaceStage


@dataclass(frozen=True)
class Measured:
    """What the stage finds out about a picture.

    Attributes:
        record: content of `face.json`.
        facts: the stage's facts.
        warnings: sentences for the status.
        portrait: `portrait.png`.
    """

    record: dict[str, Any]
    facts: FaceFacts
    warnings: list[str]
    portrait: bytes


def key_of(picture: Path, options: PictureOptions) -> str:
    """Compute the key of a picture's result: hexadecimal, 64 characters."""
    with picture.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    chosen = asdict(options) | {"limits": options.limits.model_dump(exclude={"require_consent"})}
    return hashlib.sha256(json.dumps([content, chosen, _code()], sort_keys=True).encode()).hexdigest()


@cache
def _code() -> list[str]:
    """What measures: this package's modules, with those that extend a portrait, and the libraries that it uses."""
    modules = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        modules.update(path.read_bytes())
    return [modules.hexdigest(), version("mediapipe"), cv2.__version__, PIL.__version__, np.__version__]


def load_measured(folder: Path, key: str) -> Measured | None:
    """Load a result from the cache folder; None if it is not there. A damaged file is removed."""
    path = _path(folder, key)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if digest != _digest(key, content):
        path.unlink(missing_ok=True)
        return None
    head, _, portrait = content.partition(b"\n")
    return Measured(**json.loads(head), portrait=portrait)


def save_measured(folder: Path, key: str, measured: Measured) -> None:
    """Save a result in the cache folder, which `retention.cache_mb` bounds."""
    head = {"record": measured.record, "facts": measured.facts, "warnings": measured.warnings}
    content = json.dumps(head).encode() + b"\n" + measured.portrait
    with cache_file(_path(folder, key)) as temporary:
        temporary.write_bytes(_digest(key, content) + content)


def _path(folder: Path, key: str) -> Path:
    return folder / "portraits" / key[:32]


def _digest(key: str, content: bytes) -> bytes:
    """With the key, so that a file under another one's name is not taken for it."""
    return hashlib.sha256(key.encode() + content).digest()
