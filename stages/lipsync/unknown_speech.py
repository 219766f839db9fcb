"""Speech between known words: somebody was recorded who says more than the text, and the mouth must not stand still."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lipsync.audio_features import RATE, Sound
from stages.lipsync.mouth_from_phones import frame_times

FloatArray = npt.NDArray[np.float32]

#: A gap shorter than this is a pause between words, whatever is heard in it. s
_LEAST_GAP_S = 0.4
#: Least speech in a gap, and how loud it is: breath and rooms are softer. s, part of loud speech
_LEAST_SPEECH_S, _SPEECH = 0.15, 0.4
#: The mouth goes over from one course to the other in this time. s
_TURN_S = 0.06


def unknown_speech(phones: list[dict[str, Any]], sound: Sound) -> list[tuple[float, float]]:
    """Gaps between phones, from and to in s, in which there is speech."""
    duration = float(sound.duration)
    edges = [0.0, *(float(phone[edge]) for phone in phones for edge in ("start", "end")), duration]
    found = []
    for start, end in list(pairwise(edges))[::2]:
        heard = sound.loudness[round(start * RATE) : round(end * RATE)] > _SPEECH
        if end - start >= _LEAST_GAP_S and heard.sum() >= _LEAST_SPEECH_S * RATE:
            found.append((start, end))
    return found


def fill(mouth: FloatArray, by_ear: FloatArray, gaps: list[tuple[float, float]], fps: Fraction) -> None:
    """Let the mouth follow the other course inside the gaps, in place."""
    time = frame_times(len(mouth), fps)
    for start, end in gaps:
        share = np.clip(np.minimum(time - start, end - time) / _TURN_S, 0, 1).astype(np.float32)[:, None]
        mouth *= 1 - share
        mouth += share * by_ear
