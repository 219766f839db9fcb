"""How good a recording is as a model for a voice: what can be measured without understanding it.

Levels are in dB of full scale. What cannot be told by these means is not told: an accent, singing, an echoing room.
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

#: Between the noise in the pauses and the speech itself, how far up a step must be to count as speech.
_SPEECH_SHARE = 0.4
#: Pauses shorter than this belong to what is said around them. s
_JOIN_S = 0.25
#: A voice's pitch, Hz. Below and above it there are other things.
_LOWEST, _HIGHEST = 65.0, 420.0
_FRAME_S = 0.04
#: How alike a sound must be after one period to have a pitch (1: exactly).
_PERIODIC = 0.6
#: Two groups of phrases this far apart in pitch are two people, mostly. Semitones
_TWO_VOICES = 6.5
#: A note stays where it is; a voice moves from step to step by more than this. Semitones in 10 ms
_STILL = 0.03
#: Nearer to a scale is a melody, and with less that hisses it is no speech; see `stages.tts.profiles.music`.
_MELODY, _NO_HISS = 0.4, 0.01
_FULL_SCALE = 0.999  # of full scale
#: Pauses quieter than this below the speech were made by a machine, and tell nothing about a room. dB
_QUIETEST_DB = 60.0

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RecordingQuality:
    """What was measured.

    Attributes:
        seconds: length of what was measured; `speech_s`: without the pauses.
        level_db, noise_db: mean level of the speech and of the quietest tenth.
        snr_db: their difference. Where there is no pause, music or an even noise plays, and it is small.
        clipped: share of samples that are cut off at full scale.
        pitch_hz: median of the voiced parts; 0 where there is none.
        voiced: share of the speech that has a pitch.
        still: share of the voiced parts in which the pitch stands still, as it does in music.
        hiss: share of the speech that is s, f, t and the like; hardly anything but speech has both these and a pitch.
        scale: how near the pitches stand to a scale of semitones, as a melody's do; 0 to 1.
        second_pitch_hz: another group of phrases with a pitch far away, as of a second person; 0 where there is none.
        apart: how far phrases fall into two groups by the colour of their vowels; see `stages.tts.profiles.speakers`.
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
        """For profile.yaml and the status."""
        digits = {"clipped": 4, "voiced": 2, "still": 2, "hiss": 3, "scale": 2, "seconds": 2, "speech_s": 2}
        return {key: round(float(value), digits.get(key, 1)) for key, value in asdict(self).items()}

    @property
    def unlike_speech(self) -> str:
        """Why it cannot be one person speaking, in words; empty where it can."""
        if self.still >= 0.5:
            return "its pitch stands still, as that of music does"
        if self.voiced < 0.15:
            return "hardly any of it has the pitch of a voice"
        if self.snr_db < 8.0:
            return f"it never pauses, or the noise is almost as loud as the voice ({self.snr_db:.0f} dB between them)"
        if self.scale > _MELODY:
            return "its pitches are those of a scale, as in music"
        if self.hiss < _NO_HISS:
            return "nothing in it hisses, as s, f and t do in speech"
        return ""


def measure_quality(samples: Samples, rate: int) -> RecordingQuality:
    """Measure float32 [n] within ±1."""
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
    """Which steps of 10 ms are speech, with the short pauses in it."""
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
    """Share of samples that stand at full scale together with a neighbour."""
    full = np.abs(samples) >= _FULL_SCALE
    return float((full[1:] & full[:-1]).sum() / max(1, len(samples)))


def step_pitches(samples: Samples, rate: int) -> Floats:
    """Pitch of each 10 ms in Hz, 0 where there is none: the lag after which the sound is most like itself."""
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
        # Of lags that are nearly as good as the best, the shortest: its multiples are as good, and an octave too low.
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
    """From the first lag that is good enough, up to its peak."""
    while lag < longest and row[lag + 1] > row[lag]:
        lag += 1
    return lag


def _still_share(pitch: Floats, voiced: Bools) -> float:
    """Share of the voiced steps in whose surroundings (five steps) the pitch does not move."""
    semitones = 12.0 * np.log2(np.maximum(pitch, 1.0))
    moves = np.abs(np.diff(semitones))
    both = voiced[1:] & voiced[:-1]
    if both.sum() < 20:
        return 0.0
    rolling = np.convolve(np.where(both, moves, 1.0), np.ones(5) / 5, "same")
    return float((rolling[both] < _STILL).mean())


def _pitch_groups(pitch: Floats, talk: Bools) -> tuple[float, float]:
    """Pitch of the phrases; and of a second group of them, where they fall into two that are far apart (else 0)."""
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
