"""The lipsync stage: speech becomes a motion track, the parameters that move the portrait in every frame.

Reads `speech.wav` and `timing.json`; writes `motion.npz`.
"""

from __future__ import annotations

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Do the stage's work with the `warp` engine, which needs no model file.

    Raises:
        UnknownError: `speech.wav` or `timing.json` is damaged; the tts stage must run again.
    """
    from stages.lipsync.work import make_track

    return make_track(ctx)
