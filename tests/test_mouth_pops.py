"""The measure of sudden changes between the lips: teeth that vanish in one frame are found, and those that lips cover are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.video.measures import LOWER_INNER, UPPER_INNER, Faces
from benchmarks.video.mouth_pops import worst_pop
from stages.face import mesh

Picture = npt.NDArray[np.uint8]


def _faces(gaps: list[float]) -> Faces:
    """Mouths 100 px wide around (100, 100), open by so many px."""
    points = np.zeros((len(gaps), mesh.POINT_COUNT, 3), np.float32)
    points[:, [61, 291], :2] = [[50, 100], [150, 100]]
    for x, upper, lower in zip(np.linspace(60, 140, len(UPPER_INNER)), UPPER_INNER, LOWER_INNER, strict=True):
        points[:, upper, :2], points[:, lower, 0] = (x, 100), x
        points[:, lower, 1] = 100 + np.array(gaps)
    return Faces(points, points[:0], 256, 25.0)


def _frame(teeth: int) -> Picture:
    return np.full((200, 200, 3), teeth, np.uint8)


def test_teeth_that_vanish_between_two_frames_are_a_pop() -> None:
    # Given teeth that vanish at once between still lips, and others that grow dark within ten frames
    still = _faces([20.0] * 12)
    sudden = worst_pop([_frame(200 if index < 5 else 40) for index in range(12)], still)
    slow = worst_pop([_frame(200 - 16 * min(index, 10)) for index in range(12)], still)
    # When both are measured / Then the first is found, at its frame
    assert sudden.frame == 4
    assert sudden.levels > 150
    assert slow.levels < 20


def test_lips_that_move_explain_a_change() -> None:
    # Given teeth that vanish in one frame while the lips part widely, and all of them while the lips are shut
    frames = [_frame(200), _frame(40)]
    assert worst_pop(frames, _faces([20.0, 40.0])).levels < 0.4 * worst_pop(frames, _faces([20.0, 20.0])).levels
    assert worst_pop(frames, _faces([20.0, 1.0])).frame == -1
