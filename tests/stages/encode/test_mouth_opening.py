"""The opening between the lips: which pixels lie in it, and on the cut between both layers."""

from __future__ import annotations

import numpy as np

from stages.encode.mouth import MouthOpening


def opening(upper: float, lower: float) -> MouthOpening:
    """Make an opening between two y in columns 20 to 59; the cut between both layers falls by an eighth of a px each column."""
    columns = np.arange(40, dtype=np.float32)
    top, bottom = (np.full(40, y, np.float32) for y in (upper, lower))
    middle = (top + bottom) / 2 + columns / 8
    return MouthOpening(20, 4, 60, 24, top, bottom, middle, np.full(40, 0.7, np.float32))


def test_a_pixel_is_covered_as_far_as_it_lies_between_the_lips() -> None:
    cover = opening(9.75, 13.25).cover()
    assert np.allclose(cover[[4, 5, 6, 7, 8, 9, 10]], np.array([0, 0, 0.75, 1, 1, 0.75, 0])[:, None], atol=1e-4)


def test_the_seam_is_all_that_both_layers_share_between_the_corners() -> None:
    mouth = opening(9.75, 13.25)
    mouth.softness[:3] = mouth.softness[-3:] = 2.0  # beyond the corners
    side = mouth.side()
    between = side[:, 3:-3]
    expected = {(int(row), int(column) + 3) for row, column in np.argwhere((between > 0) & (between < 1))}
    found = mouth.seam(side)
    assert len(expected) > 10
    assert set(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_a_round_opening_ends_as_steeply_as_an_ellipse() -> None:
    # Given edges that part like a leaf, which is 1.4 times as wide at its ends as at half its height
    x = np.linspace(-50, 50, 81, dtype=np.float32)
    half = 6 * (1 - (x / 50) ** 2)
    upper, lower = (np.stack([100 + x, 100 + way * half], axis=1).astype(np.float32) for way in (-1, 1))
    # When they are the edges of an opening
    mouth = MouthOpening.between(upper, lower, 100.0, (200, 200))
    gap = mouth.lower - mouth.upper
    # Then it is as high in its middle, and little wider at its ends: an ellipse is 1.15 times
    assert abs(gap.max() - 12) < 0.5
    assert (gap > 0).sum() < 1.33 * (gap > 0.5 * gap.max()).sum()
