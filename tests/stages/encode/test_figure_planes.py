"""The planes that figures are sampled from: repainted in part they are those of the repainted figure."""

from __future__ import annotations

import numpy as np
import pytest

from stages.encode import figure_planes
from stages.encode.figure_planes import FigurePlanes

HEIGHT, WIDTH = 96, 128


@pytest.fixture(params=[1, 2], ids=["very large", "enlarged"])
def scale(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The scale of the planes: of a picture that is larger than what is enlarged, and of one that is not."""
    if request.param == 1:
        monkeypatch.setattr(figure_planes, "_MOST_ENLARGED", HEIGHT * WIDTH - 1)
    return int(request.param)


@pytest.mark.parametrize(
    "box",
    [
        (40, 60, 50, 81),
        (0, 9, 0, 20),
        (HEIGHT - 11, HEIGHT, WIDTH - 30, WIDTH),
        (3, 20, 6, 17),
        (70, HEIGHT - 3, 90, 125),
    ],
    ids=["amid", "corner", "other corner", "close to a corner", "close to the other"],
)
def test_a_repainted_box_is_as_if_it_had_been_so_from_the_start(box: tuple[int, int, int, int], scale: int) -> None:
    random = np.random.default_rng(1)
    figure = random.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    rows, columns = slice(*box[:2]), slice(*box[2:])
    repainted = figure.copy()
    repainted[rows, columns, :3] = random.integers(0, 256, (*figure[rows, columns].shape[:2], 3), dtype=np.uint8)

    planes, expected, before = FigurePlanes(figure), FigurePlanes(repainted), FigurePlanes(figure)
    planes.repaint(repainted[rows, columns], (rows, columns))

    assert planes.scale == scale
    for name in ("luma", "alpha", "chroma"):
        assert np.array_equal(getattr(planes, name), getattr(expected, name)), name
    planes.restore()
    for name in ("luma", "alpha", "chroma"):
        assert np.array_equal(getattr(planes, name), getattr(before, name)), name


def test_a_quad_holds_four_neighbours_and_beyond_the_border_the_picture_is_mirrored(scale: int) -> None:
    figure = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    figure[0, :, 3] = figure[:, 0, 3] = 255
    planes = FigurePlanes(figure)
    for y, x in ((0, 0), (10, 20), (HEIGHT - 2, WIDTH - 2)):
        quad = planes.alpha[planes.margin + y * scale, planes.margin + x * scale]
        assert quad.tolist() == figure[y : y + 2, x : x + 2, 3].ravel().tolist()
    for y, x in ((-3, 5), (7, -6), (-4, -2)):
        quad = planes.alpha[planes.margin + y * scale, planes.margin + x * scale]
        assert quad[0] == figure[abs(y), abs(x), 3]


def test_a_figure_that_ends_before_the_border_does_not_come_in_from_beyond_it(scale: int) -> None:
    # Given a figure that the left border cuts, and that ends three px below the upper one
    figure = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    figure[3:, :60] = 200, 150, 100, 255
    planes, cut = FigurePlanes(figure), FigurePlanes(figure[3:-1])
    # Then it goes on beyond the left border, and not beyond the upper one
    margin = planes.margin
    assert not planes.alpha[: margin - scale].any()
    assert not planes.luma[: margin - scale].any()
    above = planes.chroma[: margin // scale // 2 - 1]
    assert (above == above[0, -1]).all()
    assert (planes.alpha[margin + 10 * scale : -margin - 10, : margin + 40] == 255).all()
    assert (cut.alpha[: cut.margin + 40, margin : margin + 40] == 255).all()
