"""The tts stage: what is said becomes speech.wav and timing.json."""

from __future__ import annotations

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Speak the manifest's text, or decode the sound file it brings, or make a voice profile of it.

    Writes `speech.wav` (16-bit mono) and `timing.json`; for a profile `profile.json`.

    Raises:
        JobError: what is asked for cannot be said or read; the codes are listed in `check`, `synthesize_text` and `brought`.
        MachineError: the voice or ffmpeg is missing.
    """
    # Each branch loads only what it needs; importing the package loads nothing.
    if ctx.manifest.kind_of_job.makes_profile:
        from stages.tts.profiles.create import make_profile_from_job

        facts = make_profile_from_job(ctx)
    elif ctx.manifest.audio is not None:
        from stages.tts.recording import decode_recording

        facts = decode_recording(ctx)
    else:
        from stages.tts.synthesize import synthesize_text

        facts = synthesize_text(ctx)
    ctx.progress(1.0)
    return facts
