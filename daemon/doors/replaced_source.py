"""Sees that no result takes the place of a file that it is made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from daemon.jobs.manifest import COMPANIONS


def replaced_source(manifest: Mapping[str, Any], target: Path, beside: Collection[str]) -> Path | None:
    """Return the place of a result at which a file lies that the manifest names, under whatever name; None: there is none.

    Args:
        target: where the main result goes.
        beside: endings of results that go beside it; of captions only those that the manifest asks for are made.
    """
    endings = {*beside, f".{manifest.get('captions')}"}
    places = [target, *(target.with_name(f"{target.stem}{ending}") for ending in sorted(endings))]
    sources = [Path(value) for key in COMPANIONS if isinstance(value := manifest.get(key), str | Path)]
    return next((place for place in places if any(_same(place, source) for source in sources)), None)


def _same(place: Path, source: Path) -> bool:
    try:
        return place.samefile(source)
    except (OSError, ValueError):  # one of them is not there, or is no path
        return False
