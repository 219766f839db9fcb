"""Reads keys that are written with capitals, as the keyboards of phones write the first letter of a line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from daemon.errors import JobError
from daemon.jobs.yaml_positions import Path, YamlDocument


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
            name = key if key in known or key.lower() not in known else key.lower()
            if name != key:
                moved[*path, key] = name
            if name in result:
                raise JobError(
                    "yaml-duplicate-key",
                    f"`{name}` is given twice, in small letters and in capitals ({document.keys[*path, key]}).",
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
    written, read = ([f"`{name}`" for name in names] for names in ((path[-1] for path in moved), moved.values()))
    warning = f"Keys are written in small letters: {', '.join(written)} was read as {', '.join(read)}."
    return replace(document, value=value, **places), [warning.replace(" was ", " were ") if len(moved) > 1 else warning]
