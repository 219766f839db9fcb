"""Takes what was measured in a portrait from the job's avatar profile, whatever has happened to the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from daemon.profiles.avatars import JOB_COPIES, JOB_RECORD, MEASURED_FILES, PICTURE, QUALITIES, damaged_copy
from stages.context import Context
from stages.face.cache import cache_file
from stages.face.known import Measured, PictureOptions
from stages.face.rig.rig import VERSION as RIG_VERSION

PORTRAIT, FACE, RIG = MEASURED_FILES


def framing_of(options: PictureOptions) -> dict[str, Any]:
    """Return what a profile's measurements depend on, beside the picture and the quality, as `AvatarProfile.framing`."""
    return {
        "face": options.face,
        "size": options.size,
        "aspect": options.aspect,
        "fit": options.fit,
        "cut_out": options.cut_out,
        "max_side_px": options.limits.max_side_px,
    }


def load_known_avatar(ctx: Context, options: PictureOptions) -> Measured | None:
    """Load what the job's avatar profile says of its portrait.

    Returns:
        None where the job has no profile, or wants another framing than the profile has: then its picture is measured.

    Raises:
        JobError: `avatar-damaged`.
    """
    if (record := _record(ctx)) is None:
        return None
    _content(ctx, record, PICTURE)
    quality = QUALITIES[options.draft]
    if not _is_measured(record, options, quality + FACE):
        return None
    known = json.loads(_content(ctx, record, quality + FACE))
    portrait = _content(ctx, record, quality + PORTRAIT)
    return Measured(known["face"], known["facts"], known["warnings"], portrait)


def avatar_facts(ctx: Context) -> dict[str, str]:
    """Return the facts that name the job's avatar profile; empty where it has none."""
    record = _record(ctx)
    return {} if record is None else {"profile": record["id"], "avatar": record["name"]}


def seed_rig(ctx: Context, options: PictureOptions, path: Path) -> None:
    """Put the profile's rig into the cache, where it is not there, is of the framing that the job wants, and this version of the
    program can use it.

    Args:
        options: with which the profile's portrait was loaded.
        path: of the portrait's rig in the cache.

    Raises:
        JobError: `avatar-damaged`.
    """
    record, quality = _record(ctx), QUALITIES[options.draft]
    if record is None or path.exists() or not _is_measured(record, options, quality + RIG):
        return
    if json.loads(ctx.path(JOB_COPIES[quality + FACE]).read_bytes())["rig_version"] == RIG_VERSION:
        _content(ctx, record, quality + RIG)
        with cache_file(path) as temporary:
            shutil.copyfile(ctx.path(JOB_COPIES[quality + RIG]), temporary)


def _is_measured(record: dict[str, Any], options: PictureOptions, name: str) -> bool:
    """Return whether the profile has a file that was measured in the framing that the job wants."""
    return bool(record["framing"] == framing_of(options)) and name in record["files"]


def _record(ctx: Context) -> dict[str, Any] | None:
    if ctx.manifest.avatar is None or not ctx.manifest.kind_of_job.draws:
        return None
    record: dict[str, Any] = json.loads(ctx.path(JOB_RECORD).read_bytes())
    return record


def _content(ctx: Context, record: dict[str, Any], name: str) -> bytes:
    content = ctx.path(JOB_COPIES[name]).read_bytes()
    if hashlib.sha256(content).hexdigest() != record["files"][name]["sha256"]:
        raise damaged_copy(record["id"], name)
    return content
