"""Keeps the speech of each piece in the job's folder until the whole text is spoken.

After a crash, a timeout or a lost GPU a slow engine repeats only the piece that was interrupted.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from daemon.system import fs
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart
from stages.tts.engines.wrapped_voice import WrappedVoice
from stages.tts.timing import Phone


class CachedVoice(WrappedVoice):
    """Wraps a loaded voice and caches the speech of each piece on disk.

    Args:
        engine: the loaded voice.
        folder: holds the cached pieces; created here, deleted by `clear`.
        terms: everything beside the piece that its sound depends on: voice, settings. Serialized as JSON.
    """

    def __init__(self, engine: LoadedVoice, folder: Path, terms: Any) -> None:
        super().__init__(engine)
        self._folder = folder
        self._terms = terms
        folder.mkdir(exist_ok=True)

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Return the cached speech of a piece, or synthesize and cache it."""
        path = self._folder / f"{self._key(piece)}.npz"
        try:
            parts = _unpack_parts(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            parts = list(self._engine.say(piece))
            fs.replace_bytes(path, _pack_parts(parts), durable=False)
        yield from parts

    def clear(self) -> None:
        """Delete the cached pieces."""
        fs.remove(self._folder)

    def _key(self, piece: Piece) -> str:
        content = json.dumps([self._terms, self._engine.sample_rate, asdict(piece)], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


def _pack_parts(parts: list[SpokenPart]) -> bytes:
    told = [
        {"phones": None if part.phones is None else [asdict(phone) for phone in part.phones], "warnings": part.warnings}
        for part in parts
    ]
    buffer = io.BytesIO()
    np.savez(buffer, told=np.array(json.dumps(told)), **{f"part{n}": part.samples for n, part in enumerate(parts)})
    return buffer.getvalue()


def _unpack_parts(path: Path) -> list[SpokenPart]:
    with np.load(path, allow_pickle=False) as saved:
        return [
            SpokenPart(
                saved[f"part{number}"],
                None if told["phones"] is None else tuple(Phone(**phone) for phone in told["phones"]),
                tuple(told["warnings"]),
            )
            for number, told in enumerate(json.loads(str(saved["told"])))
        ]
