"""Takes over the motion track, and the painted mouths, of the job that a job is based on, where all that they follow from is the
same: the speech, its times, the portrait, the keys of the manifest and the settings.
"""

from __future__ import annotations

from daemon.errors import AvatarError
from daemon.jobs.record import MOVED, MOVED_RECORD, seed_of
from daemon.jobs.stages import BY_NAME
from daemon.system import fs
from stages.context import Context, Facts
from stages.kept import UNCHANGED, Kept, code_digest, content_key, digests, read_kept, write_kept
from stages.lipsync.motion_track import MotionTrack

#: Artifacts of earlier stages that this one reads.
_READ = ("speech.wav", "timing.json", "portrait.png", "face.json")


def take_over(ctx: Context) -> Facts | None:
    """Return the facts of the motion track that is in the job's folder already; None where it has to be made.

    What was made from something else, or is damaged, is removed.
    """
    if not ctx.path(MOVED_RECORD).exists():
        return None
    kept = read_kept(ctx.path(MOVED_RECORD), _key(ctx))
    if kept is not None and _is_readable(ctx):
        ctx.warnings.extend(kept.warnings)
        return {**kept.facts, "why": UNCHANGED, "taken_over": True}
    for name in MOVED:
        fs.remove(ctx.path(name))
    return None


def keep(ctx: Context, facts: Facts, warnings: list[str]) -> None:
    """Note what the motion track was made from, for `take_over` in a later job."""
    files = tuple(name for name in MOVED if name != MOVED_RECORD and ctx.path(name).exists())
    write_kept(ctx.path(MOVED_RECORD), _key(ctx), Kept(dict(facts), warnings, files))


def _is_readable(ctx: Context) -> bool:
    try:
        MotionTrack.load(ctx.path("motion.npz"))  # raises where a value is not finite
    except (OSError, AvatarError):
        return False
    return True


def _key(ctx: Context) -> str:
    """Return a digest of all that the motion track and the painted mouths follow from."""
    given, seed = ctx.manifest.model_dump(mode="json"), ctx.manifest.motion.seed
    keys = {key: given[key] for key in BY_NAME["lipsync"].uses}
    keys["motion"].pop("seed")
    return content_key(
        {
            "files": digests(ctx.job_dir, _READ),
            "keys": keys,
            "seed": seed_of(ctx.job_id) if seed is None else seed,
            "settings": ctx.settings.stages.lipsync.model_dump(mode="json"),
            "code": code_digest("lipsync", "musetalk"),
        }
    )
