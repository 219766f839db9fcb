"""The encode stage: frames and speech become a video, poster.jpg and captions."""

from __future__ import annotations

from stages.context import Context, Facts


def run(ctx: Context) -> Facts:
    """Draw, encode and check the video: see `stages.encode.video.make_video`."""
    from stages.encode.video import make_video

    return make_video(ctx)
