"""What was said of a job already, kept in its folder until the job's speech is whole: a slow engine need not say it twice.

A crash, a timeout or a lost GPU costs the piece that was being said, not those before it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from daemon.system import fs
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart
from stages.tts.timing import Phone


class CachedVoice:
    """An engine that says each piece once.

    Args:
        engine: the one that speaks.
        folder: where pieces are kept; made here, removed by `clear`.
        terms: all that a piece's sound depends on beside the piece: the voice, the settings. JSON.
    """

    def __init__(self, engine: LoadedVoice, folder: Path, terms: Any) -> None:
        self._engine = engine
        self._folder = folder
        self._terms = terms
        folder.mkdir(exist_ok=True)

    @property
    def sample_rate(self) -> int:
        return self._engine.sample_rate

    @property
    def method(self) -> Literal["exact", "aligned"]:
        return self._engine.method

    @property
    def licence(self) -> str:
        return self._engine.licence

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """The piece as it was said before, or as the engine says it now."""
        path = self._folder / f"{self._key(piece)}.npz"
        try:
            parts = _unpack_parts(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            parts = list(self._engine.say(piece))
            fs.replace_bytes(path, _pack_parts(parts), durable=False)
        yield from parts

    def fallback_voice(self) -> LoadedVoice | None:
        """What the engine itself has."""
        return self._engine.fallback_voice()

    def clear(self) -> None:
        """Remove what was kept."""
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
