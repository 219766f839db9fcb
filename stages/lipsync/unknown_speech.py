"""Moves the mouth during recorded speech that is not in the text, between the known words."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stages.lipsync.audio_features import READINGS_PER_S, AudioFeatures
from stages.lipsync.inner_grid import frame_times, frames_between
from stages.tts.timing import Phone

FloatArray = npt.NDArray[np.float32]

#: A gap shorter than this is a pause between words, even if sound is heard in it. s
_LEAST_GAP_S = 0.4
#: Minimum duration of speech in a gap (s), and its minimum loudness (fraction of loud speech): breath and noise are softer.
_LEAST_SPEECH_S, _SPEECH = 0.15, 0.4
#: Time in which the mouth blends from one course into the other. s
_TURN_S = 0.06


def find_unknown_speech(phones: Sequence[Phone], audio: AudioFeatures) -> list[tuple[float, float]]:
    """Find gaps between phones that contain speech, as (start, end) in s."""
    duration = float(audio.duration)
    edges = [0.0, *(edge for phone in phones for edge in (phone.start, phone.end)), duration]
    found = []
    for start, end in list(pairwise(edges))[::2]:
        heard = audio.loudness[round(start * READINGS_PER_S) : round(end * READINGS_PER_S)] > _SPEECH
        if end - start >= _LEAST_GAP_S and heard.sum() >= _LEAST_SPEECH_S * READINGS_PER_S:
            found.append((start, end))
    return found


def fill_gaps(mouth: FloatArray, by_ear: FloatArray, gaps: list[tuple[float, float]], fps: Fraction) -> None:
    """Replace the mouth's course inside the gaps by `by_ear`, in place; both are [frames, len(MOUTH)]."""
    time = frame_times(len(mouth), fps)
    for start, end in gaps:
        inside = frames_between(time, start, end)
        moment = time[inside]
        share = np.clip(np.minimum(moment - start, end - moment) / _TURN_S, 0, 1).astype(np.float32)[:, None]
        mouth[inside] *= 1 - share
        mouth[inside] += share * by_ear[inside]
