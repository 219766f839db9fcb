"""A JPEG that lacks only its end mark is told from one that lacks a part of the picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.errors import JobError
from stages.face.decode import read_picture
from tests.conftest import PORTRAIT


def jpeg(*, white: bool = False, progressive: bool = False) -> bytes:
    """The example portrait; `white`: small, in a corner, so that what is missing of the rest has its colour."""
    picture = Image.open(PORTRAIT).convert("RGB")
    if white:
        small, picture = picture.resize((200, 200)), Image.new("RGB", picture.size, "white")
        picture.paste(small)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=90, progressive=progressive)
    return target.getvalue()


@pytest.mark.parametrize("white", [False, True])
@pytest.mark.parametrize("progressive", [False, True])
def test_only_a_picture_of_which_nothing_is_missing_is_used_without_its_end(
    tmp_path: Path, white: bool, progressive: bool
) -> None:
    data, file = jpeg(white=white, progressive=progressive), tmp_path / "a.jpg"
    file.write_bytes(data)
    whole, told = read_picture(file, 10**7)[0], list[str]()
    # Given the file without its end mark, or a half of it, or with zeros in its place: it is the same picture, and that is told
    for ending in (data[:-2], data[:-1], data[:-2] + bytes(2)):
        file.write_bytes(ending)
        assert np.array_equal(read_picture(file, 10**7, endless=lambda: told.append("."))[0], whole)
    assert len(told) == 3
    # But not where a part of the picture is missing, however small
    for missing in (4, 12, 40, len(data) // 2):
        file.write_bytes(data[:-missing])
        with pytest.raises(JobError) as caught:
            read_picture(file, 10**7)
        assert caught.value.code == "image-truncated"
