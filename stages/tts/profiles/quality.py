"""Measures how suitable a recording is for a voice profile.

Levels are in dB of full scale. Accent, singing and reverberation are not detected.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.tts.profiles.music import hiss_share, scale_likeness
from stages.tts.profiles.speakers import speaker_distance
from stages.tts.timing import STEPS_PER_S, Samples, step_levels

#: A step is speech if its level is above this share of the range from noise to speech.
_SPEECH_SHARE = 0.4
#: Shorter pauses count as speech. s
_JOIN_S = 0.25
#: Range of a voice's pitch. Hz
_LOWEST, _HIGHEST = 65.0, 420.0
_FRAME_S = 0.04
#: Lowest autocorrelation after one period of a sound with a pitch; 1 is the highest.
_PERIODIC = 0.6
#: Two groups of phrases at least this far apart in pitch are usually two people. Semitones
_TWO_VOICES = 6.5
#: The pitch of a voice changes by more than this from step to step; that of a note does not. Semitones per 10 ms
_STILL = 0.03
#: Above this likeness to a scale it is a melody; below this share of hiss it is not speech (`stages.tts.profiles.music`).
_MELODY, _NO_HISS = 0.4, 0.01
_FULL_SCALE = 0.999  # clipped from here; 1 is full scale
#: Highest reported ratio of speech to pauses; quieter pauses are digital silence. dB
_QUIETEST_DB = 60.0

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RecordingQuality:
    """Measurements of a recording.

    Attributes:
        seconds: length; `speech_s`: length without pauses.
        level_db, noise_db: mean level of the speech and of the quietest tenth.
        snr_db: their difference; small for music or constant noise, which have no pauses.
        clipped: share of clipped samples.
        pitch_hz: median over the voiced parts; 0 where there are none.
        voiced: share of the speech with a pitch.
        still: share of the voiced parts with a constant pitch, as in music.
        hiss: share of the speech that is hiss (s, f, t), which only speech has together with a pitch.
        scale: likeness of the pitches to a scale of semitones, as in a melody; 0 to 1.
        second_pitch_hz: pitch of a second, distant group of phrases, as of a second person; 0 where there is none.
        apart: distance of two groups of phrases by their vowels; see `stages.tts.profiles.speakers`.
    """

    seconds: float
    speech_s: float
    level_db: float
    noise_db: float
    snr_db: float
    clipped: float
    pitch_hz: float
    voiced: float
    still: float
    hiss: float
    scale: float
    second_pitch_hz: float
    apart: float

    def record(self) -> dict[str, Any]:
        """Return the rounded values for profile.yaml and the status file."""
        digits = {"clipped": 4, "voiced": 2, "still": 2, "hiss": 3, "scale": 2, "seconds": 2, "speech_s": 2}
        return {key: round(float(value), digits.get(key, 1)) for key, value in asdict(self).items()}

    @property
    def unlike_speech(self) -> str:
        """Return why it cannot be one person speaking, as a phrase; empty if it can."""
        if self.still >= 0.5:
            return "its pitch is constant for long stretches, as in music"
        if self.voiced < 0.15:
            return "hardly any part has the pitch of a voice"
        if self.snr_db < 8.0:
            return f"it has no pauses, or the noise is almost as loud as the voice ({self.snr_db:.0f} dB between them)"
        if self.scale > _MELODY:
            return "its pitch follows a scale, as in music"
        if self.hiss < _NO_HISS:
            return "it lacks the hissing sounds of speech, such as s, f and t"
        return ""


def measure_quality(samples: Samples, rate: int) -> RecordingQuality:
    """Measure a recording: float32 [n] within ±1, at `rate` Hz."""
    levels = step_levels(samples, rate)
    speech = speech_steps(levels)
    noise = float(np.percentile(levels, 10)) if len(levels) else -120.0
    power = 10.0 ** (levels[speech] / 10.0)
    level = float(10.0 * np.log10(power.mean())) if len(power) else -120.0
    pitch = step_pitches(samples, rate)[: len(levels)]
    talk = speech[: len(pitch)]
    voiced = (pitch > 0) & talk
    first, second = _pitch_groups(pitch, talk)
    return RecordingQuality(
        seconds=len(samples) / rate,
        speech_s=float(speech.sum()) / STEPS_PER_S,
        level_db=level,
        noise_db=noise,
        snr_db=min(level - noise, _QUIETEST_DB),
        clipped=clipped_share(samples),
        pitch_hz=first or (float(np.median(pitch[voiced])) if voiced.any() else 0.0),
        voiced=float(voiced.sum() / max(1, talk.sum())),
        still=_still_share(pitch, voiced),
        hiss=hiss_share(samples, rate, talk),
        scale=scale_likeness(pitch[voiced]),
        second_pitch_hz=second,
        apart=speaker_distance(samples, rate, np.where(talk, pitch, 0.0), _flag_runs(talk)),
    )


def speech_steps(levels: Floats) -> Bools:
    """Return which steps of 10 ms are speech, short pauses included, bool [steps], from levels in dB."""
    if not len(levels):
        return np.zeros(0, np.bool_)
    low, high = np.percentile(levels, [10, 95])
    low = max(float(low), float(high) - 60.0)
    loud = levels > max(low + _SPEECH_SHARE * (float(high) - low), -60.0)
    edges = np.flatnonzero(loud)
    joined = loud.copy()
    for before, after in itertools.pairwise(edges):
        if after - before <= _JOIN_S * STEPS_PER_S:
            joined[before:after] = True
    return joined


def clipped_share(samples: Samples) -> float:
    """Return the share of samples at full scale beside another one."""
    full = np.abs(samples) >= _FULL_SCALE
    return float((full[1:] & full[:-1]).sum() / max(1, len(samples)))


def step_pitches(samples: Samples, rate: int) -> Floats:
    """Return the pitch of each 10 ms in Hz, 0 where there is none, float64 [steps], by autocorrelation."""
    size, hop = round(_FRAME_S * rate), rate // STEPS_PER_S
    shortest, longest = int(rate / _HIGHEST), int(rate / _LOWEST)
    found = np.zeros(max(0, (len(samples) - size) // hop + 1))
    window = np.hanning(size)
    bias = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * size)) ** 2)[: longest + 2]
    for start in range(0, len(found), 500):  # in constant memory
        at = np.arange(start, min(start + 500, len(found)))
        frames = samples[at[:, None] * hop + np.arange(size)].astype(np.float64)
        frames = (frames - frames.mean(axis=1, keepdims=True)) * window
        like = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * size, axis=1)) ** 2, axis=1)[:, : longest + 2]
        like = like / np.maximum(like[:, :1], 1e-9) / (bias / bias[0])
        # Take the shortest lag that is nearly the best, because its multiples, an octave lower, are as good.
        part = like[:, shortest : longest + 1]
        best = part.max(axis=1)
        lag = shortest + np.argmax(part > 0.9 * best[:, None], axis=1)
        lag = np.array([_climb(row, int(peak), longest) for row, peak in zip(like, lag, strict=True)])
        rows = np.arange(len(lag))
        left, here, right = like[rows, lag - 1], like[rows, lag], like[rows, lag + 1]
        bend = left - 2 * here + right
        shift = np.where(np.abs(bend) > 1e-9, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0.0)
        good = (best > _PERIODIC) & (lag > shortest) & (lag < longest)
        found[at] = np.where(good, rate / (lag + np.clip(shift, -0.5, 0.5)), 0.0)
    return found


def _climb(row: Floats, lag: int, longest: int) -> int:
    """Move from the first lag that is good enough to the peak after it."""
    while lag < longest and row[lag + 1] > row[lag]:
        lag += 1
    return lag


def _still_share(pitch: Floats, voiced: Bools) -> float:
    """Return the share of voiced steps around which (five steps) the pitch is constant."""
    semitones = 12.0 * np.log2(np.maximum(pitch, 1.0))
    moves = np.abs(np.diff(semitones))
    both = voiced[1:] & voiced[:-1]
    if both.sum() < 20:
        return 0.0
    rolling = np.convolve(np.where(both, moves, 1.0), np.ones(5) / 5, "same")
    return float((rolling[both] < _STILL).mean())


def _pitch_groups(pitch: Floats, talk: Bools) -> tuple[float, float]:
    """Return the pitch of the larger and the smaller group of phrases, in Hz; (0, 0) where there are not two groups."""
    phrases = [
        (float(np.median(pitch[first:last][pitch[first:last] > 0])), int((pitch[first:last] > 0).sum()))
        for first, last in _flag_runs(talk)
        if (pitch[first:last] > 0).sum() >= 0.2 * STEPS_PER_S
    ]
    if len(phrases) < 2:
        return 0.0, 0.0
    phrases.sort()
    notes = 12.0 * np.log2(np.array([hz for hz, _ in phrases]))
    weights = np.array([count for _, count in phrases], np.float64)
    cuts = np.arange(1, len(notes))
    centres = [
        (np.average(notes[:cut], weights=weights[:cut]), np.average(notes[cut:], weights=weights[cut:])) for cut in cuts
    ]
    # The cut with the least scatter on both sides.
    scatter = [
        (weights[:cut] * (notes[:cut] - low) ** 2).sum() + (weights[cut:] * (notes[cut:] - high) ** 2).sum()
        for cut, (low, high) in zip(cuts, centres, strict=True)
    ]
    at = int(np.argmin(scatter))
    low, high = centres[at]
    share = min(weights[: at + 1].sum(), weights[at + 1 :].sum()) / weights.sum()
    if high - low < _TWO_VOICES or share < 0.15:
        return 0.0, 0.0
    larger = weights[: at + 1].sum() >= weights[at + 1 :].sum()
    first, second = (low, high) if larger else (high, low)
    return float(2.0 ** (first / 12.0)), float(2.0 ** (second / 12.0))


def _flag_runs(flags: Bools) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
