"""Decodes the job's sound file into speech.wav, and writes its words with their times, if they are known, into timing.json.

The file is untrusted until ffmpeg has decoded it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from daemon.errors import JobError
from daemon.jobs.companions import copy_name
from daemon.system.fs import artifact
from stages.context import Context
from stages.facts import SpeechFacts
from stages.media.beginnings import SOUNDS, incomplete, is_mp4, kind_by_beginning, what_else
from stages.media.declared_length import declared_s, describe_truncation
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error
from stages.media.loudness import TARGET_LUFS, measure_loudness, normalise_loudness
from stages.media.sound_track import SILENT_PEAK_DB, NoSoundError, SoundMix, choose_mix, decode_command
from stages.media.wav import open_wav_writer, read_wav_blocks
from stages.tts.kept_words import find_or_take_over
from stages.tts.recorded_words import warn_of_missing_words
from stages.tts.timing_file import write_timing
from stages.tts.track import check_speech_length

SAMPLE_RATE = 48_000  # Hz; that of the video's sound track, so that sound is resampled at most once
#: Shortest accepted file; a shorter one contains no word. s
MIN_AUDIO_S = 0.1
#: Speech below this gets a warning: it is hard to hear beside other videos. LUFS
QUIET_LUFS = -30.0

#: The sound file in messages.
_FILE = "The file named in `audio`"
_ACCEPTED_FORMATS = "WAV, MP3, M4A, FLAC, OGG or Opus"
_CHUNK_BYTES = 1 << 17
#: So much of a file is decoded to see whether it can be. s
_FIRST_S = 1.0
#: The stage gets more time after each such length of decoded sound. s
_TIME_GRANT_S = 10.0


def decode_recording(ctx: Context) -> SpeechFacts:
    """Decode the job's sound file to 48 kHz mono, and find the words of the manifest's `text` in it, or recognise its words.

    Keeps the level, unless `stages.tts.level_audio` is on.

    Raises:
        JobError: `audio-unreadable`, `audio-empty`, `audio-silent`, `audio-too-long`, `audio-truncated`.
    """
    target = ctx.path("speech.wav")
    with artifact(target) as temporary:
        samples, peak, complaints = _decode_to_wav(ctx, temporary)
        if samples < MIN_AUDIO_S * SAMPLE_RATE:
            raise JobError(
                "audio-empty",
                f"The sound file contains {samples / SAMPLE_RATE:.2f} s of sound; at least {MIN_AUDIO_S:g} s expected.",
                "Provide a recording of speech.",
            )
        if peak < 10.0 ** (SILENT_PEAK_DB / 20.0):
            raise JobError("audio-silent", "The sound file is silent.", "Provide a recording with an audible voice.")
    seconds = samples / SAMPLE_RATE
    _check_complete(ctx, seconds)
    ctx.allow_seconds(ctx.settings.lanes.timeout.base_s + ctx.settings.lanes.timeout.per_audio_s * seconds)
    if ctx.settings.stages.tts.level_audio:
        with artifact(target) as temporary:
            loudness = normalise_loudness(lambda: read_wav_blocks(target), SAMPLE_RATE, samples, temporary)
    else:
        loudness = measure_loudness(read_wav_blocks(target), SAMPLE_RATE, ctx.job_dir)
    if loudness < QUIET_LUFS:
        ctx.warnings.append(
            f"The sound is very quiet ({loudness:.0f} LUFS; videos usually have {TARGET_LUFS:.0f}); its level was not changed."
            if np.isfinite(loudness)
            else "The sound is too quiet or too short to measure its loudness; its level was not changed."
        )
    if complaints:
        ctx.warnings.append("The sound file is damaged in places; the readable parts are used.")
    ctx.progress(0.3)
    words, known = find_or_take_over(ctx, seconds)
    timing = write_timing(
        ctx.path("timing.json"),
        "brought",
        "aligned",
        SAMPLE_RATE,
        seconds,
        words.language,
        words.sentences,
        words.phones,
    )
    if words.sentences:
        warn_of_missing_words(ctx, words, timing.method, len({phone.word for phone in timing.phones}))
    facts: SpeechFacts = {
        "engine": "brought",
        "why": "the manifest names a sound file",
        "method": timing.method,
        "audio_s": round(seconds, 3),
        "words": len(timing.words),
        "sentences": len(timing.sentences),
    }
    if np.isfinite(loudness):
        facts["loudness_lufs"] = round(loudness, 1)
    if words.recogniser:
        facts["recogniser"] = words.recogniser
    if known:
        facts["words_kept"] = True
    return facts


def check_recording(ctx: Context) -> float | None:
    """Check, from its first second and what it declares, that the job's sound file can be decoded and is not too long.

    Returns: the declared length, s; None if none is declared.

    Raises:
        JobError: `audio-empty`, `audio-unreadable`, `audio-truncated`, `audio-too-long`.
        MachineError: `ffmpeg-missing`.
    """
    name = copy_name("audio")
    if ctx.path(name).stat().st_size == 0:
        raise JobError("audio-empty", "The sound file is empty (0 bytes).", "Copy it again.")
    with FfmpegProcess(decode_command(name, SAMPLE_RATE, most_s=_FIRST_S), ctx.job_dir, read=True) as ffmpeg:
        while ffmpeg.stdout.read(_CHUNK_BYTES):
            pass
        status = ffmpeg.finish()
    if status != 0:
        raise decode_error(status, ffmpeg.log, ctx.path(copy_name("audio")))
    seconds = declared_s(ctx.path(name))
    if seconds is not None:
        check_speech_length(round(seconds), round(ctx.settings.stages.tts.max_audio_s), 1)
    return seconds


def _check_complete(ctx: Context, seconds: float) -> None:
    """Reject a file that ends early, because it may still be being copied. Accepts it with a warning if it has not changed
    for `companion_wait_s`.
    """
    why = describe_truncation(ctx.source("audio"), seconds)
    if why is None:
        return
    if ctx.still_s.get(copy_name("audio"), 0.0) < ctx.settings.intake.companion_wait_s:
        raise JobError(
            "audio-truncated",
            f"The sound file is incomplete: {why}.",
            f"Copy it again, then put the manifest into the inbox again. A file that stays unchanged in the inbox for "
            f"{ctx.settings.intake.companion_wait_s:.0f} s before its manifest arrives is used as it is.",
        )
    ctx.warnings.append(f"The sound file ends early: {why}.")


def _decode_to_wav(ctx: Context, target: Path) -> tuple[int, float, str]:
    """Decode the sound to `target`. Returns the number of samples, the peak (0 to 1), and ffmpeg's log."""
    most_s = ctx.settings.stages.tts.max_audio_s
    limit = round(most_s * SAMPLE_RATE)
    mix = sound_mix(copy_name("audio"), ctx.job_dir, most_s + 1.0, _TimeGrants(ctx).decoded)
    ctx.warnings.extend(mix.notes)
    samples, peak, grants = 0, 0, _TimeGrants(ctx)
    with FfmpegProcess(decode_command(copy_name("audio"), SAMPLE_RATE, mix), ctx.job_dir, read=True) as ffmpeg:
        with open_wav_writer(target, SAMPLE_RATE) as sink:
            while data := ffmpeg.stdout.read(_CHUNK_BYTES):
                samples += len(data) // 2
                check_speech_length(samples, limit, SAMPLE_RATE)
                grants.decoded(samples / SAMPLE_RATE)
                levels = np.abs(np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int32))
                peak = max(peak, int(levels.max(initial=0)))
                sink.writeframesraw(data)
        status = ffmpeg.finish()
    if status != 0:
        raise decode_error(status, ffmpeg.log, ctx.path(copy_name("audio")))
    return samples, peak / 32768, ffmpeg.log


