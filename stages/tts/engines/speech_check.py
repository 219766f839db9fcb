"""Checks by signal measurements whether a sound is speech.

A wrongly computed network returns NaN, noise, a tone or a clipped wave instead of an error. Unlike these, speech has a level
that rises and falls with each syllable, and a spectrum that is not flat. The bounds are far from all measured speech
(docs/voices-figures.md, `benchmarks/voice/speech_check.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.tts.engines.base import Piece, SpokenPart
from stages.tts.text.spoken_length import expected_length_as_written
from stages.tts.timing import STEPS_PER_S, UNKNOWN_PHONE, Phone, Samples, step_levels

Wave = npt.NDArray[np.float64]

NOT_FINITE = "it contains NaN or infinity"
#: A sound with a peak below this is silent; the quietest measured "Mm." is thirty times as loud. Full scale is 1.
SILENT_PEAK = 0.001
#: A sound with a peak above this is not a voice. Full scale is 1.
_TOO_LOUD = 8.0
#: Window of the mean that is removed; longer than a period of the lowest voice. s
_OFFSET_S = 0.05
#: Steps of 10 ms at most this far below the loudest one are active. dB
_ACTIVE_DB = 40.0
#: Lowest standard deviation of the level over all active steps, and over any stretch of `_STRETCH_S`. dB, dB, s
_STEADY_DB, _STRETCH_DB, _STRETCH_S = 2.0, 0.3, 0.75
#: Shortest active sound whose level is judged. s
_JUDGED_S = 0.1
#: Highest spectral flatness, on average and throughout a stretch of `_HISS_WINDOWS`: 0 for a tone, 0.56 for white noise.
_FLAT, _FLAT_STRETCH = 0.3, 0.45
#: Windows overlap by half, so nine last 0.2 s. One counts where it is at most this far below the loudest. dB
_WINDOW_S, _HISS_WINDOWS, _LOUD_DB = 0.04, 9, 30.0
_BAND_HZ = (100.0, 8000.0)
#: Clipped: samples this near to the peak make up this share of the active sound, or last this long at once, s.
_NEAR_PEAK, _CLIPPED_PART, _CLIPPED_S = 0.98, 0.8, 0.02
#: A sound is cut off if its last 10 ms are at most this far below its loudest step. dB
_CUT_DB = 8.0
#: Shortest average duration of a phone, pauses included. s
_LEAST_PHONE_S = 0.03
#: Phones may end this long after the sound. s
_BEYOND_S = 0.06
#: This share of the phones' time must be at most this far below the loudest step (dB), if there are that many phones.
#: Fewer are not judged: an "Oh!" may be half silent.
_HEARD_PART, _HEARD_PHONES, _HEARD_DB = 0.5, 5, 50.0


def speech_faults(parts: Sequence[SpokenPart], rate: int, piece: Piece) -> tuple[str, ...]:
    """Return what is wrong with the speech of a piece, as phrases for a message; empty for nothing.

    Args:
        parts: all parts of the piece.
        rate: Hz.
    """
    if not any(char.isalnum() for word in piece.words for char in word):  # for "—" any sound is accepted
        return next((found for part in parts if (found := value_faults(part.samples))), ())
    for part in parts:
        if found := sound_faults(part.samples, rate) or _phone_faults(part.samples, rate, part.phones):
            return found
    seconds = sum(len(part.samples) for part in parts) / rate
    if not seconds:  # nothing could be said; the stage reports it
        return ()
    expected = expected_length_as_written(piece.words, piece.speed)
    phones = [phone for part in parts for phone in part.phones or () if phone.phone != UNKNOWN_PHONE]
    # Phones count only what was spoken, while the piece may contain letters that the voice skips.
    least = _LEAST_PHONE_S * len(phones) / piece.speed if phones else expected.least
    return length_faults(seconds, least, expected.most)


def length_faults(seconds: float, least: float, most: float) -> tuple[str, ...]:
    """Return a fault if a sound is longer than `most` or shorter than `least`, all in s."""
    if seconds > most:
        return (f"it is {seconds:.1f} s long; at most {most:.1f} s expected",)
    if seconds < least:
        return (f"it is {seconds:.1f} s long; at least {least:.1f} s expected",)
    return ()


def value_faults(samples: Samples) -> tuple[str, ...]:
    """Return a fault for NaN, infinity, or an impossibly high peak."""
    if not np.isfinite(samples).all():
        return (NOT_FINITE,)
    peak = float(np.abs(samples).max(initial=0.0))
    return (f"its peak is {peak:.3g} times full scale",) if peak > _TOO_LOUD else ()


def sound_faults(samples: Samples, rate: int) -> tuple[str, ...]:
    """Return why a sound (float32 [n] at `rate` Hz) is not speech, whatever the text; empty for an empty sound."""
    if not len(samples):
        return ()
    if values := value_faults(samples):
        return values
    signal = _without_offset(samples.astype(np.float64), rate)
    if float(np.abs(signal).max()) < SILENT_PEAK:
        return ("it is silent",)
    level = step_levels(signal.astype(np.float32), rate)
    active = level > level.max() - _ACTIVE_DB
    found: list[str] = []
    if _is_clipped(samples, active, rate):
        found.append("it is clipped")
    if active.sum() >= _JUDGED_S * STEPS_PER_S:
        if float(level[active].std()) < _STEADY_DB or _has_steady_stretch(level, active):
            found.append("its level is constant, as of a tone or noise")
        if _is_noise(signal, rate):
            found.append("it is noise")
        end = step_levels(signal[-rate // STEPS_PER_S :].astype(np.float32), rate)
        if end[0] > level.max() - _CUT_DB:
            found.append("it is cut off at the end")
    return tuple(found)


def _without_offset(signal: Wave, rate: int) -> Wave:
    """Subtract the moving mean over `_OFFSET_S`, which removes any constant offset."""
    half = round(_OFFSET_S * rate / 2)
    sums = np.cumsum(np.concatenate([[0.0], signal]))
    places = np.arange(len(signal))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(signal))
    return np.asarray(signal - (sums[last] - sums[first]) / (last - first))


def _is_clipped(samples: Samples, active: npt.NDArray[np.bool_], rate: int) -> bool:
    height = np.abs(samples)
    full = height >= _NEAR_PEAK * height.max()
    if full.sum() > _CLIPPED_PART * active.sum() * rate / STEPS_PER_S:
        return True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], full.astype(np.int8), [0]])))
    return bool((edges[1::2] - edges[::2]).max(initial=0) > _CLIPPED_S * rate)


def _has_steady_stretch(level: Wave, active: npt.NDArray[np.bool_]) -> bool:
    """Return whether the level is constant for `_STRETCH_S` somewhere, which no voice achieves."""
    width = round(_STRETCH_S * STEPS_PER_S)
    if len(level) < width:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(level, width)
    loud = np.lib.stride_tricks.sliding_window_view(active, width).all(axis=1)
    return bool((windows[loud].std(axis=1) < _STRETCH_DB).any())


def _is_noise(signal: Wave, rate: int) -> bool:
    """Return whether the spectrum is flat, in the power-weighted average or throughout a loud stretch."""
    size = round(_WINDOW_S * rate)
    if len(signal) < size:
        return False
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 2] * np.hanning(size)
    hertz = np.fft.rfftfreq(size, 1 / rate)
    band = (hertz >= _BAND_HZ[0]) & (hertz <= _BAND_HZ[1])
    power = np.abs(np.fft.rfft(frames, axis=1)[:, band]) ** 2 + 1e-14
    mean = power.mean(axis=1)
    flat = np.exp(np.log(power).mean(axis=1)) / mean
    if float(np.average(flat, weights=mean)) > _FLAT:
        return True
    flat[mean < mean.max() * 10 ** (-_LOUD_DB / 10)] = 0.0
    if len(flat) < _HISS_WINDOWS:
        return False
    return bool(np.lib.stride_tricks.sliding_window_view(flat, _HISS_WINDOWS).min(axis=1).max() > _FLAT_STRETCH)


def _phone_faults(samples: Samples, rate: int, phones: Sequence[Phone] | None) -> tuple[str, ...]:
    """Return a fault if the sound does not contain the phones that the engine reports."""
    if not phones or not len(samples):
        return ()
    seconds = len(samples) / rate
    if (end := max(phone.end for phone in phones)) > seconds + _BEYOND_S:
        return (f"it is {seconds:.1f} s long, but its last phone ends at {end:.1f} s",)
    if len(phones) < _HEARD_PHONES:
        return ()
    level = step_levels(samples, rate)
    heard = level > level.max() - _HEARD_DB
    steps = [heard[round(p.start * STEPS_PER_S) : round(p.end * STEPS_PER_S)] for p in phones]
    inside = np.concatenate(steps)
    if len(inside) and inside.mean() < _HEARD_PART:
        return ("it is silent where most of its phones should be",)
    return ()
