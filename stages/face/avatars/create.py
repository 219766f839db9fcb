"""Creates an avatar profile, for a job of `kind: avatar` or a command."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2

from daemon.jobs.record import JOB_ID
from daemon.profiles.avatars import (
    BACKGROUND,
    DEFAULT_KEYS,
    PICTURE,
    QUALITIES,
    WORDS,
    AvatarProfile,
    AvatarStore,
    file_record,
)
from daemon.profiles.profile_folders import now_utc
from daemon.system.fs import artifact
from daemon.system.json_files import dump_lines, replace_json
from stages.context import Context
from stages.face.avatars.known_avatar import FACE, PORTRAIT, RIG, framing_of
from stages.face.known import Measured, PictureOptions
from stages.face.rig.rig import VERSION as RIG_VERSION
from stages.face.sampling import decode_png
from stages.media.ai_label import Origin, jpeg_bytes

#: `AvatarProfile.source` of a profile made by a command.
COMMAND = "command"
#: The delivered artifacts of a job of `kind: avatar`.
RESULT, CONTACT = "avatar-profile.json", "contact.jpg"
#: What a portrait was generated from, for jobs with `prompt`.
GENERATED = "generated.json"
_JPEG_QUALITY = 92
#: The consent of a person who does not exist.
_NOBODY = "not needed: the person does not exist, the portrait was generated"


def check_avatar_request(ctx: Context) -> None:
    """Check all that can be refused before the picture is measured.

    Raises:
        JobError: `consent-missing`, `profile-name`, `profile-expired`.
    """
    store, (name, consent) = _store(ctx), _name_and_consent(ctx)
    if ctx.settings.stages.face.require_consent:
        store.check_consent(consent, name)
    store.check_name(name, WORDS.id_of_job(ctx.job_id))
    store.check_expiry(ctx.manifest.profile.expires if ctx.manifest.profile else None)


def save_avatar(ctx: Context, options: PictureOptions, measured: Sequence[tuple[Measured, Path]]) -> AvatarProfile:
    """Save the profile of a job of `kind: avatar`, and write its results.

    Args:
        options: with which the picture was measured.
        measured: what was measured, and the rig's file, for a full and for a draft video.

    Raises:
        JobError: `profile-name`.
        MachineError: `folder-unusable`.
    """
    manifest, files = ctx.manifest, {PICTURE: ctx.source("image").read_bytes()}
    if manifest.background_file is not None:
        files[BACKGROUND] = ctx.source("background").read_bytes()
    for quality, (known, rig) in zip(QUALITIES, measured, strict=True):
        face = {
            "face": known.record, "facts": known.facts, "warnings": known.warnings, "rig_version": RIG_VERSION,
        }  # fmt: skip
        files |= {quality + PORTRAIT: known.portrait, quality + FACE: dump_lines(face), quality + RIG: rig.read_bytes()}
    given = manifest.model_dump(mode="json", exclude_defaults=True)
    profile_id, (name, consent) = WORDS.id_of_job(ctx.job_id), _name_and_consent(ctx)
    full = measured[0][0]
    generated = None if manifest.prompt is None else json.loads(ctx.path(GENERATED).read_bytes())
    profile = _store(ctx).save(
        AvatarProfile(
            id=profile_id,
            name=name,
            title=manifest.title or "",
            created=now_utc(),
            by=ctx.by,
            source=ctx.job_id if JOB_ID.fullmatch(ctx.job_id) else COMMAND,
            consent=consent,
            expires=manifest.profile.expires if manifest.profile else None,
            defaults={key: given[key] for key in DEFAULT_KEYS if key in given},
            framing=framing_of(options),
            face=full.facts,
            generated=generated,
            files={name: file_record(content) for name, content in files.items()},
            folder=ctx.settings.paths.avatars / profile_id,
        ),
        files,
    )
    replace_json(ctx.path(RESULT), profile.record())
    with artifact(ctx.path(CONTACT)) as path:
        picture = decode_png(full.portrait)
        if generated is None:
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
        else:
            origin = Origin(generated["label"], generated["digital_source_type"])
            path.write_bytes(jpeg_bytes(picture, origin, _JPEG_QUALITY))
    return profile


def _store(ctx: Context) -> AvatarStore:
    return AvatarStore(ctx.settings.paths.avatars)


def _name_and_consent(ctx: Context) -> tuple[str, str]:
    asked = ctx.manifest.profile
    name = (asked.name if asked else None) or os.path.basename(ctx.name)
    consent = ((asked.consent if asked else None) or "").strip()
    return name, consent or ("" if ctx.manifest.prompt is None else _NOBODY)
