"""Checks what the tts stage will speak or decode."""

from __future__ import annotations

import logging

from daemon.errors import MachineError
from daemon.jobs.speech_length import estimated_s
from stages.context import Context
from stages.facts import CheckFacts
from stages.tts.checks import check_request, text_warnings
from stages.tts.engines.choose import choose_voice
from stages.tts.engines.voice_hints import DEFAULT_VOICE
from stages.tts.recording import check_recording

log = logging.getLogger("stages.check")


def check_speech(ctx: Context) -> CheckFacts:
    """Check the speech of a job; returns the chosen voice and the expected length.

    Raises:
        JobError: what `check_request` and `check_recording` raise.
    """
    manifest = ctx.manifest
    if manifest.kind_of_job.makes_avatar:
        return _check_voice_of_avatar(ctx)
    if manifest.kind_of_job.makes_profile:
        from stages.tts.profiles.create import check_profile_request, request_of

        check_profile_request(request_of(ctx), ctx.settings)
    if manifest.audio is not None:
        declared = check_recording(ctx)
        return {} if declared is None else {"speech_s": round(declared, 2)}
    expected: CheckFacts = {"speech_s": round(estimated_s(manifest.text or "", manifest.speed), 2)}
    try:
        choice = check_request(manifest, ctx.settings)
    except MachineError as exc:
        # A fault of the machine pauses the lane that finds it. Only the lane of the voices may pause for a voice that is missing;
        # this one also serves portraits, recordings and deliveries.
        log.info("left to the stage that speaks: %s", exc)
        return expected
    assert choice is not None  # there is a text
    ctx.warnings.extend(text_warnings(manifest, ctx.settings))
    return {**expected, "voice": choice.voice.id, "why": choice.why, "engines": {"tts": choice.engine}}


def _check_voice_of_avatar(ctx: Context) -> CheckFacts:
    """Check the name of an avatar profile, and the voice that it is to have, so that none is made that cannot speak."""
    from stages.face.avatars.create import check_avatar_request

    check_avatar_request(ctx)
    if ctx.manifest.voice == DEFAULT_VOICE:
        return {}
    choice = choose_voice(ctx.manifest, ctx.settings)
    return {"voice": choice.voice.id, "why": choice.why}
