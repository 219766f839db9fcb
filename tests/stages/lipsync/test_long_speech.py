"""A lecture costs no more than a greeting: neither time for each second of speech, as no step looks at all frames of the video
for each sound, nor memory, as the fine grid of times is made piece by piece.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stages.lipsync import inner_grid, mouth_from_phones
from stages.lipsync.audio_features import READINGS_PER_S, AudioFeatures
from stages.lipsync.eye_motion import EyeMotion, add_eye_motion
from stages.lipsync.idle_motion import IdleMotion, add_idle_motion
from stages.lipsync.motion_track import PARAMETERS
from stages.lipsync.mouth_from_sound import mouth_from_sound
from stages.lipsync.unknown_speech import fill_gaps
from stages.tts.timing import Phone

FPS = Fraction(25)
#: A sentence of two seconds, then a pause of half a second.
SENTENCE_S, PAUSE_S = 2.0, 0.5


def phones(duration: float) -> list[Phone]:
    found, clock = [], 0.3
    while clock + SENTENCE_S < duration - 0.5:
        for number in range(20):
            start = clock + 0.1 * number
            found.append(Phone("pɑmˈfi"[number % 6] if number % 6 != 3 else "i", start, start + 0.1, 0, number % 2))
        clock += SENTENCE_S + PAUSE_S
    return found


def sound(duration: float) -> AudioFeatures:
    random = np.random.default_rng(7)
    bands = random.random((int(duration * READINGS_PER_S), 5), np.float32)
    return AudioFeatures(Fraction(int(duration)), bands[:, 0] * np.float32(1.2), bands)


def elements(monkeypatch: pytest.MonkeyPatch, minutes: float) -> int:
    """How many numbers are clipped while the motion of so many minutes is made: every motion's course is clipped."""
    duration, count = 60.0 * minutes, 0
    said, frames = phones(duration), int(60 * minutes * FPS)
    clip = np.clip

    def counted(values: Any, *args: Any, **more: Any) -> Any:
        nonlocal count
        count += np.size(values)
        return clip(values, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(np, "clip", counted)
        segments = mouth_from_phones.segments_of(said, duration)
        mouth = mouth_from_phones.mouth_from_segments(segments, sound(duration), frames, FPS)
        mouth_from_phones.rest_in_pauses(mouth, segments, FPS)
        mouth_from_phones.add_breaths(mouth, segments, FPS, 1.0)
        mouth_from_phones.enforce_touches(mouth, segments, FPS)
        gaps = [(at, at + 1.0) for at in np.arange(1.0, duration - 2.0, 5.0).tolist()]
        fill_gaps(mouth, np.zeros_like(mouth), gaps, FPS)
        values = np.zeros((frames, len(PARAMETERS)), np.float32)
        starts = np.array([phone.start for phone in said])
        pauses = starts[20::20] - PAUSE_S
        add_idle_motion(values, FPS, duration, starts, pauses, IdleMotion(1, 1, 1, 1, 7), duration - 0.5)
        add_eye_motion(values, FPS, duration, pauses, starts[20::20], EyeMotion(1, 1, 7))
    return count


def test_the_work_grows_as_the_speech_does(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = elements(monkeypatch, 0.5), elements(monkeypatch, 4)
    assert long < 8 * 1.15 * short


def mouths(duration: float) -> list[Callable[[], npt.NDArray[np.float32]]]:
    """Make the mouth of so many seconds from phones, and from the sound alone."""
    heard, segments = sound(duration), mouth_from_phones.segments_of(phones(duration), duration)
    frames = int(duration * FPS)
    return [
        lambda: mouth_from_phones.mouth_from_segments(segments, heard, frames, FPS),
        lambda: mouth_from_sound(heard, frames, FPS),
    ]


def test_the_memory_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given short pieces, so that a minute is a long speech
    monkeypatch.setattr(inner_grid, "_PIECE", 6 * inner_grid.GRID_PER_S)

    def bytes_for_a_frame(make: Callable[[], npt.NDArray[np.float32]]) -> float:
        tracemalloc.start()
        mouth = make()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return (peak - mouth.nbytes) / len(mouth)

    for short, long in zip(mouths(12.0), mouths(96.0), strict=True):
        short()  # what is kept from the first call on is not counted
        assert bytes_for_a_frame(long) < bytes_for_a_frame(short) / 4


def test_a_piece_begins_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [make() for make in mouths(95.3)]
    monkeypatch.setattr(inner_grid, "_PIECE", 1_000_000)
    for made, whole in zip(pieces, (make() for make in mouths(95.3)), strict=True):
        assert np.abs(made - whole).max() < 1e-6
