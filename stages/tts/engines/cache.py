"""Keeps the speech of each piece in the job's folder.

After a crash, a timeout or a lost GPU only the piece that was interrupted is spoken again. A job that is based on another one has
the other's pieces in its folder from the start (`daemon.queue.base_jobs`), and speaks only what is new.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
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
        folder: holds the cached pieces; created here.
        terms: everything beside the piece that its sound depends on: voice, settings. Serialized as JSON.
        is_whole: returns whether the cached parts of a piece are speech; others are spoken again.

    Attributes:
        synthesized: number of pieces that were not in the cache.
    """

    def __init__(
        self,
        engine: LoadedVoice,
        folder: Path,
        terms: Any,
        is_whole: Callable[[Sequence[SpokenPart], Piece], bool] = lambda parts, piece: True,
    ) -> None:
        super().__init__(engine)
        self._folder = folder
        self._terms = terms
        self._is_whole = is_whole
        self._used: set[str] = set()
        self.synthesized = 0
        folder.mkdir(exist_ok=True)

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Return the cached speech of a piece, or synthesize and cache it."""
        path = self._folder / f"{self._key(piece)}.npz"
        self._used.add(path.name)
        parts = self._cached(path, piece)
        if parts is None:
            self.synthesized += 1
            parts = list(self._engine.say(piece))
            fs.replace_bytes(path, _pack_parts(parts), durable=False)
        yield from parts

    def start_over(self) -> None:
        """Count as not said what was said until now."""
        self._used.clear()

    def forget_unused(self) -> None:
        """Delete the cached pieces that were not said, such as those of a base whose text was another one."""
        for path in self._folder.iterdir():
            if path.name not in self._used:
                fs.remove(path)

    def _cached(self, path: Path, piece: Piece) -> list[SpokenPart] | None:
        try:
            parts = _unpack_parts(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None
        return parts if self._is_whole(parts, piece) else None

    def _key(self, piece: Piece) -> str:
        content = json.dumps([self._terms, self._engine.sample_rate, asdict(piece)], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


def _pack_parts(parts: list[SpokenPart]) -> bytes:
    told = [
        {"phones": None if part.phones is None else [vars(phone) for phone in part.phones], "warnings": part.warnings}
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
