"""Merges what a manifest says with defaults, such as those of its folder or of an avatar profile: the manifest wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.jobs.kinds import KINDS, Kind, keys_without_use
from daemon.jobs.video_files import SOUND_ENDINGS, VIDEO_ENDINGS


@dataclass(frozen=True)
class FolderDefaults:
    """The defaults of one folder of the inbox.

    Attributes:
        path: of the file, below the inbox.
        values: what it says, by key, as written.
    """

    path: str
    values: Mapping[str, Any]


def merge_values(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given values, and the defaults of keys that are not given.

    A key with keys of its own, such as `motion`, is merged key by key. A default is left out where the kind of job has no use for
    it, refuses it, or refuses it together with a key that is given: `avatar` in a manifest takes the place of a default `image`,
    and a folder whose videos are to be MOVs can also have jobs of `kind: speech`.
    """
    merged = dict(given)
    kind = KINDS.get(str(given.get("kind", defaults.get("kind", "video"))).strip().casefold())
    unused = keys_without_use(kind) if kind else ()
    for key, value in defaults.items():
        if key in unused or (key == "format" and kind and not _is_format_of(kind, value)):
            continue
        own = merged.get(key)
        if key not in merged:
            merged[key] = value
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[key] = {**value, **own}
    for keys, _ in kind.refuses if kind else ():
        if all(map(merged.__contains__, keys)):
            for key in set(keys) - given.keys():
                del merged[key]
    return merged


def _is_format_of(kind: Kind, value: Any) -> bool:
    """Return whether a kind of job can have results of a format. What is no format at all is refused later."""
    name = f".{value}".strip().casefold()
    others = SOUND_ENDINGS if kind.makes_video else VIDEO_ENDINGS if kind.makes_sound else ()
    return name not in others
