"""A second of speech costs the same in a lecture as in a greeting: no step looks at all frames of the video for each sound."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from stages.lipsync import mouth_from_phones
from stages.lipsync.eye_motion import EyeMotion, add_eye_motion
from stages.lipsync.idle_motion import IdleMotion, add_idle_motion
from stages.lipsync.motion_track import PARAMETERS
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
        mouth = mouth_from_phones.to_frames(mouth_from_phones.blend_visemes(segments, duration), frames, FPS)
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
    short, long = elements(monkeypatch, 1), elements(monkeypatch, 8)
    assert long < 8 * 1.15 * short
