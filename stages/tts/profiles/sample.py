"""Decodes recordings and extracts the reference for a voice profile. The files are untrusted until decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daemon.errors import JobError, escape_unprintable
from stages.media.ffmpeg import FfmpegProcess
from stages.media.sound_track import SILENT_PEAK_DB, decode_command
from stages.tts.profiles.quality import RecordingQuality, measure_quality, speech_steps
from stages.tts.recording import decode_error, sound_mix
from stages.tts.timing import STEPS_PER_S, Samples, step_levels

#: Rate of a reference, which XTTS requires. Hz
RATE = 22_050
#: Shortest accepted, recommended, and longest used length of speech. s
LEAST_S, GOOD_S, MOST_S = 3.0, 6.0, 30.0
#: Longest accepted recording. s
LONGEST_S = 900.0
#: Level of the speech in a reference. dB of full scale
LEVEL_DB = -22.0
#: Below this ratio of speech to pauses, the voice copies the noise. dB
NOISY_DB = 20.0
#: A larger share of clipped samples is audible.
CLIPPED = 0.0005
#: Two groups of phrases farther apart are usually two people; see `stages.tts.profiles.speakers`.
TWO_PEOPLE = 2.0
#: Margin around the speech, and silence between two recordings. s
_ROOM_S, _JOIN_S = 0.1, 0.3
_CHUNK_BYTES = 1 << 17


@dataclass(frozen=True)
class VoiceReference:
    """The reference sound of a voice profile.

    Attributes:
        samples: float32 [n] at `RATE`, mono, at most `MOST_S` long.
        quality: measurements; `clipped` and `level_db` are those before levelling.
        warnings: sentences for the user.
    """

    samples: Samples
    quality: RecordingQuality
    warnings: tuple[str, ...]


def make_reference(paths: list[Path], *, by_name: bool = False) -> VoiceReference:
    """Make a reference from recordings of one person.

    Args:
        by_name: messages name the files, because the user knows them by these names.

    Raises:
        JobError: `audio-unreadable`, `audio-silent`, `sample-too-short`, `sample-too-long`, `sample-not-speech`.
        MachineError: ffmpeg is missing, or the machine fails.
    """
    parts = [best_part(decode_sample(path, by_name=by_name), MOST_S) for path in paths]
    raw = _join_samples(parts)[: round(MOST_S * RATE)]
    found = measure_quality(raw, RATE)
    if found.level_db < SILENT_PEAK_DB:
        raise JobError("audio-silent", "The recording is silent.", "Provide one of a person speaking.")
    if found.speech_s < LEAST_S:
        raise JobError(
            "sample-too-short",
            f"The recording has {found.speech_s:.1f} s of speech; a voice needs at least {LEAST_S:g} s.",
            f"Provide {GOOD_S:g} to {MOST_S:g} s of the same person, speaking clearly.",
        )
    if found.unlike_speech:
        raise JobError(
            "sample-not-speech",
            f"The recording does not sound like one person speaking: {found.unlike_speech}.",
            "Provide a clean recording of one person, without music.",
        )
    return VoiceReference(_bring_to_level(raw, found.level_db), found, tuple(_warnings(found)))


def decode_sample(path: Path, *, by_name: bool = False) -> Samples:
    """Decode a file to float32 [n], mono at `RATE`.

    Raises:
        JobError: `audio-unreadable`, `sample-too-long`.
    """
    blocks: list[bytes] = []
    what = escape_unprintable(path.name) if by_name else None
    mix = sound_mix(path.name, path.parent, LONGEST_S + 1.0, what=what)
    with FfmpegProcess(decode_command(path.name, RATE, mix), path.parent, read=True) as ffmpeg:
        size = 0
        while data := ffmpeg.stdout.read(_CHUNK_BYTES):
            blocks.append(data)
            size += len(data)
            if size > 2 * RATE * LONGEST_S:
                raise JobError(
                    "sample-too-long",
                    f"The recording is longer than {LONGEST_S / 60:g} minutes.",
                    f"Cut out {GOOD_S:g} to {MOST_S:g} s of one person speaking clearly.",
                )
        status = ffmpeg.finish()
    if status != 0:
        raise decode_error(status, ffmpeg.log, path, what) if what else decode_error(status, ffmpeg.log, path)
    return np.frombuffer(b"".join(blocks), "<i2").astype(np.float32) / 32768.0


def best_part(samples: Samples, most_s: float) -> Samples:
    """Cut a sound to its speech; where that is longer than `most_s`, to the stretch with most speech and least clipping."""
    levels = step_levels(samples, RATE)
    speech = speech_steps(levels)
    heard = np.flatnonzero(speech)
    if not len(heard):
        return samples[:0]
    hop = RATE / STEPS_PER_S
    room, most = round(_ROOM_S * STEPS_PER_S), round(most_s * STEPS_PER_S)
    first, last = max(0, int(heard[0]) - room), min(len(levels), int(heard[-1]) + 1 + room)
    if last - first > most:
        edges = (np.arange(len(levels) + 1) * hop).astype(int)
        full = np.add.reduceat(np.abs(samples) >= 0.999, np.minimum(edges[:-1], len(samples) - 1)) > 1
        worth = np.concatenate([[0.0], np.cumsum(speech * 1.0 - 5.0 * full)])
        starts = np.arange(first, last - most + 1, STEPS_PER_S // 2)
        first = int(starts[np.argmax(worth[starts + most] - worth[starts])])
        last = first + most
    return samples[round(first * hop) : round(last * hop)]


def _join_samples(parts: list[Samples]) -> Samples:
    gap = np.zeros(round(_JOIN_S * RATE), np.float32)
    return np.concatenate([piece for part in parts for piece in (gap, part)][1:])


def _bring_to_level(samples: Samples, level_db: float) -> Samples:
    """Scale to `LEVEL_DB`, or as near as possible without clipping, which would change the voice."""
    peak = float(np.abs(samples).max(initial=1e-9))
    return samples * np.float32(min(10.0 ** ((LEVEL_DB - level_db) / 20.0), 1.0 / peak))


def _warnings(found: RecordingQuality) -> list[str]:
    told = []
    if found.speech_s < GOOD_S:
        told.append(f"Only {found.speech_s:.1f} s of speech; {GOOD_S:g} s or more give a more similar voice.")
    if found.snr_db < NOISY_DB:
        told.append(
            f"The recording is noisy ({found.snr_db:.0f} dB between speech and pauses); the voice will be noisy too."
        )
    if found.clipped > CLIPPED:
        told.append(f"{100 * found.clipped:.2g} % of the recording is clipped; record it at a lower level.")
    if found.second_pitch_hz:
        told.append(
            f"Some phrases have a pitch of about {found.pitch_hz:.0f} Hz and some of {found.second_pitch_hz:.0f} Hz. "
            "If those are two people, the voice will resemble neither."
        )
    elif found.apart > TWO_PEOPLE:
        told.append(
            "Some phrases seem to be spoken by another person or into another microphone. "
            "If so, the voice will resemble neither."
        )
    return told
