"""A breath in a pause: lips that part, keep their width and cover the teeth."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.context import Context
from stages.encode.mouth_state import MouthState
from stages.face import mesh
from stages.face.landmarker import shared_landmarker
from stages.lipsync.motion_track import MOUTH
from stages.lipsync.mouth_from_phones import VisemeSegment, add_breaths
from stages.lipsync.visemes import PHONES, REST
from tests.support.stages.picture_jobs import show

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def breath() -> dict[str, float]:
    """The shape of the mouth at the height of a breath before a vowel."""
    frames = np.zeros((50, len(MOUTH)), np.float32)
    pause, vowel = VisemeSegment(0.0, 1.5, REST), VisemeSegment(1.5, 2.0, PHONES["ɑ"][0])
    add_breaths(frames, [pause, vowel], Fraction(25), 1.0)
    return dict(zip(MOUTH, frames[30].tolist(), strict=True)) | {"close": 1.0}


def points_of(frame: Picture) -> npt.NDArray[np.float32]:
    points = shared_landmarker().read_mesh(np.ascontiguousarray(frame[..., ::-1]))
    assert points is not None
    return points


def brightest_inside(frame: Picture) -> float:
    """How bright, nearly at most, what is seen between the lips is; teeth are white, lips and tongue are not."""
    points = points_of(frame)[:, :2]
    outline = np.concatenate([points[list(mesh.UPPER_LIP_INNER)], points[list(mesh.LOWER_LIP_INNER)][::-1]])
    inside = cv2.fillPoly(np.zeros(frame.shape[:2], np.uint8), [np.round(outline).astype(np.int32)], (1,))
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
    return float(np.percentile(frame[inside > 0].min(axis=-1), 98))


def test_lips_part_for_a_breath_and_keep_their_width(ready: Context, breath: dict[str, float]) -> None:
    # Given a breath / When it is drawn, and lips that are shut
    parted, shut = (points_of(frame) for frame in show(ready, breath, {"close": 1.0}))
    # Then the lips are apart and nearly as wide, and no skin is painted over their corners
    assert mesh.lip_gap(parted) > 0.06
    assert mesh.mouth_width(parted) > 0.8 * mesh.mouth_width(shut)
    assert MouthState.of(breath, is_open=True).drawn_in == 0


def test_an_upper_lip_that_hangs_down_keeps_light_off_the_teeth(ready: Context, breath: dict[str, float]) -> None:
    # Given a breath, for which the upper lip hangs down / When it is drawn, and the same with the lip where it is at rest
    hanging, raised = show(ready, breath, {**breath, "upper_lip": 0.0})
    # Then teeth that are bright in the second lie in the shade in the first
    assert brightest_inside(raised) > 130
    assert brightest_inside(hanging) < 0.5 * brightest_inside(raised)


@pytest.mark.parametrize("length", [0.36, 1.5])
def test_teeth_come_into_the_light_by_degrees_as_a_breath_ends(length: float) -> None:
    # Given a breath before a vowel
    frames = np.zeros((75, len(MOUTH)), np.float32)
    add_breaths(
        frames,
        [VisemeSegment(0.5, 0.5 + length, REST), VisemeSegment(0.5 + length, 3.0, PHONES["ɑ"][0])],
        Fraction(25),
        1.0,
    )
    # When it is looked at how far the lips cover the teeth in each frame
    covered = np.array(
        [MouthState.of(dict(zip(MOUTH, frame, strict=True)), is_open=True).covers_teeth for frame in frames]
    )
    # Then they are covered, and no frame uncovers much of them at once
    assert covered.max() > 0.8
    assert covered[-1] == 0
    assert -np.diff(covered).min() < 0.4