class _TimeGrants:
    """Gives the stage more time as the file is decoded, since its length is known only then."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._next_s = _TIME_GRANT_S

    def decoded(self, seconds: float) -> None:
        if seconds >= self._next_s:
            self._next_s += _TIME_GRANT_S
            self._ctx.allow_seconds(self._ctx.settings.lanes.timeout.base_s)


def sound_mix(
    name: str,
    folder: Path,
    most_s: float,
    on_block: Callable[[float], None] = lambda _: None,
    *,
    what: str | None = None,
) -> SoundMix:
    """Say how a job's sound file is mixed to mono; see `choose_mix`.

    Args:
        what: the file, as messages name it; None: as the manifest's.

    Raises:
        JobError: `audio-unreadable`, `audio-truncated`.
    """
    try:
        return choose_mix(name, folder, most_s, on_block)
    except NoSoundError as exc:
        if exc.status != 0:
            raise decode_error(exc.status, exc.log, folder / name, what or _FILE) from exc
        raise JobError(
            "audio-unreadable",
            f"{what or _FILE} contains no sound: its values are not numbers, or far beyond full scale.",
            "Export it again, for example as a 16-bit WAV file.",
        ) from exc


def decode_error(status: int, log: str, file: Path, what: str = _FILE) -> Exception:
    """Return the error for a file that ffmpeg could not decode.

    Args:
        status: exit status of ffmpeg; negative for a signal.
        log: what ffmpeg wrote to stderr.
        file: that file.
        what: the file, as the message names it.
    """
    if status < 0 or "No space left" in log:
        return ffmpeg_error(status, log, "the sound file could not be decoded")
    if "moov atom not found" in log and is_mp4(file):
        return JobError(
            "audio-truncated",
            f"{what} is incomplete: its index, which programs write last, is missing.",
            "Copy it again; a recording that broke off can be repaired with the program that made it.",
        )
    if "matches no streams" in log:
        return JobError("audio-unreadable", f"{what} has no sound track.", f"Provide a {_ACCEPTED_FORMATS} file.")
    if kind := kind_by_beginning(file, SOUNDS):
        return JobError("audio-truncated", f"{what} {incomplete(file, kind)}.", "Copy it again.")
    other = what_else(file)
    told = f"{what} is {other}, not a sound file." if other else f"{what} is not a readable sound file."
    return JobError("audio-unreadable", told, f"Provide a {_ACCEPTED_FORMATS} file.")
