"""The face stage: a picture somebody dropped becomes an upright portrait with one measured, animatable face.

Reads `source.image`; writes `portrait.png` and `face.json`, and the rig into the cache.
"""

from __future__ import annotations

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Do the stage's work.

    Raises:
        JobError: the picture cannot be read, or shows no face that can be animated.
    """
    from stages.face.measure import measure_face

    return measure_face(ctx)
