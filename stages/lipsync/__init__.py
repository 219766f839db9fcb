"""The lipsync stage: speech becomes a motion track, the parameters that move the portrait in every frame.

Reads `speech.wav` and `timing.json`; writes `motion.npz`. With the engine `musetalk` it reads `portrait.png` and
`face.json` too, and writes the painted mouths, `mouth.raw` and `mouth.npz`.
"""

from __future__ import annotations

import sys

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Do the stage's work with the engine that the settings and the machine give.

    Raises:
        UnknownError: `speech.wav` or `timing.json` is damaged; the tts stage must run again.
        JobError, MachineError: see `musetalk.work.paint_mouths` and `engines.choose`.
    """
    from stages.lipsync.choose import choose, look
    from stages.lipsync.motion import make_track

    choice = choose(ctx.settings.stages.lipsync.engine, look(ctx.settings))
    return {"engine": choice.engine, "why": choice.why, **make_track(ctx, choice.engine)}


def release() -> Facts:
    """Give a loaded engine's memory back; what is held and free afterwards, empty where none was loaded."""
    work = sys.modules.get("stages.musetalk.paint")
    return work.unload() if work else {}
