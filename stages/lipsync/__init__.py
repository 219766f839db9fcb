"""The lipsync stage: speech becomes a motion track, the parameters that move the portrait in every frame.

Reads `speech.wav` and `timing.json`; writes `motion.npz`. With the engine `musetalk` it reads `portrait.png` and
`face.json` too, and writes the painted mouths, `mouth.raw` and `mouth.npz`.
"""

from __future__ import annotations

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Do the stage's work with the engine that the settings and the machine give.

    Raises:
        UnknownError: `speech.wav` or `timing.json` is damaged; the tts stage must run again.
        JobError, MachineError: see `stages.musetalk.paint.paint_mouths` and `choose`.
    """
    from stages.lipsync.choose import choose, look_at
    from stages.lipsync.motion import make_track

    choice = choose(ctx.settings.stages.lipsync.engine, lambda engine: look_at(engine, ctx.settings))
    return {"engine": choice.engine.name, "why": choice.why, **make_track(ctx, choice.engine)}


def release() -> Facts:
    """Give the loaded engines' memory back; what is held and free afterwards, empty where none was loaded."""
    from stages.lipsync.registry import ENGINES

    return {key: value for engine in ENGINES.values() for key, value in engine.unload().items()}
