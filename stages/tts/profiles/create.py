"""Creates a voice profile, for a job of `kind: voice` or a command."""

from __future__ import annotations

import datetime
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.language import LANGUAGE_NAMES
from daemon.profiles.profile_folders import now_utc
from daemon.system.json_files import replace_json
from stages.context import Context
from stages.facts import ProfileFacts
from stages.media.wav import open_wav_writer, to_pcm
from stages.tts.engines.base import primary_language
from stages.tts.engines.voices import list_voices
from stages.tts.profile_store import WORDS, Profile, ProfileStore
from stages.tts.profiles.sample import RATE, make_reference
from stages.tts.timing import Samples

#: `Profile.source` of a profile made by a command.
COMMAND = "command"
#: The delivered artifact of a job of `kind: voice`.
RESULT = "profile.json"


@dataclass(frozen=True)
class ProfileRequest:
    """The fields of a profile to create; see `Profile`."""

    id: str
    name: str
    language: str
    consent: str
    expires: datetime.date | None
    source: str
    by: str = ""


def make_profile_from_job(ctx: Context) -> ProfileFacts:
    """Create the profile of a job of `kind: voice`, and its result `profile.json`.

    Derives the profile's id from the job's, so that a job repeated after a crash creates no second profile.

    Raises:
        JobError, MachineError: what `make_profile` raises.
    """
    profile, warnings = make_profile([ctx.source("audio")], request_of(ctx), ctx.settings, ctx.progress)
    ctx.warnings.extend(warnings)
    replace_json(ctx.path(RESULT), profile.record())
    return {"profile": profile.id, "voice": profile.name, "quality": profile.quality}


def request_of(ctx: Context) -> ProfileRequest:
    """Return what a job of `kind: voice` asks for."""
    asked = ctx.manifest.profile
    return ProfileRequest(
        id=WORDS.id_of_job(ctx.job_id),
        name=(asked.name if asked else None) or os.path.basename(ctx.name),
        language=ctx.manifest.language,
        consent=(asked.consent if asked else None) or "",
        expires=asked.expires if asked else None,
        source=ctx.job_id,
        by=ctx.by,
    )


def check_profile_request(request: ProfileRequest, settings: Settings) -> ProfileStore:
    """Check all that can be refused before the recording is read; returns the profiles that there are.

    Raises:
        JobError: `consent-missing`, `profile-name`, `profile-expired`, `language-unsupported`.
    """
    store = ProfileStore(settings.paths.profiles)
    if settings.stages.tts.require_consent:
        store.check_consent(request.consent, request.name)
    store.check_name(request.name, request.id)
    _check_no_engine_voice(request.name, settings)
    store.check_expiry(request.expires)
    _check_language(request.language, settings)
    return store


def make_profile(
    samples: list[Path], request: ProfileRequest, settings: Settings, progress: Callable[[float], None] = lambda _: None
) -> tuple[Profile, tuple[str, ...]]:
    """Create and save a profile; return it and warnings, as sentences.

    Args:
        samples: recordings of one person.
        progress: called with the finished share, 0 to 1.

    Raises:
        JobError: what `check_profile_request` and `sample.make_reference` raise; nothing is saved then.
        MachineError: `folder-unusable`; ffmpeg is missing; the disk is full.
    """
    store = check_profile_request(request, settings)
    found = make_reference(samples, by_name=request.source == COMMAND)
    progress(0.8)
    profile = Profile(
        id=request.id,
        name=request.name,
        language=request.language,
        created=now_utc(),
        consent=request.consent.strip(),
        expires=request.expires,
        source=request.source,
        quality=found.quality.record(),
        folder=settings.paths.profiles / request.id,
        by=request.by,
    )
    return store.save_profile(profile, _wav(found.samples)), found.warnings


def _check_language(tag: str, settings: Settings) -> None:
    """Check that a voice can speak the language, as a profile of another could not be used.

    Raises:
        JobError: `language-unsupported`.
    """
    primary = primary_language(tag)
    spoken = {primary_language(one) for voice in list_voices(settings) for one in voice.languages}
    if primary not in LANGUAGE_NAMES and primary not in spoken:
        raise JobError(
            "language-unsupported",
            f"No voice speaks a language '{tag}'.",
            f"`language` is what is spoken in the recording: {', '.join(sorted({*LANGUAGE_NAMES, *spoken}))}.",
        )


def _check_no_engine_voice(name: str, settings: Settings) -> None:
    """Check that no engine's voice has this name, because manifests could not distinguish them.

    Raises:
        JobError: `profile-name`.
    """
    for voice in list_voices(settings):
        if not voice.is_profile and voice.is_called(name.casefold()):
            raise JobError("profile-name", f"A voice named '{name}' already exists: {voice.id}.", "Use another name.")


def _wav(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    with open_wav_writer(buffer, RATE, len(samples)) as sink:
        sink.writeframes(to_pcm(samples))
    return buffer.getvalue()
