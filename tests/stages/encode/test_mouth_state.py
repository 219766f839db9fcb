"""What is painted of a frame's mouth, how much of it, and in which order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stages.face
from stages.encode.bare_lips import BareLips
from stages.encode.mouth_state import MouthState
from stages.face.rig.rig import load_measured_rig
from stages.lipsync.motion_track import PARAMETERS
from tests.support.stages.picture_jobs import face_of, job, portrait_of, smiling


def state(is_open: bool = True, **parameters: float) -> MouthState:
    return MouthState.of({**dict.fromkeys(PARAMETERS, 0.0), **parameters}, is_open)


@pytest.mark.parametrize(("pucker", "lower_lip"), [(0.2, 0.07), (0.15, 0.13)])
def test_the_skin_is_painted_beside_a_ring_however_little_it_is_puckered(pucker: float, lower_lip: float) -> None:
    # Given an "oh" that follows a smile, whose lips are hardly puckered yet / Then no old corners are left beside its ring
    assert state(round=0.5, jaw=0.05, pucker=pucker, lower_lip=lower_lip).drawn_in > 0.85


def test_no_skin_is_painted_beside_an_opening_that_is_no_ring() -> None:
    # Given an "ah" before an "oh", which opens the lips as far as their corners / Then these stay
    assert state(jaw=0.31, round=0.22, pucker=0.15, lower_lip=0.19, upper_lip=0.2).drawn_in < 0.05


def test_the_dark_ends_of_shut_lips_do_not_stay_beside_a_ring() -> None:
    # Given lips that are shut in the picture / Then their line goes as the skin beside them is painted, and not before
    assert state(is_open=False, round=0.3, jaw=0.02, pucker=0.18, lower_lip=0.22, upper_lip=0.1).bare > 0.4
    assert state(is_open=False, jaw=0.5).bare == 0
    # And nothing of it beside the wide ring of a "wow", nor any line at which other lips would touch
    wow = {"round": 0.77, "pucker": 0.36, "lower_lip": 0.15, "upper_lip": 0.2}
    assert state(False, **wow).bare == 1
    assert state(True, close=1.0, **wow).touching == 0


@pytest.mark.usefixtures("models")
def test_bare_lips_leave_the_skin_beside_them_as_it_was_painted(tmp_path: Path) -> None:
    # Given a figure in which the skin beside the lips of a smile is painted by half
    ctx = job(tmp_path / "job", smiling())
    stages.face.run(ctx)
    picture = portrait_of(ctx)
    rig = load_measured_rig(ctx.settings.paths.cache, picture, face_of(ctx))
    lips = BareLips(rig.oral, (picture.shape[1], picture.shape[0]))
    figure = np.dstack([picture[..., ::-1], np.full(picture.shape[:2], 255, np.uint8)])
    lips.put_skin(figure, 0.4)
    by_half = figure[lips.slices].copy()
    # When bare lips are put into it
    kept = lips.put_lips(figure, 1.0, 0.4)
    # Then what is not lip stays as it is: a second coat would end at the border of the mouth's box
    change = np.abs(figure[lips.slices].astype(int) - by_half).max(axis=-1)
    (x, y), (rows, columns) = rig.oral.origin, lips.slices
    bare = rig.oral.bare[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x, 3]
    assert change[bare == 0].max() == 0
    assert change.max() > 20
    assert np.array_equal(kept, by_half)
