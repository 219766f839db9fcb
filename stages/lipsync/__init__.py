"""The lipsync stage: turns speech into a motion track, the parameters that move the portrait in every frame.

Reads `speech.wav` and `timing.json`; writes `motion.npz`. With the engine `musetalk` it also reads `portrait.png` and
`face.json`, and writes the painted mouths, `mouth.raw` and `mouth.npz`. What a job that is based on another one has from there is
taken over where it fits.
"""

from __future__ import annotations

from daemon.errors import MachineError
from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Choose an engine, run the stage with it, and return its facts.

    Raises:
        UnknownError: `speech-unreadable` or `timing-unreadable`: an artifact is damaged; the tts stage must run again.
        JobError, MachineError: see `stages.musetalk.paint.paint_mouths` and `choose_engine`.
    """
    from stages.lipsync.choose import check_availability, choose_engine, choose_without_gpu
    from stages.lipsync.kept_motion import keep, take_over
    from stages.lipsync.motion import make_motion_track

    if (known := take_over(ctx)) is not None:
        ctx.progress(1.0)
        return known
    said = len(ctx.warnings)
    asked = ctx.settings.stages.lipsync.engine
    choice = choose_engine(asked, lambda engine: check_availability(engine, ctx.settings))
    ctx.use_engine(choice.engine.name)
    try:
        facts = make_motion_track(ctx, choice.engine)
    except MachineError as exc:
        if exc.code != "gpu-unusable" or asked != "auto":
            raise
        choice = choose_without_gpu(exc.message)
        facts = make_motion_track(ctx, choice.engine)
    told = {"engine": choice.engine.name, "why": choice.why, **facts}
    keep(ctx, told, ctx.warnings[said:])
    return told


def release() -> Facts:
    """Unload all engines. Returns the memory held and free afterwards, empty if none was loaded."""
    from stages.lipsync.registry import ENGINES

    return {key: value for engine in ENGINES.values() for key, value in engine.unload().items()}
