"""Writes what does not go together in a manifest, from the kinds of jobs and the formats of videos."""

from __future__ import annotations

from itertools import product
from typing import get_args

from daemon.jobs.kinds import TABLE, Kind
from daemon.jobs.stages import VOICE_KEYS
from daemon.jobs.unused_keys import keys_without_use
from daemon.jobs.video_files import Mp4Codec, VideoFormat, choose_video_format

HEAD = """\
## What does not go together

What a kind of job lacks or refuses fails the job at once (`manifest-invalid`). What it does not use is ignored, with a warning in
the status.
"""


def conflicts() -> list[str]:
    """Return the lines of docs/manifest.md about keys that need, refuse or do not use each other."""
    lines = [HEAD, "| `kind` | needs | refuses | does not use |", "|---|---|---|---|"]
    lines += [
        f"| `{kind.name}` | {_needs(kind)} | {_refuses(kind)} | {_keys(keys_without_use(kind))} |" for kind in TABLE
    ]
    lines += ["", f"Beside `audio`, {_keys(VOICE_KEYS)} are not used: the sound file is heard in place of a voice.", ""]
    return [*lines, "Formats of the video fail the job where they do not fit:\n", *_formats(), ""]


def _needs(kind: Kind) -> str:
    return "; ".join(" or ".join(f"`{key}`" for key in keys) for keys, _ in kind.needs)


def _refuses(kind: Kind) -> str:
    return "; ".join(" with ".join(f"`{key}`" for key in keys) for keys, _ in kind.refuses)


def _keys(keys: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _formats() -> list[str]:
    """Return what is said of each combination of format, codec and background that cannot be made."""
    found: dict[str, None] = {}
    choices = product((None, *get_args(VideoFormat)), (None, *get_args(Mp4Codec)), (False, True))
    for form, codec, transparent in choices:
        try:
            choose_video_format(form, codec, transparent)
        except ValueError as exc:
            found[f"- {exc}."] = None
    return list(found)
