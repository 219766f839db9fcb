"""The formats a video can have: one record each, which says how it is encoded, named and read back.

To add one, see CONTRIBUTING.md, "An output format".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from daemon.jobs.video_files import video_file
from stages.encode.mp4_probe import Movie, probe
from stages.encode.webm_probe import probe_webm

#: Ticks a second of the MP4's own clock: a multiple of every frame rate's numerator and of the sound's rate, so that
#: durations in the file are exact.
_MP4_TICKS = 240_000

#: libvpx's speed for x264's presets, and for all others; it is far slower than x264 at the same name.
_VP9_EFFORT, _VP9_USUAL = {"ultrafast": 8, "superfast": 8, "veryfast": 7, "medium": 5, "slow": 4}, 6
#: VP9's rate factor for the same look, above x264's.
_VP9_CRF = 10


@dataclass(frozen=True)
class OutputFormat:
    """A container with a codec for the picture and one for the sound.

    Attributes:
        ending: of the file, with its dot; one of `daemon.jobs.video_files.VIDEO_ENDINGS`.
        transparent: whether it has an alpha channel. Frames that have one go to a format that keeps it.
        muxer, encoder, audio_encoder: ffmpeg's names. `encoder` is shown in the status.
        pixel_format: ffmpeg's name of what the picture's encoder is given.
        options: the other ffmpeg options of the file, for an x264 preset and an x264 rate factor.
        probe: reads a finished file; raises ValueError where it is not whole, or is not of this format.
        length_slack_s: by how much the lengths of picture and sound may differ, beyond one frame.
    """

    ending: str
    transparent: bool
    muxer: str
    encoder: str
    audio_encoder: str
    pixel_format: str
    options: Callable[[str, int], Mapping[str, object]]
    probe: Callable[[Path], Movie]
    length_slack_s: Fraction = Fraction(0)

    @property
    def file(self) -> str:
        """Name of the video in a job's folder."""
        return video_file(self.ending)

    @property
    def encoders(self) -> tuple[str, str]:
        """What ffmpeg must have been built with."""
        return self.encoder, self.audio_encoder


def _mp4_options(preset: str, crf: int) -> Mapping[str, object]:
    return {"preset": preset, "crf": crf, "movflags": "+faststart", "movie_timescale": _MP4_TICKS}


def _webm_options(preset: str, crf: int) -> Mapping[str, object]:
    return {
        "deadline": "realtime",
        "cpu-used": _VP9_EFFORT.get(preset, _VP9_USUAL),
        "row-mt": 1,
        "crf": crf + _VP9_CRF,
        "b:v": 0,
        "auto-alt-ref": 0,  # with it the alpha plane is dropped
    }


#: Every format; of several that would do, the first is taken.
FORMATS = (
    OutputFormat(
        ending=".mp4",
        transparent=False,
        muxer="mp4",
        encoder="libx264",
        audio_encoder="aac",
        pixel_format="yuv420p",
        options=_mp4_options,
        probe=probe,
    ),
    # The one format with alpha that browsers and editors both read.
    OutputFormat(
        ending=".webm",
        transparent=True,
        muxer="webm",
        encoder="libvpx-vp9",
        audio_encoder="libopus",
        pixel_format="yuva420p",
        options=_webm_options,
        probe=probe_webm,
        length_slack_s=Fraction(1, 50),  # a WebM knows the length of its sound in whole Opus packets only
    ),
)


def format_for(transparent: bool) -> OutputFormat:
    """The format for frames with (`transparent`) or without alpha."""
    return next(form for form in FORMATS if form.transparent == transparent)
