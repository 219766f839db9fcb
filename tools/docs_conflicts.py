"""Writes what does not go together in a manifest, from the kinds of jobs and the formats of videos."""

from __future__ import annotations

from typing import get_args

from daemon.jobs.kinds import TABLE, Kind, keys_without_use
from daemon.jobs.stages import VOICE_KEYS
from daemon.jobs.video_files import Mp4Codec, VideoFormat, choose_video_format

HEAD = """\
## What does not go together

What a kind of job lacks or refuses fails the job at once (`manifest-invalid`). What it does not use is ignored, with a warning in
the status.
"""
FORMATS = """\
A video has this format; where it says "refused", the job fails (`manifest-invalid`):

| `format` | nothing else | `codec` | `background: transparent` | both |
|---|---|---|---|---|"""
OTHERS = """\
- `fit` is not used without `size` or `aspect`: the video has the shape of the picture.
- An entry of `expressions` that names a word needs a `text` that contains it; without one the job fails.
"""


def conflicts() -> list[str]:
    """Return the lines of docs/manifest.md about keys that need, refuse or do not use each other."""
    lines = [HEAD, "| `kind` | needs | refuses | does not use |", "|---|---|---|---|"]
    lines += [f"| `{kind.name}` | {_needs(kind)} | {_refuses(kind)} | {_keys(_ignored(kind))} |" for kind in TABLE]
    lines += ["", FORMATS, *map(_format_row, (None, *get_args(VideoFormat))), ""]
    lines += [f"- Beside `audio`, {_keys(VOICE_KEYS)} are not used: the sound file is heard in place of a voice."]
    return [*lines, OTHERS]


def _needs(kind: Kind) -> str:
    return "; ".join(" or ".join(f"`{key}`" for key in keys) for keys, _ in kind.needs)


def _refuses(kind: Kind) -> str:
    return "; ".join(" with ".join(f"`{key}`" for key in keys) for keys, _ in kind.refuses)


def _ignored(kind: Kind) -> list[str]:
    """Return the keys that do nothing and are not refused either."""
    refused = {keys[0] for keys, _ in kind.refuses if len(keys) == 1}
    return [key for key in keys_without_use(kind) if key not in refused]


def _keys(keys: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _format_row(form: VideoFormat | None) -> str:
    codec: Mp4Codec = get_args(Mp4Codec)[0]
    cells = [_format(form, *more) for more in ((None, False), (codec, False), (None, True), (codec, True))]
    return f"| {f'`{form}`' if form else 'not given'} | {' | '.join(cells)} |"


def _format(form: VideoFormat | None, codec: Mp4Codec | None, transparent: bool) -> str:
    try:
        return choose_video_format(form, codec, transparent)
    except ValueError:
        return "refused"
