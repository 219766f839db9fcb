"""Reads keys that are written with capitals, as the keyboards of phones write the first letter of a line, or with characters
around them that nobody sees, as come with text that is copied from a web page.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from daemon.errors import JobError
from daemon.jobs.mistakes.copied_marks import WORD_QUOTES
from daemon.jobs.yaml_positions import Path, YamlDocument

#: Zero-width spaces and joiners, the mark of byte order, the soft hyphen, and marks of direction.
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"

#: Letters of Cyrillic and Greek that look like Latin ones: a keyboard is switched for a moment.
_LOOK_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0455\u0458\u04bb\u051b\u051d\u043a\u043c\u0442\u03bf\u03b1\u03b9\u03bd\u03c1",
    "aeopcxyisjhqwkmtoaivp",
)


def _as_latin(key: str) -> str:
    """Return a key with Latin letters in place of full-width ones and of those that look like them."""
    return unicodedata.normalize("NFKC", key).lower().translate(_LOOK_ALIKE)


def with_small_keys(
    document: YamlDocument, keys: Collection[str], groups: Mapping[str, Collection[str]]
) -> tuple[YamlDocument, list[str]]:
    """Return a document whose known keys are in small letters, and a warning about those that were not.

    Args:
        keys: the known ones.
        groups: those whose value is a mapping with its own keys, or a list of such mappings, and the keys below them.

    Raises:
        JobError: `yaml-duplicate-key`: a key is there in both forms.
    """
    moved: dict[Path, str] = {}

    def small(mapping: dict[str, Any], path: Path, known: Collection[str]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in mapping.items():
            bare = key.strip(_UNSEEN + WORD_QUOTES)
            name = next((name for name in (key, bare, bare.lower(), _as_latin(bare)) if name in known), key)
            if name != key:
                moved[*path, key] = name
            if name in result:
                raise JobError(
                    "yaml-duplicate-key",
                    f"`{name}` is given twice, written in two ways ({document.keys[*path, key]}).",
                    "Keep one of the two; if they are two jobs, write a line --- between them.",
                )
            result[name] = below(value, (*path, key), groups[name]) if not path and name in groups else value
        return result

    def below(value: Any, path: Path, known: Collection[str]) -> Any:
        if isinstance(value, list):
            return [below(item, (*path, index), known) for index, item in enumerate(value)]
        return small(value, path, known) if isinstance(value, dict) else value

    value = small(document.value, (), keys)
    if not moved:
        return document, []

    def path_now(path: Path) -> Path:
        return tuple(moved.get(path[: length + 1], step) for length, step in enumerate(path))

    places: dict[str, Any] = {
        name: {path_now(path): place for path, place in getattr(document, name).items()}
        for name in ("values", "keys", "comments")
    }
    warnings = []
    quoted = {path: name for path, name in moved.items() if str(path[-1]).strip(_UNSEEN)[:1] in WORD_QUOTES}
    if quoted:
        told = ", ".join(f"`{name}`" for name in quoted.values())
        warnings.append(f"The typographic quotes around {told} were left out; keys stand without quotes.")
        moved = {path: name for path, name in moved.items() if path not in quoted}
    unseen = [name for path, name in moved.items() if path[-1] != str(path[-1]).strip(_UNSEEN)]
    if unseen:
        told = ", ".join(f"`{name}`" for name in unseen)
        warnings.append(f"Characters that cannot be seen were left out beside {told}; delete them in the manifest.")
    foreign = {path: name for path, name in moved.items() if str(path[-1]).strip(_UNSEEN).lower() != name}
    if foreign:
        read = ", ".join(f"`{name}`" for name in foreign.values())
        warnings.append(
            f"Letters that only look like Latin ones were read as those of {read}; type them again in the manifest."
        )
    capitals = {path: name for path, name in moved.items() if name not in unseen and path not in foreign}
    if capitals:
        written, read = (
            ", ".join(f"`{name}`" for name in names) for names in ((path[-1] for path in capitals), capitals.values())
        )
        were = "were" if len(capitals) > 1 else "was"
        warnings.append(f"Keys are written in small letters: {written} {were} read as {read}.")
    return replace(document, value=value, **places), warnings
