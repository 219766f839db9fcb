"""Eyes and mouth are encoded more finely than the rest of the picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.context import Context
from stages.encode.formats.fine_areas import fine_areas
from stages.encode.video import write_video
from stages.face import mesh
from stages.face.sampling import blur
from tests.support.stages.sound_jobs import Picture, Stripes, beep_job

pytestmark = pytest.mark.usefixtures("models")

#: Where a small eye is, and a place of the same size elsewhere: rows and columns.
EYE, ELSEWHERE = (slice(40, 56), slice(40, 64)), (slice(40, 56), slice(200, 224))


class Blinks(Stripes):
    """A grey picture with grain, where two dark blue places are as bright as skin for two frames."""

    SHUT = (11, 12)

    def pictures(self) -> Iterator[Picture]:
        """Yield the frames as BGR."""
        grain = blur(np.random.default_rng(3).normal(0, 30, (16, 24)), 1.5)[..., None]
        for index in range(self.frame_count):
            frame = np.full((self.height, self.width, 3), 120, np.uint8)
            colour = (120, 150, 200) if index in self.SHUT else (70, 40, 40)
            for place in (EYE, ELSEWHERE):
                frame[place] = np.clip(colour + grain, 0, 255)
            yield frame


def with_face(ctx: Context, left: int = 0) -> Context:
    """Give a job a face whose eyes are at `EYE`, and whose mouth is below them; the picture lies `left` px from the border."""
    points = np.zeros((mesh.POINT_COUNT, 3))
    for upper, lower, _ in mesh.EYES:
        points[list(upper), 0] = np.linspace(40, 64, len(upper))
        points[list(lower), 0] = np.linspace(40, 64, len(lower))
        points[list(upper), 1], points[list(lower), 1] = 40, 56
    for lip in (mesh.UPPER_LIP_OUTER, mesh.LOWER_LIP_OUTER):
        points[list(lip), :2] = (52, 90)
    video = {"width": 320 + left, "height": 192, "left": left, "top": 0}
    record = {"width": 320, "height": 192, "landmarks": points.tolist(), "video": video}
    ctx.path("face.json").write_text(json.dumps(record))
    return ctx


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_short_blink_keeps_its_colours(tmp_path: Path, codec: str) -> None:
    # Given a picture in which an eye, and something elsewhere, change for two frames
    ctx = with_face(beep_job(tmp_path, codec=codec))
    source = Blinks(ctx, 320, 192)
    # When it is encoded
    write_video(ctx, source)
    # Then the eye has its own colours in these frames, much more than what is elsewhere
    video, off = cv2.VideoCapture(str(ctx.path("video.mp4"))), []
    for index, drawn in enumerate(source.pictures()):
        _, seen = video.read()
        if index in source.SHUT:
            off.append(
                [(seen[place].astype(float) - drawn[place])[2:-2, 2:-2].std(axis=(0, 1)) for place in (EYE, ELSEWHERE)]
            )
    eye, elsewhere = np.mean(off, axis=(0, 2))
    assert eye < 0.75 * elsewhere


def test_areas_lie_where_the_face_is_in_the_video(tmp_path: Path) -> None:
    # Given a face in a picture, and in one that has a border
    plain, bordered = (fine_areas(with_face(beep_job(tmp_path / name), left)) for name, left in (("a", 0), ("b", 64)))
    # Then eyes and mouth have an area each, which moves with the picture
    assert [(area.left, area.top, area.height) for area in plain] == [(28, 28, 40), (43, 81, 23)]
    assert [area.left for area in bordered] == [92, 107]
    # And without a face there is none
    assert fine_areas(beep_job(tmp_path / "c")) == ()
