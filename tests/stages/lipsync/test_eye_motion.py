"""Gaze over time: fixations and jumps, away in pauses, on the camera in phrases and when the head turns."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.lipsync.eye_motion import EyeMotion, add_eye_motion
from stages.lipsync.motion_track import PARAMETERS

DURATION, FPS = 60.0, Fraction(50)
#: A pause of 0.6 s every 3 s.
PAUSES = np.arange(2.4, DURATION - 1, 3.0)
ONSETS = PAUSES + 0.6


def eyes(seed: int = 3, gaze: float = 1.0, yaw: float = 0.0) -> dict[str, npt.NDArray[np.float32]]:
    values = np.zeros((round(DURATION * FPS), len(PARAMETERS)), np.float32)
    values[:, PARAMETERS.index("head_yaw")] = yaw
    add_eye_motion(values, FPS, DURATION, PAUSES, ONSETS, EyeMotion(1.0, gaze, seed))
    return {name: values[:, PARAMETERS.index(name)] for name in ("gaze_x", "gaze_y", "blink_left")}


def test_eyes_jump_between_fixations_as_a_speakers_do() -> None:
    # Given a minute
    for seed in range(5):
        track = eyes(seed)
        x, moving = track["gaze_x"], np.abs(np.diff(track["gaze_x"])) > 1e-5
        # Then the gaze is spread as in videos of people (0.015 of the eyes' distance, about 2.1 eye widths, and more)
        assert 0.025 < x.std() < 0.07
        # It stands still most of the time, and no jump takes longer than 80 ms
        assert moving.mean() < 0.2
        edges = np.flatnonzero(np.diff(np.concatenate([[0], moving.astype(int), [0]])))
        assert max(edges[1::2] - edges[::2]) <= 0.08 * FPS + 2


def test_speakers_look_away_in_pauses_and_at_the_camera_in_phrases() -> None:
    # Given the distance from the camera over many seeds, in the second half of pauses and in phrases
    time = np.arange(round(DURATION * FPS)) / float(FPS)
    after = (time[:, None] - PAUSES[None]) % 3.0
    place = after[:, 0]
    pause, phrase = (place > 0.2) & (place < 0.5), (place > 1.2) & (place < 2.2)
    away: Any = np.mean([np.abs(eyes(seed)["gaze_x"]) for seed in range(20)], axis=0)
    # Then
    assert away[pause].mean() > 2 * away[phrase].mean()


def test_eyes_stay_on_the_camera_when_the_head_turns() -> None:
    # Given the same minute with the head turned to the picture's right
    difference = eyes(yaw=4.0)["gaze_x"] - eyes()["gaze_x"]
    # Then the eyes turn to its left, by a part of the 0.007 eye widths for each degree
    middle = difference[50:-50]
    assert (middle < 0).all()
    assert 0.4 < -middle.mean() / (4.0 * 0.007) < 1.0


def test_without_gaze_the_eyes_stay_as_in_the_picture_and_blink_as_before() -> None:
    # Given, when
    still, other = eyes(gaze=0.0), eyes()
    # Then
    assert not still["gaze_x"].any()
    assert not still["gaze_y"].any()
    assert (still["blink_left"] == other["blink_left"]).all()
    assert np.abs(other["gaze_x"][[0, -1]]).max() < 1e-6
