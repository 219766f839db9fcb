"""The face stage: turns the dropped picture into an upright portrait and measures the face to animate.

Reads `source.image`; writes `portrait.png` and `face.json`, and the measurement and the rig into the cache. For a kind of job
that `judges`, it writes `face.json` about every face, and `face.jpg`.
"""

from __future__ import annotations

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Run the stage and return its facts: see `stages.face.measure.measure_face` and `stages.face.report.report_faces`.

    Raises:
        JobError: the picture cannot be read, or shows no face that can be animated, where the job does not judge that.
    """
    if ctx.manifest.kind_of_job.judges:
        from stages.face.report import report_faces

        return report_faces(ctx)
    from stages.face.measure import measure_face

    return measure_face(ctx)
