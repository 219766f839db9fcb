"""Short ways of computing that must give what the long ones give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.face.cache import read_arrays
from stages.face.sampling import blur, blur_widely, decode_png, encode_png, from_half, to_half


@pytest.mark.parametrize("sigma", [44.0, 90.0])
def test_a_wide_blur_is_the_usual_one(sigma: float) -> None:
    # Given two fields with steps, of an odd size
    field = np.zeros((611, 803, 2), np.float32)
    field[:, 402:, 0] = 1.0
    field[201:, :, 1] = 1.0
    # When they are blurred / Then nothing differs by more than 1 % of the step at the border, and 0.3 % elsewhere
    inside = (slice(100, -100), slice(100, -100))
    difference = np.abs(blur_widely(field, sigma) - blur(field, sigma))
    assert difference[inside].max() < 0.003
    assert difference.max() < 0.01


def test_half_precision_is_that_of_numpy() -> None:
    # Given every finite half, and numbers between them
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 2)
    between = np.random.default_rng(0).normal(0, 100, (300, 7, 2)).astype(np.float32)
    # When, then
    assert (from_half(halves) == halves.astype(np.float32)).all()
    assert (to_half(between) == between.astype(np.float16)).all()


def test_a_png_keeps_every_colour_where_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (31, 17, 3), np.uint8)
    assert (decode_png(encode_png(picture)) == picture).all()


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    # Given arrays of every kind that a rig holds: of no dimension, empty, by columns, of words, of truths
    numbers = np.random.default_rng(0).normal(size=(7, 5, 2))
    given = {
        "number": np.array(3), "words": np.array(["jaw", "ä"]), "word": np.array("of"), "none": numbers[:0],
        "whole": numbers.astype(np.float16), "by_columns": np.asfortranarray(numbers[..., 0]), "true": numbers > 0,
    }  # fmt: skip
    path = tmp_path / "arrays.npz"
    np.savez(path, **given)
    # When, then
    found = read_arrays(path)
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert (found[name] == array).all()


def test_objects_and_compressed_arrays_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, objects=np.array([{}], object))
    with pytest.raises(ValueError, match="objects"):
        read_arrays(path)
    np.savez_compressed(path, numbers=np.zeros(9))
    with pytest.raises(ValueError, match="compressed"):
        read_arrays(path)
