"""The tts stage: turns the text or the recording of a job into speech.wav and timing.json."""

from __future__ import annotations

import sys

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Synthesize the manifest's text, decode the sound file that it names, or make a voice profile from that file.

    Writes `speech.wav` (16-bit mono) and `timing.json`; for a profile `profile.json`.

    Raises:
        JobError: the text cannot be spoken or the file cannot be read; `check_text`, `synthesize_text` and
            `decode_recording` list the codes.
        MachineError: the voice or ffmpeg is missing.
    """
    # Each branch imports only what it needs, so that importing this package stays cheap.
    if ctx.manifest.kind_of_job.makes_profile:
        from stages.tts.profiles.create import make_profile_from_job

        profile = make_profile_from_job(ctx)
        ctx.progress(1.0)
        return profile
    facts: Facts
    if ctx.manifest.audio is not None:
        from stages.tts.recording import decode_recording

        facts = decode_recording(ctx)
    else:
        from stages.tts.synthesize import synthesize_text

        facts = synthesize_text(ctx)
    if ctx.manifest.kind_of_job.makes_sound:
        from stages.tts.sound_file import write_sound_file

        write_sound_file(ctx, str(facts["engine"]))
    ctx.progress(1.0)
    return facts


def release() -> Facts:
    """Free the GPU memory of all voice engines, and end external ones. Returns what was freed; empty if nothing was held."""
    from stages.tts.engines.registry import ENGINES

    freed = {key: value for engine in ENGINES.values() for key, value in engine.unload().items()}
    client = sys.modules.get("stages.tts.engines.external.client")
    stopped = client.stop_engines() if client else []
    return {**freed, **({"stopped": ", ".join(stopped)} if stopped else {})}
