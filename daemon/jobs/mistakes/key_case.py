"""Reads keys that are written with capitals, as the keyboards of phones write the first letter of a line, or with characters
around them that nobody sees, as come with text that is copied from a web page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from daemon.errors import JobError
from daemon.jobs.yaml_positions import Path, YamlDocument

#: Zero-width spaces and joiners, the mark of byte order, the soft hyphen, and marks of direction.
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"


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
            bare = key.strip(_UNSEEN)
            name = next((name for name in (key, bare, bare.lower()) if name in known), key)
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
    unseen = [name for path, name in moved.items() if path[-1] != str(path[-1]).strip(_UNSEEN)]
    if unseen:
        told = ", ".join(f"`{name}`" for name in unseen)
        warnings.append(f"Characters that cannot be seen were left out beside {told}; delete them in the manifest.")
    capitals = {path: name for path, name in moved.items() if name not in unseen}
    if capitals:
        written, read = (
            ", ".join(f"`{name}`" for name in names) for names in ((path[-1] for path in capitals), capitals.values())
        )
        were = "were" if len(capitals) > 1 else "was"
        warnings.append(f"Keys are written in small letters: {written} {were} read as {read}.")
    return replace(document, value=value, **places), warnings
