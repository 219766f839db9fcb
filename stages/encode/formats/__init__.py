"""The output formats of a video: one record each, which says how it is encoded, named and read back.

To add one, see CONTRIBUTING.md, "An output format".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from daemon.jobs.video_files import VideoFormat, video_file
from stages.encode.formats import encoders
from stages.encode.formats.encoders import VideoEncoder
from stages.encode.formats.mp4_probe import Movie, probe_mov_with_alpha, probe_mp4
from stages.encode.formats.webm_probe import probe_webm, probe_webm_with_alpha

#: Options of MP4 and MOV: an index at the front, so that playing needs no seeking; and a time scale in ticks per second that is a
#: multiple of every frame rate's numerator and of the sample rate, so that durations in the file are exact.
_FAST_AND_EXACT = {"movflags": "+faststart", "movie_timescale": 240_000}
#: From this bit rate on, kbit/s, ffmpeg's AAC goes on to 12 kHz at least.
_AAC_WIDE = 48
#: WebM stores the length of sound in whole Opus packets only. s
_OPUS_SLACK_S = Fraction(1, 50)


@dataclass(frozen=True)
class OutputFormat:
    """A container with a video codec and an audio codec.

    Attributes:
        name: value of `format` in a manifest, and the file's ending.
        codec: video codec; the value of `codec` in a manifest where a format has several.
        transparent: whether it has an alpha channel; frames with alpha need such a format.
        encoder: the video encoder, which runs on the processor.
        audio_encoder: ffmpeg's name.
        pixel_format: ffmpeg's name of the video encoder's input format.
        probe: reads a finished file; raises ValueError if it is incomplete or not of this format.
        gpu_encoder: an encoder that makes the same on a GPU; None if there is none.
        muxer: ffmpeg's name of the container's muxer; empty if it is `name`.
        options: other options of ffmpeg.
        speech_options: makes options of the audio encoder for a sound track of speech: from the speech's sample rate, Hz, and the
            bit rate, kbit/s.
        length_slack_s: tolerated difference between the lengths of picture and sound, in addition to one frame.
    """

    name: VideoFormat
    codec: str
    transparent: bool
    encoder: VideoEncoder
    audio_encoder: str
    pixel_format: str
    probe: Callable[[Path], Movie]
    gpu_encoder: VideoEncoder | None = None
    muxer: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    speech_options: Callable[[int, int], Mapping[str, object]] = lambda rate, kbps: {}
    length_slack_s: Fraction = Fraction(0)

    @property
    def ending(self) -> str:
        """File name ending with its dot."""
        return f".{self.name}"

    @property
    def file(self) -> str:
        """Name of the video file in a job's folder."""
        return video_file(self.ending)

    @property
    def title(self) -> str:
        """Format and codec as a manifest asks for them."""
        return f"`format: {self.name}`" + (f" with `codec: {self.codec}`" if self.name == "mp4" else "")

    @property
    def encoders(self) -> tuple[str, str]:
        """The encoders that ffmpeg must have been built with."""
        return self.encoder.name, self.audio_encoder


def _aac_of_speech(rate: int, kbps: int) -> Mapping[str, object]:
    """Return AAC's quicker search, and its end at the highest frequency that a voice's speech has.

    Measured on speech at 160 and at 96 kbit/s, the search takes half the time, with 1 and 6 dB more signal to noise. The end at
    12 kHz of speech of 24 kHz takes three quarters of what is left at 160 kbit/s, with the same signal to noise.
    """
    narrow = {"cutoff": rate // 2} if rate <= 24_000 and kbps >= _AAC_WIDE else {}
    return {"aac_coder": "fast", **narrow}


#: All formats; the first suitable one is used.
FORMATS = (
    OutputFormat(
        "mp4", "h264", False, encoders.X264, "aac", "yuv420p", probe_mp4, encoders.H264_NVENC, options=_FAST_AND_EXACT,
        speech_options=_aac_of_speech,
    ),
    OutputFormat(
        "mp4", "hevc", False, encoders.X265, "aac", "yuv420p", probe_mp4, encoders.HEVC_NVENC,
        options={**_FAST_AND_EXACT, "tag:v": "hvc1"},  # the only tag that Apple's players and editors read
        speech_options=_aac_of_speech,
    ),
    OutputFormat(
        "webm", "vp9", False, encoders.VP9, "libopus", "yuv420p", probe_webm, length_slack_s=_OPUS_SLACK_S
    ),
    # The only format with alpha that both browsers and editors read.
    OutputFormat(
        "webm", "vp9", True, encoders.VP9, "libopus", "yuva420p", probe_webm_with_alpha, length_slack_s=_OPUS_SLACK_S
    ),
    OutputFormat(
        "mov", "prores", False, encoders.PRORES, "pcm_s16le", "yuv444p10le", probe_mp4, options=_FAST_AND_EXACT
    ),
    OutputFormat(
        "mov", "prores", True, encoders.PRORES, "pcm_s16le", "yuva444p10le", probe_mov_with_alpha, options=_FAST_AND_EXACT
    ),
)  # fmt: skip


def format_for(name: VideoFormat, codec: str | None, transparent: bool) -> OutputFormat:
    """Return the format of a manifest's `format` and `codec` for frames with (`transparent`) or without alpha."""
    return next(
        form for form in FORMATS if (form.name, form.transparent) == (name, transparent) and codec in (None, form.codec)
    )
