"""How loud speech is, and how it is brought to one loudness, for sound of any length.

Loudness is ITU-R BS.1770's, as ffmpeg measures it (EBU R 128): what people mean by "as loud as that other video".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.ffmpeg import Ffmpeg, failure, ffmpeg_path

Block = npt.NDArray[np.float32]

#: Integrated loudness that speech is brought to: that of podcasts and of most video platforms. LUFS
TARGET_LUFS = -16.0
#: How near it must come; each further try measures everything once more. LU
_NEAR = 0.1
_TRIES = 4
#: Peaks above the knee are bent so that none passes the ceiling, which leaves room for what lies between the samples
#: and for what AAC adds. dB of full scale
KNEE_DB, CEILING_DB = -5.0, -1.6
#: Most that a quiet signal is raised: what is softer than this is mostly noise. dB
MAX_GAIN_DB = 20.0
#: What ffmpeg says of sound in which nothing counts.
_NOTHING_LUFS = -70.0
_INTEGRATED = re.compile(r"lavfi\.r128\.I=(-?[\d.]+)")


def measure(blocks: Iterable[Block], rate: int, folder: Path) -> float:
    """Integrated loudness of a mono signal (±1 floats at `rate` Hz) in LUFS; -inf for silence.

    Args:
        folder: where ffmpeg runs; nothing is written there.

    Raises:
        MachineError: `ffmpeg-missing`, `out-of-memory`.
        UnknownError: `ffmpeg-failed`.
    """
    command = [
        ffmpeg_path(), "-hide_banner", "-nostats", "-v", "info", "-f", "f32le", "-ar", str(rate), "-ac", "1",
        "-i", "pipe:0", "-af", "ebur128=metadata=1:framelog=quiet,ametadata=print:key=lavfi.r128.I", "-f", "null", "-",
    ]  # fmt: skip
    with Ffmpeg(command, folder, feed=True) as ffmpeg:
        try:
            for block in blocks:
                ffmpeg.stdin.write(block.astype("<f4", copy=False).tobytes())
        except BrokenPipeError:  # it ended; why is told by its exit status
            pass
        status = ffmpeg.finish()
    if status != 0:
        raise failure(status, ffmpeg.log, "the loudness of the speech could not be measured")
    found = _INTEGRATED.findall(ffmpeg.log)
    lufs = float(found[-1]) if found else _NOTHING_LUFS
    return lufs if lufs > _NOTHING_LUFS else -np.inf


def gain_to_target(blocks: Callable[[], Iterable[Block]], rate: int, folder: Path) -> float:
    """The factor that brings a signal, after `limit`, to `TARGET_LUFS`; 1 for silence.

    Args:
        blocks: gives the signal from its start, each time it is called.
    """
    gain_db = 0.0
    for _ in range(_TRIES):
        factor = _factor(gain_db)
        away = TARGET_LUFS - measure((limit(block * factor) for block in blocks()), rate, folder)
        if not np.isfinite(away):
            return 1.0
        wanted = min(gain_db + away, MAX_GAIN_DB)
        if abs(wanted - gain_db) < _NEAR:
            break
        gain_db = wanted
    return float(_factor(gain_db))


def limit(samples: Block) -> Block:
    """Bend what is above the knee smoothly towards the ceiling; speech passes it in a few peaks only."""
    knee, ceiling = _factor(KNEE_DB), _factor(CEILING_DB)
    size = np.abs(samples)
    over = np.maximum(size - knee, np.float32(0.0))
    bent = knee + (ceiling - knee) * np.tanh(over / (ceiling - knee))
    return np.where(size > knee, np.sign(samples) * bent, samples).astype(np.float32)


def _factor(decibels: float) -> np.float32:
    return np.float32(10.0 ** (decibels / 20.0))
