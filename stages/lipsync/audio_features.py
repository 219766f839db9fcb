"""Measures the loudness of speech over time and the energy in bands that tell vowels apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, UnknownError
from stages.media.wav import WavError, WavReader, open_wav

FloatArray = npt.NDArray[np.float32]

#: Readings per second.
READINGS_PER_S = 100
_WINDOW_S = 0.025
#: Bands in Hz: fundamental; first formant of close vowels; first formant of open vowels; second formant of front vowels; hiss.
_BANDS = ((80, 250), (250, 450), (550, 1000), (1700, 2700), (4000, 7500))
#: Readings computed at a time, so that an hour of sound takes no more memory than a minute.
_BLOCK = 1000


@dataclass(frozen=True)
class AudioFeatures:
    """Features of speech over time; reading i is at i / READINGS_PER_S s.

    Attributes:
        duration: exact duration in s.
        loudness: 0 in silence to about 1 in loud speech, [readings].
        bands: energy in each band of `_BANDS`, [readings, 5].
    """

    duration: Fraction
    loudness: FloatArray
    bands: FloatArray


def measure_audio(path: Path) -> AudioFeatures:
    """Measure a 16-bit WAV file.

    Raises:
        UnknownError: `speech-unreadable`: it is no such file; the tts stage must run again.
    """
    try:
        with open_wav(path) as file:
            bands = np.concatenate([np.zeros((0, len(_BANDS)), np.float32), *_read_bands(file)])
    except WavError as exc:
        raise UnknownError("speech-unreadable", f"{path.name} is not a 16-bit WAV file ({exc}).", TRIED_AGAIN) from exc
    return AudioFeatures(Fraction(file.count, file.rate), _loudness(bands), bands)


def _read_bands(file: WavReader) -> Iterator[FloatArray]:
    """Yield band energies block by block; the window of a reading is centred on its time."""
    window = round(_WINDOW_S * file.rate)
    hop = file.rate / READINGS_PER_S
    readings = -(-file.count * READINGS_PER_S // file.rate)
    held, start = np.zeros(window // 2, np.float32), -(window // 2)  # sample number of held[0]
    for first in range(0, readings, _BLOCK):
        last = min(first + _BLOCK, readings)
        need = round((last - 1) * hop) + window
        fresh = _samples(file, need - (start + len(held)))
        held = np.concatenate([held, fresh])
        offsets = np.round(np.arange(first, last) * hop).astype(int) - window // 2 - start
        frames = held[offsets[:, None] + np.arange(window)]
        yield _bands(frames, file.rate)
        keep = round(last * hop) - window // 2 - start
        held, start = held[keep:], start + keep


def _samples(file: WavReader, count: int) -> FloatArray:
    """Return the next mono samples, -1 to 1; silence past the end."""
    mono = file.read(count)
    return np.pad(mono, (0, max(count - len(mono), 0)))


def _bands(frames: FloatArray, rate: int) -> FloatArray:
    size = frames.shape[1]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2 / size
    hertz = np.fft.rfftfreq(size, 1 / rate)
    energy = [power[:, (hertz >= low) & (hertz < high)].sum(axis=1) for low, high in _BANDS]
    return np.asarray(np.stack(energy, axis=1), np.float32)


def _loudness(bands: FloatArray) -> FloatArray:
    """Root of the voiced energy, smoothed over 30 ms, relative to its 95th percentile; 0 below 5 % of that."""
    if not len(bands):
        return np.zeros(0, np.float32)
    root = np.sqrt(bands[:, :4].sum(axis=1) + 0.3 * bands[:, 4])
    smooth = np.convolve(np.pad(root, 2, mode="edge"), np.array([1, 2, 3, 2, 1]) / 9, mode="valid")
    loud = float(np.percentile(smooth[smooth > 0.02 * smooth.max()], 95)) if smooth.max() > 1e-4 else 0.0
    level = smooth / max(loud, 1e-4)
    return np.where(level < 0.05, 0.0, np.minimum(level, 1.5)).astype(np.float32)
