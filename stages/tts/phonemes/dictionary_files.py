"""Reads large JSON dictionaries a few entries at a time, from files in the user's cache that are made once.

A process that speaks one sentence needs some hundred of half a million entries. To read them all takes it longer than to speak.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import logging
import os
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from daemon.system import fs
from daemon.system.installation import user_cache

log = logging.getLogger(__name__)

#: Number of parts of a dictionary; an entry costs the reading of one part, about ten entries.
PARTS = 8192
#: Entries of a dictionary that are kept in memory: those asked for last. All four of English take 68 MB.
_KEPT = 2048
#: Changes when the files' form does.
_FORM = 2
_ABSENT = object()


class PartlyReadDictionary:
    """The entries of a dictionary in a file. Answers `get` and `in`, as the front end asks nothing else of a dictionary.

    Args:
        file: descriptor of the file, open to read as long as this is used.
        offsets: where the parts begin, in bytes, and where the last one ends.
        read_all: returns the whole dictionary from its source; used where the file is damaged.
    """

    def __init__(self, file: int, offsets: Sequence[int], read_all: Callable[[], Mapping[str, Any]]) -> None:
        self._file, self._offsets, self._read_all = file, offsets, read_all
        self._all: Mapping[str, Any] | None = None
        self._kept = lru_cache(_KEPT)(self._look_up)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""
        value = self._kept(key)
        return default if value is _ABSENT else value

    def __contains__(self, key: str) -> bool:
        return self._kept(key) is not _ABSENT

    def _look_up(self, key: str) -> Any:
        if self._all is None:
            try:
                return self._read(_part_of(key)).get(key, _ABSENT)
            except (OSError, ValueError) as exc:
                log.warning("a file of dictionaries is damaged: %s", exc)
                self._all = self._read_all()
        return self._all.get(key, _ABSENT)

    def _read(self, number: int) -> Mapping[str, Any]:
        start, end = self._offsets[number : number + 2]
        found = json.loads(os.pread(self._file, end - start, start))
        if not isinstance(found, dict):
            raise ValueError(f"part {number} is no dictionary")
        return found


@dataclass(frozen=True)
class DictionaryFile:
    """A JSON object in a packed file (.json.gz), all or some of whose values are dictionaries.

    Attributes:
        source: the packed file.
        large: keys of the values that are read a part at a time; (): the object itself is the dictionary.
    """

    source: Path
    large: tuple[str, ...] = ()

    def read(self) -> Any:
        """Return the object, or the dictionary, with its large dictionaries as `PartlyReadDictionary`.

        Whole dictionaries where the user has no cache that can be written.
        """
        packed = self.source.read_bytes()
        kept = user_cache() / "dictionaries" / f"{hashlib.sha256(packed).hexdigest()[:32]}-{_FORM}"
        try:
            return self._open(kept)
        except (OSError, ValueError, KeyError, TypeError):  # it is not there yet, or is damaged
            whole = self._read_source()
        try:
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fs.replace_bytes(kept, self._packed(whole), temporary=kept.with_name(f".{kept.name}.{os.getpid()}.tmp"))
        except OSError as exc:
            log.debug("dictionaries are not kept: %s", exc)
        return whole

    def _read_source(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(gzip.decompress(self.source.read_bytes()))
        return found

    def _without(self, damaged: Path, key: str | None = None) -> dict[str, Any]:
        """Remove a damaged file, so that the next process makes it again, and return the whole object, or the value of a key."""
        with contextlib.suppress(OSError):
            fs.remove(damaged)
        whole = self._read_source()
        return whole if key is None else whole[key]

    def _packed(self, whole: dict[str, Any]) -> bytes:
        """Return the file: a line of JSON with the small values and the sizes of the parts, and then the parts."""
        rest = {key: value for key, value in whole.items() if key not in self.large} if self.large else {}
        tables = [whole[key] for key in self.large] if self.large else [whole]
        parts = [part for table in tables for part in _split(table)]
        head = json.dumps({"rest": rest, "sizes": [len(part) for part in parts]}).encode() + b"\n"
        return b"".join([head, *parts])

    def _open(self, path: Path) -> Any:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with os.fdopen(os.dup(file), "rb") as reader:
                head = reader.readline()
            values = json.loads(head)
            offsets = array("Q", accumulate(values["sizes"], initial=len(head)))
            if len(offsets) != PARTS * max(1, len(self.large)) + 1 or os.fstat(file).st_size != offsets[-1]:
                raise ValueError("the file is not whole")
        except BaseException:
            os.close(file)
            raise
        if not self.large:
            return PartlyReadDictionary(file, offsets, partial(self._without, path))
        tables = {
            key: PartlyReadDictionary(
                file, offsets[at * PARTS : (at + 1) * PARTS + 1], partial(self._without, path, key)
            )
            for at, key in enumerate(self.large)
        }
        return {**values["rest"], **tables}


def _part_of(key: str) -> int:
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % PARTS


def _split(table: Mapping[str, Any]) -> list[bytes]:
    parts: list[dict[str, Any]] = [{} for _ in range(PARTS)]
    for key, value in table.items():
        parts[_part_of(key)][key] = value
    return [
        json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") for part in parts
    ]
