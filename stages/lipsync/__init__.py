"""The lipsync stage: turns speech into a motion track, the parameters that move the portrait in every frame.

Reads `speech.wav` and `timing.json`; writes `motion.npz`. With the engine `musetalk` it also reads `portrait.png` and
`face.json`, and writes the painted mouths, `mouth.raw` and `mouth.npz`. What a job that is based on another one has from there is
taken over where it fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.errors import MachineError
from stages.context import Context, Facts

if TYPE_CHECKING:
    from stages.lipsync.choose import EngineChoice


def run(ctx: Context) -> Facts:
    """Choose an engine, run the stage with it, and return its facts.

    Raises:
        UnknownError: `speech-unreadable` or `timing-unreadable`: an artifact is damaged; the tts stage must run again.
        JobError, MachineError: see `stages.musetalk.paint.paint_mouths` and `choose_engine`.
    """
    from stages.lipsync.choose import check_availability, choose_engine
    from stages.lipsync.kept_motion import keep, take_over

    if (known := take_over(ctx)) is not None:
        ctx.progress(1.0)
        return known
    said = len(ctx.warnings)
    asked = ctx.settings.stages.lipsync.engine
    choice = choose_engine(asked, lambda engine: check_availability(engine, ctx.settings, ctx.use_engine))
    ctx.use_engine(choice.engine.name)
    try:
        told = _make_with(ctx, choice)
    except MachineError as exc:
        if exc.code != "gpu-unusable" or asked != "auto":
            raise
        refused = exc.message
        del ctx.warnings[said:]
    else:
        keep(ctx, told, ctx.warnings[said:])
        return told
    return _make_without_gpu(ctx, refused)


def run_without_gpu(ctx: Context, lacking: MachineError) -> Facts:
    """Run the stage with the engine that needs no GPU, since its memory does not suffice, though the other stages have unloaded
    their models: who leaves the choice to the program does not wait for other programs. What the stage has loaded is unloaded, so
    that it holds no memory while others need it, and a later job finds out what is free.

    Raises:
        MachineError: `lacking`: config.yaml names the engine, for which the job waits. `gpu-lost`.
    """
    if ctx.settings.stages.lipsync.engine != "auto":
        raise lacking
    _unload(ctx)
    facts = _make_without_gpu(ctx, lacking.message)
    ctx.warnings.append(
        f"The engine {facts['engine']} moved the mouth, since the GPU's memory did not suffice: {lacking.message} "
        "With `stages.lipsync.engine: musetalk` in config.yaml, jobs wait for it."
    )
    return facts


def _unload(ctx: Context) -> None:
    from stages.lipsync.engines.musetalk import model_title
    from stages.model_memory import ModelMemory, measured

    told: list[ModelMemory] = []
    with measured(model_title(ctx.settings), told.append, "unloaded", least_s=0.0):
        held = release()
    if held:
        ctx.report_model(*told)


def _make_without_gpu(ctx: Context, why: str) -> Facts:
    """Not kept for later jobs, which may find a GPU."""
    from stages.lipsync.choose import choose_without_gpu

    return _make_with(ctx, choose_without_gpu(why))


def _make_with(ctx: Context, choice: EngineChoice) -> Facts:
    from stages.lipsync.motion import make_motion_track

    return {"engine": choice.engine.name, "why": choice.why, **make_motion_track(ctx, choice.engine)}


def release() -> Facts:
    """Unload all engines. Returns the memory held and free afterwards, empty if none was loaded."""
    from stages.lipsync.registry import ENGINES

    return {key: value for engine in ENGINES.values() for key, value in engine.unload().items()}
