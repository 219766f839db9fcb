"""Making a profile: from a job of `kind: voice`, or by command."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config import Settings
from daemon.errors import JobError
from daemon.system import fs
from stages.context import Context, Facts
from stages.media.wav import to_pcm, wav_writer
from stages.tts.engines.voices import list_voices
from stages.tts.profile_store import Profile, ProfileStore, check_consent
from stages.tts.profiles.sample import RATE, make_reference
from stages.tts.timing import Samples

#: Source of a profile that no job made.
COMMAND = "command"
#: Artifact that is delivered for a job of `kind: voice`.
RESULT = "profile.json"


@dataclass(frozen=True)
class ProfileRequest:
    """What is to be made. `source`: the job's id, or "command"; `id`: the profile's."""

    id: str
    name: str
    language: str
    consent: str
    expires: datetime.date | None
    source: str


def make_profile_from_job(ctx: Context) -> Facts:
    """Make the profile that a job of `kind: voice` asks for, and its result `profile.json`.

    The id follows from the job's, so that a job that is run again after a crash makes no second profile.

    Raises:
        JobError, MachineError: what `make_profile` raises.
    """
    asked = ctx.manifest.profile
    request = ProfileRequest(
        id=f"vp-{hashlib.sha256(ctx.job_id.encode()).hexdigest()[:8]}",
        name=(asked.name if asked else None) or ctx.name,
        language=ctx.manifest.language,
        consent=(asked.consent if asked else None) or "",
        expires=asked.expires if asked else None,
        source=ctx.job_id,
    )
    profile, warnings = make_profile([ctx.source("audio")], request, ctx.settings, ctx.progress)
    ctx.warnings.extend(warnings)
    fs.replace_json(ctx.path(RESULT), profile.record())
    return {"profile": profile.id, "voice": profile.name, "quality": profile.quality}


def make_profile(
    samples: list[Path], request: ProfileRequest, settings: Settings, progress: Callable[[float], None] = lambda _: None
) -> tuple[Profile, tuple[str, ...]]:
    """Make a profile; returns it and sentences for the person.

    Raises:
        JobError: `consent-missing`, `profile-name`, or what `sample.make_reference` raises; nothing is kept then.
        MachineError: `folder-unusable`, ffmpeg is missing, the disk is full.
    """
    store = ProfileStore(settings.paths.profiles)
    if settings.stages.tts.require_consent:
        check_consent(request.consent, request.name)
    store.check_name(request.name, request.id)
    _check_no_engine_voice(request.name, settings)
    if request.expires is not None and request.expires < datetime.datetime.now(
        datetime.UTC
    ).date() - datetime.timedelta(1):
        raise JobError("profile-expired", f"{request.expires} is over already.", "Write a day to come, or none.")
    found = make_reference(samples, by_name=request.source == COMMAND)
    progress(0.8)
    profile = Profile(
        id=request.id,
        name=request.name,
        language=request.language,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        consent=request.consent.strip(),
        expires=request.expires,
        source=request.source,
        quality=found.quality.record(),
        folder=settings.paths.profiles / request.id,
    )
    return store.save_profile(profile, _wav(found.samples)), found.warnings


def _check_no_engine_voice(name: str, settings: Settings) -> None:
    """A profile named like a voice of an engine could not be asked for."""
    for voice in list_voices(settings):
        if not voice.is_profile and voice.is_called(name.casefold()):
            raise JobError(
                "profile-name", f"There is a voice named '{name}' already: {voice.id}.", "Take another name."
            )


def _wav(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    with wav_writer(buffer, RATE, len(samples)) as sink:
        sink.writeframes(to_pcm(samples))
    return buffer.getvalue()
