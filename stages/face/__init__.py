"""The face stage: turns the dropped picture into an upright portrait and measures the face to animate.

Reads `source.image`; writes `portrait.png` and `face.json`, and the measurement and the rig into the cache.
"""

from __future__ import annotations

from stages.context import Context
from stages.facts import FaceFacts


def run(ctx: Context) -> FaceFacts:
    """Run the stage and return its facts: see `stages.face.measure.measure_face`.

    Raises:
        JobError: the picture cannot be read, or shows no face that can be animated.
    """
    from stages.face.measure import measure_face

    return measure_face(ctx)
