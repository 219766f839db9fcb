"""The transcode stage: makes another form of a video.

Reads `source.video`, and `source.audio` and `source.subtitles` where the manifest names them; writes the video (its name is in
stages/encode/formats/), and `captions.srt` or `captions.vtt`.
"""

from __future__ import annotations

from stages.context import Context
from stages.facts import ConversionFacts


def run(ctx: Context) -> ConversionFacts:
    """Run the stage and return its facts: see `stages.transcode.convert.convert_video`.

    Raises:
        JobError: the source is no video that can be converted as the manifest says.
    """
    from stages.transcode.convert import convert_video

    return convert_video(ctx)
