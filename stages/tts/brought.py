"""A sound file that the user brought → speech.wav. The file is hostile until decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daemon.errors import JobError
from daemon.fs import artifact
from stages.context import Context, Facts
from stages.ffmpeg import Ffmpeg, failure, ffmpeg_path
from stages.tts.wav import Meter, check_length, save_timing, wav_writer

SAMPLE_RATE = 48_000  # Hz; what the video's sound track has, so that it is resampled at most once
#: Shorter files hold no word. s
MIN_AUDIO_S = 0.1
#: A file whose loudest sample is below this is silent. dB of full scale
SILENT_DB = -60.0

#: Speech below this is hard to hear beside other videos. dB of full scale
QUIET_DB = -40.0

#: Formats that hold their own sound. Playlists (hls, concat, ffmetadata, …) would open other files and are not here.
_DEMUXERS = (
    "aac,ac3,eac3,aiff,amr,ape,asf,au,caf,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)
_KINDS = "WAV, MP3, M4A, FLAC, OGG or Opus"
_CHUNK_BYTES = 1 << 17


def bring(ctx: Context) -> Facts:
    """Decode the job's `source.audio`. It is made mono and 48 kHz, and otherwise left as it is.

    Raises:
        JobError: `audio-unreadable`, `audio-empty`, `audio-silent`, `audio-too-long`.
    """
    meter = Meter(SAMPLE_RATE)
    with artifact(ctx.path("speech.wav")) as temporary:
        samples, complaints = _decode(ctx, temporary, meter)
        if samples < MIN_AUDIO_S * SAMPLE_RATE:
            raise JobError(
                "audio-empty",
                f"The sound file holds {samples / SAMPLE_RATE:.2f} s of sound.",
                f"Bring at least {MIN_AUDIO_S:g} s of speech.",
            )
        if meter.peak < 10.0 ** (SILENT_DB / 20.0):
            raise JobError("audio-silent", "The sound file is silent.", "Bring a recording with a voice that is heard.")
    seconds = samples / SAMPLE_RATE
    if meter.loudness_db < QUIET_DB:
        ctx.warnings.append(f"The sound is very quiet ({meter.loudness_db:.0f} dB); it is kept as it is.")
    if complaints:
        ctx.warnings.append("The sound file is damaged in places; what could be read of it is used.")
    save_timing(ctx.path("timing.json"), _timing(seconds, ctx.manifest.language))
    return {
        "engine": "brought",
        "why": "the job brings its own sound",
        "audio_s": round(seconds, 3),
        "words": 0,
        "sentences": 0,
        "loudness_db": round(meter.loudness_db, 1),
    }


def _timing(seconds: float, language: str) -> dict[str, object]:
    return {
        "version": 1,
        "engine": "brought",
        "method": "energy",
        "sample_rate": SAMPLE_RATE,
        "duration": seconds,
        "language": language,
        "sentences": [],
        "words": [],
        "phones": [],
    }


def _decode(ctx: Context, target: Path, meter: Meter) -> tuple[int, str]:
    """Write the decoded sound to `target`. Returns its samples and what ffmpeg complained about."""
    limit = round(ctx.settings.stages.tts.max_audio_s * SAMPLE_RATE)
    samples = 0
    with Ffmpeg(_command(), ctx.job_dir, read=True) as ffmpeg:
        with wav_writer(target, SAMPLE_RATE) as sink:
            while data := ffmpeg.stdout.read(_CHUNK_BYTES):
                samples += len(data) // 2
                check_length(samples, limit, SAMPLE_RATE)
                meter.add(np.frombuffer(data, "<i2").astype(np.float32) / 32768.0)
                sink.writeframesraw(data)
        status = ffmpeg.finish()
    if status != 0:
        raise _unreadable(status, ffmpeg.log)
    return samples, ffmpeg.log


def _command() -> list[str]:
    # The name is ours and so is the folder, so nothing in the manifest can become an option or a protocol.
    return [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-v", "error", "-threads", "1", "-max_alloc", str(256 << 20),
        "-protocol_whitelist", "file,pipe", "-format_whitelist", _DEMUXERS, "-i", "file:source.audio",
        "-map", "0:a:0", "-vn", "-sn", "-dn", "-ac", "1", "-ar", str(SAMPLE_RATE), "-c:a", "pcm_s16le",
        "-flags", "+bitexact", "-f", "s16le", "pipe:1",
    ]  # fmt: skip


def _unreadable(status: int, log: str) -> Exception:
    if status < 0 or "No space left" in log:
        return failure(status, log, "the sound file could not be decoded")
    if "matches no streams" in log:
        return JobError("audio-unreadable", "The file named in `audio` has no sound track.", f"Bring a {_KINDS} file.")
    return JobError(
        "audio-unreadable", "The file named in `audio` is not a sound file that can be read.", f"Bring a {_KINDS} file."
    )
