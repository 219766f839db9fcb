"""Chooses the video encoder of a job: NVENC where it works, otherwise one that runs on the processor."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.config.stage_settings import EncodeStage
from daemon.errors import LackingError
from stages.encode.formats import OutputFormat
from stages.encode.formats.encoders import VideoEncoder
from stages.media.ffmpeg import ffmpeg_path
from stages.media.ffmpeg_encoders import forget_trials, listed_encoders, why_encoder_fails

#: NVENC refuses smaller pictures: 145 × 49 px for H.264 on recent GPUs (NVIDIA's support matrix), rounded up. px
_GPU_MIN_SIDE = 160


@dataclass(frozen=True)
class EncoderChoice:
    """A chosen encoder.

    Attributes:
        ffmpeg: path of the program.
        encoder: the video encoder.
        why: the reason, as a phrase for the status.
        on_failure: the encoder to start again with if this one fails in a job; None if there is none.
    """

    ffmpeg: str
    encoder: VideoEncoder
    why: str
    on_failure: VideoEncoder | None = None


def encoding_ffmpeg(settings: EncodeStage) -> str:
    """Return the path of the ffmpeg that encodes videos: `stages.encode.ffmpeg` if set, otherwise the usual one.

    Raises:
        MachineError: `ffmpeg-missing`.
    """
    return ffmpeg_path(str(settings.ffmpeg)) if settings.ffmpeg else ffmpeg_path()


def choose_encoder(settings: EncodeStage, form: OutputFormat, width: int, height: int) -> EncoderChoice:
    """Choose the encoder of a video of `width` × `height` px.

    Raises:
        MachineError: `ffmpeg-missing`.
        LackingError: `encoder-missing`: the ffmpeg lacks an encoder of the format, or the operator demands NVENC
            (`stages.encode.encoder: h264_nvenc`) where it does not work.
    """
    path = encoding_ffmpeg(settings)
    listed = listed_encoders(path)
    if form.audio_encoder not in listed:
        raise _missing(path, form.audio_encoder, form)
    gpu, why = form.gpu_encoder, f"for {form.name}"
    if gpu and settings.encoder == "libx264":
        why = "by stages.encode.encoder"
    elif gpu and min(width, height) < _GPU_MIN_SIDE:
        why = f"{gpu.name} takes no side below {_GPU_MIN_SIDE} px"
    elif gpu:
        reason = _why_not(path, gpu, listed)
        if not reason and settings.encoder == "auto":
            return EncoderChoice(path, gpu, f"{gpu.name} works on this machine", form.encoder)
        if not reason:
            return EncoderChoice(path, gpu, "by stages.encode.encoder")
        if settings.encoder != "auto":
            forget_trials()  # the job is tried again, perhaps after somebody mended it
            raise LackingError(
                "encoder-missing",
                f"stages.encode.encoder is {settings.encoder}, and {reason}.",
                "Set it to auto, which uses NVENC only where it works; or mend the driver, or name an ffmpeg with NVENC in "
                "stages.encode.ffmpeg.",
            )
        why = reason
    if form.encoder.name not in listed:
        raise _missing(path, form.encoder.name, form)
    return EncoderChoice(path, form.encoder, why)


def _why_not(path: str, gpu: VideoEncoder, listed: frozenset[str]) -> str:
    """Return why a GPU's encoder cannot be used; empty if it can. Names no path, since status files show it."""
    if gpu.name not in listed:
        return f"the ffmpeg in use has no {gpu.name}"
    failure = why_encoder_fails(path, gpu.name, gpu.arguments("veryfast", 21))
    return f"{gpu.name} does not work: {failure}" if failure else ""


def _missing(path: str, encoder: str, form: OutputFormat) -> LackingError:
    return LackingError(
        "encoder-missing",
        f"{path} has no encoder {encoder}, which {form.title} needs.",
        "Name an ffmpeg that has it in stages.encode.ffmpeg; without that setting and AVATAR_FFMPEG, the one that was installed "
        "with avatard is used, which has it.",
    )
