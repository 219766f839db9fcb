"""Finds which sound track and channels of a file have sound, and how loud it is, before the file is mixed down to mono.

A blind downmix loses the voice: channels of opposite phase cancel each other, a voice in one of two channels gets half as loud,
and the first track may be silent while the second speaks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from stages.media.ffmpeg import FfmpegProcess, ffmpeg_path
from stages.media.untrusted_input import SOUND_FORMATS, input_options

_MOST_TRACKS = 8
#: A track whose peak is below this is silent. dB of full scale
SILENT_PEAK_DB = -60.0
#: A channel so much softer than the loudest carries only crosstalk. dB
_CROSSTALK_DB = -30.0
#: A centre channel, where speech is mixed, is taken alone if it is at most so much softer than the loudest. dB
_CENTRE_DB = -6.0
#: Unrelated channels lose 3 dB when they are averaged; those that lose more than this cancel each other. dB
_CANCELLED_DB = -7.0
#: Bits of WAV's channel mask.
_CENTRE, _LOW_FREQUENCY = 1 << 2, 1 << 3
_BLOCK_FRAMES = 1 << 15


@dataclass(frozen=True)
class SoundMix:
    """How a file becomes mono.

    Attributes:
        track: number of the sound track, from 0.
        weights: factor of each of its channels.
        gain: factor, at most 1, that keeps the peak within full scale.
        notes: sentences for the user about what is not as usual.
    """

    track: int
    weights: tuple[float, ...]
    gain: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def filters(self) -> str:
        """The ffmpeg filters that mix the track's channels to one."""
        terms = "+".join(f"{weight * self.gain:.6f}*c{at}" for at, weight in enumerate(self.weights) if weight)
        return f"aformat=sample_fmts=fltp,pan=mono|c0={terms}"


class NoSoundError(ValueError):
    """The file cannot be decoded: `status` of ffmpeg and its `log`; status 0: its values are not those of sound."""

    def __init__(self, status: int, log: str) -> None:
        super().__init__(log)
        self.status, self.log = status, log


@dataclass
class _Levels:
    """What one track contains.

    Attributes:
        power: sums of products of the channels, [channels, channels].
        peaks: largest absolute value of each channel, [channels].
        mask: WAV's channel mask; 0 if the layout is not known.
        frames, invalid: numbers of values per channel, and of values that are not finite.
    """

    power: npt.NDArray[np.float64]
    peaks: npt.NDArray[np.float64]
    mask: int
    frames: int = 0
    invalid: int = 0

    @property
    def silent(self) -> bool:
        return bool(self.peaks.max(initial=0.0) < 10.0 ** (SILENT_PEAK_DB / 20.0))


def choose_mix(name: str, folder: Path, most_s: float, on_block: Callable[[float], None] = lambda _: None) -> SoundMix:
    """Decode a file's sound once and say how to mix it.

    Args:
        name: the file, relative to `folder`.
        most_s: only so much of it is looked at, s.
        on_block: called with the length decoded so far, s.

    Raises:
        NoSoundError: ffmpeg cannot decode the file, or its values are not those of sound.
        MachineError: `ffmpeg-missing`.
    """
    first: _Levels | None = None
    for track in range(_MOST_TRACKS):
        try:
            levels = _measure(name, folder, track, most_s, on_block)
        except NoSoundError:
            if first is None:
                raise
            break  # there is no other track
        if not levels.silent:
            return _mix_of(levels, track)
        first = first or levels
    assert first is not None
    return SoundMix(0, (1.0 / len(first.peaks),) * len(first.peaks))


def decode_command(name: str, rate: int, mix: SoundMix | None = None, most_s: float | None = None) -> list[str]:
    """Return the ffmpeg command that writes a file's sound to stdout: 16-bit mono at `rate` Hz.

    Args:
        name: the file.
        rate: Hz.
        mix: from `choose_mix`; None: the first track, all its channels averaged.
        most_s: only so much of it, s; None: all.
    """
    mixing = ["-af", mix.filters] if mix else ["-ac", "1"]
    track = mix.track if mix else 0
    length = ["-t", f"{most_s:.3f}"] if most_s is not None else []
    return [*_input(name), "-map", f"0:a:{track}", *length, *mixing, "-ar", str(rate), "-c:a", "pcm_s16le",
            "-flags", "+bitexact", "-f", "s16le", "pipe:1"]  # fmt: skip


def _input(name: str) -> list[str]:
    return [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-v", "error", "-max_alloc", str(256 << 20), "-threads", "1",
        *input_options(name, SOUND_FORMATS), "-vn", "-sn", "-dn",
    ]  # fmt: skip


