"""Keeps the speech of each piece in the job's folder.

After a crash, a timeout or a lost GPU only the piece that was interrupted is spoken again. A job that is based on another one has
the other's pieces in its folder from the start (`daemon.queue.base_jobs`), and speaks only what is new. What any other job has
said lately is taken from the cache that all share.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from daemon.system import fs
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart
from stages.tts.engines.wrapped_voice import WrappedVoice
from stages.tts.shared_speech import SharedSpeech
from stages.tts.timing import Phone

_DIGEST_BYTES = hashlib.sha256().digest_size


class CachedVoice(WrappedVoice):
    """Wraps a loaded voice and caches the speech of each piece on disk.

    Args:
        engine: the loaded voice.
        folder: holds the cached pieces; created here.
        terms: everything beside the piece that its sound depends on: voice, settings. Serialized as JSON.
        is_whole: returns whether the cached parts of a piece are speech; others are spoken again.
        shared: the speech of other jobs; None where none may be used.

    Attributes:
        synthesized: number of pieces that were not in the cache.
    """

    def __init__(
        self,
        engine: LoadedVoice,
        folder: Path,
        terms: Any,
        is_whole: Callable[[Sequence[SpokenPart], Piece], bool] = lambda parts, piece: True,
        shared: SharedSpeech | None = None,
    ) -> None:
        super().__init__(engine)
        self._folder = folder
        self._terms = terms
        self._is_whole = is_whole
        self._shared = shared
        self._used: dict[str, Path] = {}
        self.synthesized = 0
        folder.mkdir(exist_ok=True)

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Return the cached speech of a piece, or synthesize and cache it."""
        key = self._key(piece)
        path = self._used[key] = self._folder / f"{key}.npz"
        parts = self._cached(path, key, piece)
        if parts is None and self._shared is not None:
            fs.remove(path)
            self._shared.fetch(key, path)
            parts = self._cached(path, key, piece)
        if parts is None:
            self.synthesized += 1
            parts = list(self._engine.say(piece))
            fs.replace_bytes(path, _pack_parts(parts, key), durable=False)
        yield from parts

    def start_over(self) -> None:
        """Count as not said what was said until now."""
        self._used.clear()

    def finish(self) -> None:
        """Share the pieces that were said, and delete the others, such as those of a base whose text was another one."""
        used = set(self._used.values())
        for path in self._folder.iterdir():
            if path not in used:
                fs.remove(path)
        if self._shared is not None:
            for key, path in self._used.items():
                self._shared.keep(key, path)

    def _cached(self, path: Path, key: str, piece: Piece) -> list[SpokenPart] | None:
        try:
            parts = _unpack_parts(path, key)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return parts if self._is_whole(parts, piece) else None

    def _key(self, piece: Piece) -> str:
        content = json.dumps([self._terms, self._engine.sample_rate, asdict(piece)], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


def _pack_parts(parts: list[SpokenPart], key: str) -> bytes:
    told = [
        {"phones": None if part.phones is None else [vars(phone) for phone in part.phones], "warnings": part.warnings}
        for part in parts
    ]
    buffer = io.BytesIO()
    np.savez(buffer, told=np.array(json.dumps(told)), **{f"part{n}": part.samples for n, part in enumerate(parts)})
    return _digest(buffer.getvalue(), key) + buffer.getvalue()


def _unpack_parts(path: Path, key: str) -> list[SpokenPart]:
    """Return what `_pack_parts` packed.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file cannot be read, is damaged, or is of another piece.
    """
    data = path.read_bytes()
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if digest != _digest(content, key):
        raise ValueError("the file is damaged, or of another piece")
    with np.load(io.BytesIO(content), allow_pickle=False) as saved:
        return [
            SpokenPart(
                saved[f"part{number}"],
                None if told["phones"] is None else tuple(Phone(**phone) for phone in told["phones"]),
                tuple(told["warnings"]),
            )
            for number, told in enumerate(json.loads(str(saved["told"])))
        ]


def _digest(content: bytes, key: str) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()
