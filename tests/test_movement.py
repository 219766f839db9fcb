"""The head's figures in benchmarks/video/quality.py: a head that slides scores worse than one that turns, and a fold is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.video import head_fields, movement
from benchmarks.video.measures import Faces, Series, follow
from stages.face import mesh
from tests.support.stages.picture_jobs import smiling

FPS = 25.0


def _faces(yaw: Series, pitch: Series, shift: Series) -> Faces:
    """A rigid head of random points whose eyes are 60 px apart, turned by degrees and then shifted by px, [frames, 2]."""
    points = np.random.default_rng(1).normal(0, 40, (mesh.POINT_COUNT, 3))
    for (upper, _, _), x in zip(mesh.EYES, (-30, 30), strict=True):
        points[[upper[0], upper[-1]]] = [[x - 10, 0, 20], [x + 10, 0, 20]]
    frames = []
    for across, down, by in zip(np.radians(yaw), np.radians(pitch), shift, strict=True):
        turned = points @ np.array(
            [[np.cos(across), 0, np.sin(across)], [0, 1, 0], [-np.sin(across), 0, np.cos(across)]]
        )
        turned = turned @ np.array([[1, 0, 0], [0, np.cos(down), -np.sin(down)], [0, np.sin(down), np.cos(down)]])
        frames.append(turned + np.array([*by, 0.0]))
    return Faces(np.array(frames, np.float32), np.zeros((0, 478, 3), np.float32), 256, FPS)


def test_a_slide_scores_worse_than_a_turn() -> None:
    time = np.arange(200) / FPS
    across, down, still = np.sin(2 * np.pi * 0.3 * time), np.sin(2 * np.pi * 0.45 * time), np.zeros_like(time)
    slide = _faces(still, still, 60 * np.stack([0.08 * across, 0.09 * down], axis=1))  # as far as heads travel
    turn = _faces(7 * across, 9 * down, np.zeros((200, 2)))
    slid, turned = (movement.head_figures(movement.head_track(faces)) for faces in (slide, turn))
    assert slid["yaw_range"] == pytest.approx(0, abs=0.05)
    assert slid["pitch_range"] == pytest.approx(0, abs=0.05)
    assert slid["sideways_std"] == pytest.approx(0.08 / 2**0.5, rel=0.05)
    assert turned["yaw_range"] == pytest.approx(14, rel=0.05)
    assert turned["pitch_range"] == pytest.approx(18, rel=0.05)
    assert movement.head_score(slid) < movement.head_score(turned) - 0.2


def test_lips_and_jaw_are_no_turn_of_the_head() -> None:
    still = np.zeros(100)
    faces = _faces(still, still, np.zeros((100, 2)))
    points = faces.full.copy()
    lower = [*mesh.LOWER_LIP_INNER, *mesh.LOWER_LIP_OUTER, mesh.CHIN]
    points[:, lower, 1] += 15 * np.sin(np.arange(100))[:, None]
    assert movement.head_track(replace(faces, full=points)).pitch == pytest.approx(0, abs=1e-3)


def test_lips_are_measured_at_one_size_however_close_the_picture_is() -> None:
    # Given a portrait, and the same cropped to little more than the face
    whole = np.asarray(smiling(), np.uint8)[..., ::-1]
    close = whole[90:-40, 130:-130]
    widths = []
    for frame in (whole, close):
        # When both are followed
        faces = follow([frame], FPS)
        widths.append(float(np.linalg.norm(faces.small[0, 61, :2] - faces.small[0, 291, :2])))
    # Then the mouth counts as many pixels in both
    assert widths[1] == pytest.approx(widths[0], rel=0.08)


@pytest.mark.parametrize("fps", [25.0, 60.0])
def test_the_time_of_a_closure_is_found_between_frames(fps: float) -> None:
    phones = [{"phone": "b", "start": 1.0, "end": 1.08}]
    for closing in (40.0, 80.0, 160.0):
        gaps = 0.3 * np.clip((1.04 - np.arange(2 * fps) / fps) / (closing / 1000), 0, 1)
        assert movement.closing_ms(gaps, fps, phones) == pytest.approx(closing, abs=1000 / fps / 2)


def test_a_fold_has_a_negative_determinant_and_its_stretch_is_told() -> None:
    x = np.arange(20, dtype=np.float32) * 4
    field = np.zeros((20, 20, 2), np.float32)
    field[..., 0] = -1.5 * x  # p → -0.5 p
    least, most = head_fields.stretches(head_fields.jacobian(field, 4))
    assert least * most == pytest.approx(-0.5)
    turned = np.stack(np.broadcast_arrays(-x[:, None] * 0.5, x[None] * 0.5), axis=-1)  # a turn with a stretch of √1.25
    least, most = head_fields.stretches(head_fields.jacobian(np.asarray(turned, np.float32), 4))
    assert [least.mean(), most.mean()] == pytest.approx([1.25**0.5] * 2)
