"""Takes over the motion track, and the painted mouths, of the job that a job is based on, where all that they follow from is the
same: the speech, its times, the portrait, the keys of the manifest and the settings.

`moved.json` says what the files beside it were made from, and their digests. A job that is based on another one has the other's
files in its folder from the start (`daemon.queue.base_jobs`).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from daemon.errors import AvatarError
from daemon.jobs.record import MOVED, MOVED_RECORD, seed_of
from daemon.jobs.stages import BY_NAME
from daemon.system import fs
from daemon.system.json_files import replace_json
from stages.context import Context, Facts
from stages.lipsync.motion_track import MotionTrack

#: Artifacts of earlier stages that this one reads.
_READ = ("speech.wav", "timing.json", "portrait.png", "face.json")


def take_over(ctx: Context) -> Facts | None:
    """Return the facts of the motion track that is in the job's folder already; None where it has to be made.

    What was made from something else, or is damaged, is removed.
    """
    try:
        record = json.loads(ctx.path(MOVED_RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    if _is_usable(ctx, record):
        ctx.warnings.extend(record["warnings"])
        return {**record["facts"], "why": "nothing that it follows from has changed"}
    for name in MOVED:
        fs.remove(ctx.path(name))
    return None


def keep(ctx: Context, facts: Facts, warnings: list[str]) -> None:
    """Note what the motion track was made from, for `take_over` in a later job. Not durable: without it the track is made."""
    files = {name: _digest(ctx.path(name)) for name in MOVED if name != MOVED_RECORD and ctx.path(name).exists()}
    record = {"key": _key(ctx), "files": files, "facts": dict(facts), "warnings": warnings}
    replace_json(ctx.path(MOVED_RECORD), record, durable=False)


def _is_usable(ctx: Context, record: Any) -> bool:
    try:
        if record["key"] != _key(ctx) or not isinstance(record["facts"], dict):
            return False
        if any(_digest(ctx.path(name)) != digest for name, digest in record["files"].items()):
            return False
        MotionTrack.load(ctx.path("motion.npz"))  # raises where a value is not finite
    except (OSError, KeyError, TypeError, AttributeError, AvatarError):
        return False
    return True


def _key(ctx: Context) -> str:
    """Return a digest of all that the motion track and the painted mouths follow from."""
    given, seed = ctx.manifest.model_dump(mode="json"), ctx.manifest.motion.seed
    content: dict[str, Any] = {
        "files": [_digest(path) if (path := ctx.path(name)).exists() else "" for name in _READ],
        "keys": {key: given[key] for key in BY_NAME["lipsync"].uses},
        "seed": seed_of(ctx.job_id) if seed is None else seed,
        "settings": ctx.settings.stages.lipsync.model_dump(mode="json"),
        "code": _code(),
    }
    content["keys"]["motion"].pop("seed")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """Return a digest of the modules that move the portrait."""
    modules, root = hashlib.sha256(), Path(__file__).parent
    for folder in (root, root.parent / "musetalk"):
        for path in sorted(folder.rglob("*.py")):
            modules.update(path.read_bytes())
    return modules.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
