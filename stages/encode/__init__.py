"""The encode stage: draws the frames and encodes them with the speech; also makes poster.jpg and captions."""

from __future__ import annotations

from stages.context import Context
from stages.facts import VideoFacts


def run(ctx: Context) -> VideoFacts:
    """Run the stage and return its facts: see `stages.encode.video.make_video`."""
    from stages.encode.video import make_video

    return make_video(ctx)
