"""Bare lips in a figure: they lie under the skin that is painted beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stages.face
from stages.encode.bare_lips import BareLips
from stages.face.rig.rig import load_rig
from tests.support.stages.picture_jobs import face_of, job, portrait_of, smiling

pytestmark = pytest.mark.usefixtures("models")


def test_bare_lips_leave_the_skin_beside_them_as_it_was_painted(tmp_path: Path) -> None:
    # Given a figure in which the skin beside the lips of a smile is painted by half
    ctx = job(tmp_path / "job", smiling())
    stages.face.run(ctx)
    picture, landmarks = portrait_of(ctx), np.array(face_of(ctx)["landmarks"], np.float32)
    rig = load_rig(Path(ctx.settings.paths.cache), picture, landmarks)
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
