"""The output formats of a video: one record each, which says how it is encoded, named and read back.

To add one, see CONTRIBUTING.md, "An output format".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from daemon.jobs.video_files import video_file
from stages.encode.mp4_probe import Movie, probe_mp4
from stages.encode.webm_probe import probe_webm

#: Time scale of the MP4 in ticks per second: a multiple of every frame rate's numerator and of the sample rate, so that durations
#: in the file are exact.
_MP4_TICKS = 240_000

#: libvpx's `cpu-used` by x264 preset, and for all other presets.
_VP9_EFFORT, _VP9_USUAL = {"ultrafast": 8, "superfast": 8, "veryfast": 7, "medium": 5, "slow": 4}, 6
#: Added to x264's rate factor to get VP9's for the same visible quality.
_VP9_CRF = 10


@dataclass(frozen=True)
class OutputFormat:
    """A container with a video codec and an audio codec.

    Attributes:
        ending: file name ending with its dot; one of `daemon.jobs.video_files.VIDEO_ENDINGS`.
        transparent: whether it has an alpha channel; frames with alpha need such a format.
        muxer, encoder, audio_encoder: ffmpeg's names. `encoder` is shown in the status.
        pixel_format: ffmpeg's name of the video encoder's input format.
        options: makes the other ffmpeg options from an x264 preset and an x264 rate factor.
        probe: reads a finished file; raises ValueError if it is incomplete or not of this format.
        length_slack_s: tolerated difference between the lengths of picture and sound, in addition to one frame.
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
        """Name of the video file in a job's folder."""
        return video_file(self.ending)

    @property
    def encoders(self) -> tuple[str, str]:
        """The encoders that ffmpeg must have been built with."""
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
        "auto-alt-ref": 0,  # 1 would drop the alpha plane
    }


#: All formats; the first suitable one is used.
FORMATS = (
    OutputFormat(
        ending=".mp4",
        transparent=False,
        muxer="mp4",
        encoder="libx264",
        audio_encoder="aac",
        pixel_format="yuv420p",
        options=_mp4_options,
        probe=probe_mp4,
    ),
    # The only format with alpha that both browsers and editors read.
    OutputFormat(
        ending=".webm",
        transparent=True,
        muxer="webm",
        encoder="libvpx-vp9",
        audio_encoder="libopus",
        pixel_format="yuva420p",
        options=_webm_options,
        probe=probe_webm,
        length_slack_s=Fraction(1, 50),  # WebM stores the length of sound in whole Opus packets only
    ),
)


def format_for(transparent: bool) -> OutputFormat:
    """Return the format for frames with (`transparent`) or without alpha."""
    return next(form for form in FORMATS if form.transparent == transparent)
