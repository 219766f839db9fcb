"""Finds keys that a manifest gives and its job does not use, so that nothing is ignored without a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.jobs.kinds import Kind, keys_without_use
from daemon.jobs.mistakes.key_names import used_key
from daemon.jobs.mistakes.proposals import is_allowed
from daemon.jobs.stages import BY_NAME, VOICE_KEYS
from daemon.jobs.video_files import SOUND_ENDINGS, VIDEO_ENDINGS

if TYPE_CHECKING:
    from daemon.jobs.manifest import Manifest

#: Endings of files that are not made.
_OTHER_ENDINGS = (".avi", ".mkv", ".m4v", ".wmv", ".flv", ".gif", ".mpg", ".m4a", ".ogg", ".yaml", ".yml", ".json")


def unused_keys(given: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """Return a sentence for each key that is given and does nothing in this job, and what was done with it.

    Args:
        given: the values as written in the manifest itself: the defaults of a folder are meant for jobs of all kinds.
        manifest: what was read from them.
    """
    kind = manifest.kind_of_job
    found = [
        f"`{key}: {_short(given[key])}` is not used: a job of `kind: {kind.name}` makes {kind.what}."
        + _in_its_place(key, given[key], kind)
        + (f" Below `template:`, indented, `{key}` holds for all rows." if kind.makes_jobs else "")
        + (" The seed of the movement is `motion.seed`." if key == "seed" and kind.draws else "")
        for key in keys_without_use(kind)
        if key in given
    ]
    stages = manifest.stages
    left_out = [key for stage in kind.stages if stage not in stages for key in BY_NAME[stage].uses]
    found += [
        f"`{key}: {_short(given[key])}` is not used: it is for a portrait that is generated from `prompt`."
        for key in left_out
        if key in given and key not in {used for stage in stages for used in BY_NAME[stage].uses}
    ]
    if manifest.audio is not None and "tts" in kind.stages and not kind.makes_profile:
        found += [
            f"`{key}: {_short(given[key])}` is not used, because the sound file `audio` is heard in place of a voice."
            for key in VOICE_KEYS
            if key in given
        ]
    if "fit" not in keys_without_use(kind) and "fit" in given and not (manifest.size or manifest.aspect):
        found.append(
            f"`fit: {_short(given['fit'])}` is not used: without `size` or `aspect` the video has the shape of the picture."
        )
    output = str(given.get("output", "")).strip()
    ending = next((ending for ending in (*VIDEO_ENDINGS, *SOUND_ENDINGS) if output.endswith(ending)), "")
    made = manifest.output or ""
    if other := next((one for one in _OTHER_ENDINGS if output.lower().endswith(one)), ""):
        found.append(
            f"`output: {_short(output)}` ends in {other}, which is only a part of the name of the results here. Leave it out; "
            "`format` says what is made."
        )
    if bad := "".join(sign for sign in '?*<>|":' if sign in made):
        found.append(f"`output: {_short(output)}` has signs that Windows allows in no name ({bad}); they become _.")
    form = manifest.result_format
    if form and ending and ending != f".{form}":
        others = VIDEO_ENDINGS if kind.makes_video else SOUND_ENDINGS
        advice = f" For the other format write `format: {ending[1:]}`." if ending in others else ""
        found.append(
            f"`output: {_short(output)}` ends in {ending}, but the result is {manifest.output}.{form}.{advice}"
        )
    return found


def _in_its_place(key: str, value: Any, kind: Kind) -> str:
    """Return which key of the same sense this kind of job uses, as a question; empty where none is known."""
    used = [used for stage in kind.stages for used in BY_NAME[stage].uses]
    other = used_key(key, used, keys_without_use(kind))
    line = f"{other}: {value}"
    return f" Did you mean `{line if is_allowed(line) else other}`?" if other else ""


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:40]}…" if len(text) > 40 else text
