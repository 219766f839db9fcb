"""Writes the finished speech in the format that a job of `kind: speech` asks for, with its tags."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.errors import TRIED_AGAIN, LackingError, UnknownError
from daemon.jobs.video_files import SoundFormat, choose_sound_format, sound_file
from daemon.system.fs import artifact
from stages.context import Context
from stages.media.disclosure import declares_trained, file_tags, title_tag
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error, ffmpeg_path
from stages.media.ffmpeg_encoders import listed_encoders
from stages.media.sound_track import decode_command
from stages.media.wav import open_wav

#: IPTC's term for sound that a trained network made.
_SYNTHETIC = "trainedAlgorithmicMedia"
#: Encoders pad the sound by up to so much. s
_SLACK_S = 0.1
_CHECK_RATE = 16_000  # Hz
_CHUNK_BYTES = 1 << 17


@dataclass(frozen=True)
class _SoundEncoder:
    """ffmpeg's encoder of a format, its options, and the muxer."""

    name: str
    options: tuple[str, ...]
    muxer: str


_ENCODERS: dict[SoundFormat, _SoundEncoder] = {
    "wav": _SoundEncoder("copy", (), "wav"),
    "mp3": _SoundEncoder("libmp3lame", ("-q:a", "2", "-id3v2_version", "3"), "mp3"),
    "opus": _SoundEncoder("libopus", ("-b:a", "64k", "-ar", "48000"), "opus"),
    "flac": _SoundEncoder("flac", ("-sample_fmt", "s16"), "flac"),
}


def encoding(form: SoundFormat) -> tuple[str, ...]:
    """Return ffmpeg's options that write samples of 16 bits in a format."""
    encoder = _ENCODERS[form]
    return ("-c:a", encoder.name, *encoder.options, "-f", encoder.muxer)


def generated_tags(title: str | None, label: str) -> dict[str, str]:
    """Return the metadata of a file of generated speech, by ffmpeg's names. `label`: `stages.tts.label`."""
    return file_tags(title, label, _SYNTHETIC)


def write_sound_file(ctx: Context, engine: str) -> None:
    """Write `speech.wav` in the manifest's `format`, and remove it where that is another one.

    Args:
        engine: that of the speech; "brought": it is a recording, which is labelled as generated only where it says so itself.

    Raises:
        LackingError: `encoder-missing`.
        UnknownError: `ffmpeg-failed`, `speech-broken`.
        MachineError: `ffmpeg-missing`, `disk-full`.
    """
    form = choose_sound_format(ctx.manifest.format)
    encoder, program = _ENCODERS[form], ffmpeg_path()
    if encoder.name not in ("copy", *listed_encoders(program)):
        raise LackingError(
            "encoder-missing",
            f"The ffmpeg in use has no encoder {encoder.name}, which `format: {form}` needs.",
            "Unset AVATAR_FFMPEG to use the ffmpeg that was installed with avatard, which has it.",
        )
    title, label = ctx.manifest.title, ctx.settings.stages.tts.label
    recorded = engine == "brought" and not declares_trained(ctx.source("audio"))
    tags = title_tag(title) if recorded else generated_tags(title, label)
    source, target = ctx.path("speech.wav"), ctx.path(sound_file(f".{form}"))
    with open_wav(source) as file:
        seconds = file.count / file.rate
    with artifact(target) as temporary:
        command = [
            program, "-hide_banner", "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-f", "wav",
            "-i", f"file:{source.absolute()}", "-map", "0:a:0", "-map_metadata", "-1", *encoding(form),
            *(word for key, value in tags.items() for word in ("-metadata", f"{key}={value}")),
            "-fflags", "+bitexact", "-flags:a", "+bitexact", "-y", f"file:{temporary.absolute()}",
        ]  # fmt: skip
        with FfmpegProcess(command, ctx.job_dir) as process:
            status = process.finish()
        if status != 0:
            raise ffmpeg_error(status, process.log, f"the speech could not be written as {form}")
        if abs((found := _decoded_s(ctx, temporary.name)) - seconds) > _SLACK_S:
            raise UnknownError(
                "speech-broken", f"The {form} file has {found:.2f} s instead of {seconds:.2f} s of sound.", TRIED_AGAIN
            )
    if target != source:
        source.unlink()


def _decoded_s(ctx: Context, name: str) -> float:
    with FfmpegProcess(decode_command(name, _CHECK_RATE), ctx.job_dir, read=True) as process:
        count = sum(len(data) for data in iter(lambda: process.stdout.read(_CHUNK_BYTES), b""))
        status = process.finish()
    return count / 2 / _CHECK_RATE if status == 0 else 0.0