def _mix_of(levels: _Levels, track: int) -> SoundMix:
    power = levels.power / max(1, levels.frames)
    own = np.diag(power)
    notes: list[str] = []
    if track:
        notes.append(f"The first sound track of the file is silent; track {track + 1} is used.")
    chosen = _chosen_channels(own, levels.mask)
    weights = np.zeros(len(own))
    weights[chosen] = 1.0 / len(chosen)
    if len(chosen) > 1 and weights @ power @ weights < _ratio(_CANCELLED_DB) * own[chosen].mean():
        loudest = int(own.argmax())
        weights = np.eye(len(own))[loudest]
        notes.append(f"The channels of the sound cancel each other; only channel {loudest + 1} is used.")
    peak = float(weights @ levels.peaks)
    if peak > 1.0:
        notes.append(
            f"The sound is up to {20 * np.log10(peak):.1f} dB above full scale; it is made softer by as much, so that nothing "
            "is cut off."
        )
    return SoundMix(track, tuple(weights.tolist()), 1.0 / max(1.0, peak), tuple(notes))


def _chosen_channels(own: npt.NDArray[np.float64], mask: int) -> list[int]:
    """The channels to average: the centre alone if it has the voice, else all that have sound. `own`: their mean squares."""
    names = [bit for bit in (1 << at for at in range(32)) if mask & bit][: len(own)]
    audible = [at for at, value in enumerate(own) if value >= _ratio(_CROSSTALK_DB) * own.max()]
    if len(own) > 2 and _CENTRE in names and own[names.index(_CENTRE)] >= _ratio(_CENTRE_DB) * own.max():
        return [names.index(_CENTRE)]
    deep = names.index(_LOW_FREQUENCY) if _LOW_FREQUENCY in names else -1
    return [at for at in audible if at != deep] or audible


def _ratio(decibels: float) -> float:
    return float(10.0 ** (decibels / 10.0))


def _measure(name: str, folder: Path, track: int, most_s: float, on_block: Callable[[float], None]) -> _Levels:
    command = [*_input(name), "-map", f"0:a:{track}", "-t", f"{most_s:.3f}", "-c:a", "pcm_f32le", "-map_metadata", "-1",
               "-bitexact", "-f", "wav", "pipe:1"]  # fmt: skip
    with FfmpegProcess(command, folder, read=True) as ffmpeg:
        head = _read_head(ffmpeg.stdout)
        levels = None if head is None else _sum_up(ffmpeg.stdout, *head, on_block)
        status = ffmpeg.finish()
    if levels is None or status != 0:
        raise NoSoundError(status or 1, ffmpeg.log)
    if levels.invalid > levels.frames * len(levels.peaks) / 2 or levels.peaks.max(initial=0.0) > _BEYOND_SOUND:
        raise NoSoundError(0, "")
    return levels


#: Some programs write floats on the scale of 16-bit values. Larger ones are no sound.
_BEYOND_SOUND = 65_536.0


def _sum_up(stream: IO[bytes], channels: int, rate: int, mask: int, on_block: Callable[[float], None]) -> _Levels:
    levels = _Levels(np.zeros((channels, channels)), np.zeros(channels), mask)
    while data := stream.read(4 * channels * _BLOCK_FRAMES):
        values = np.frombuffer(data[: len(data) // (4 * channels) * 4 * channels], "<f4").reshape(-1, channels)
        finite = np.isfinite(values)
        levels.invalid += int(values.size - np.count_nonzero(finite))
        block = np.where(finite, values, 0.0).astype(np.float64)
        levels.power += block.T @ block
        levels.peaks = np.maximum(levels.peaks, np.abs(block).max(axis=0, initial=0.0))
        levels.frames += len(block)
        on_block(levels.frames / rate)
    return levels


def _read_head(stream: IO[bytes]) -> tuple[int, int, int] | None:
    """Read a WAV header up to its data: channels, rate in Hz, channel mask (0: none); None if there is none."""
    if len(stream.read(12)) < 12:
        return None
    channels, rate, mask = 0, 0, 0
    while len(head := stream.read(8)) == 8:
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            return (channels, rate, mask) if channels and rate else None
        body = stream.read(size + size % 2)
        if kind == b"fmt ":
            channels, rate = struct.unpack_from("<HI", body, 2)
            mask = struct.unpack_from("<I", body, 20)[0] if len(body) >= 24 else 0
    return None
