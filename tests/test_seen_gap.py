"""The measure of closures: a slight gap counts where the picture shows it, not where only the mesh reads one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import stages.face
from benchmarks.video import measures, seen_gap
from stages.face import mesh
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.lipline import lip_curves
from tests.support.stages.picture_jobs import drawn, face_of, job, portrait_of

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]
#: The lower lip's inner edge in the mesh, without the corners.
LOWER = [88, 178, 87, 14, 317, 402, 318]


def test_lips_that_only_the_mesh_reads_as_apart_are_closed(tmp_path: Path) -> None:
    # Given a mesh that reads a slight gap, in a picture whose lips are shut, and in one that shows the dark of the mouth there
    ctx = job(tmp_path / "job", drawn())
    stages.face.run(ctx)
    shut, points = portrait_of(ctx), np.array(face_of(ctx)["landmarks"], np.float32)
    width = mesh.mouth_width(points)
    line = lip_curves(shut, points, FaceFrame.of(points))[0][10:-10]
    points[LOWER, 1] += 0.06 * width
    parted = shut.copy()
    strip = np.concatenate([line, line[::-1] + np.array([0, 0.06 * width], np.float32)])
    cv2.fillPoly(parted, [np.round(strip).astype(np.int32)], (46, 20, 20))
    faces = measures.Faces(np.stack([points] * 3), points[None][:0], 256, 25.0)
    phones = [{"phone": "b", "start": 0.04, "end": 0.06}]
    ((_, read),) = measures.closures(faces, phones)
    # When the closure is measured
    found = [seen_gap.closures([cv2.cvtColor(one, cv2.COLOR_RGB2BGR)] * 3, faces, phones)[0] for one in (shut, parted)]
    # Then the lips of the first are closed, and those of the second as far apart as they are
    assert read > 0.04
    assert found[0] < 0.03
    assert 0.04 < found[1] <= read
