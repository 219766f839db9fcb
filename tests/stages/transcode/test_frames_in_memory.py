"""A large video holds no more memory where there are many processors."""

from __future__ import annotations

import os

import pytest

from stages.encode.formats.encoders import VP9, X264
from stages.transcode.frames_in_memory import look_ahead_options, threads_for

SIZES = {"4K": (3840, 2160), "5K": (5120, 2880), "8K": (7680, 4320)}


@pytest.mark.parametrize("cores", [2, 16, 128])
def test_frames_that_threads_work_on_stay_few_however_many_processors_there_are(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    for width, height in SIZES.values():
        chosen = threads_for(width, height)
        assert (chosen or cores * 1.5) * width * height <= 35_000_000
        assert 1 <= threads_for(width, height, given=64) * width * height <= 35_000_000
        assert threads_for(width, height, given=1) == 1
    # A usual size is left to the encoder, or gets no more threads than it would choose
    assert threads_for(1280, 720) <= cores * 1.5
    assert threads_for(640, 360, given=8) == 8


def test_an_encoder_looks_ahead_at_fewer_large_frames_and_never_at_more() -> None:
    assert look_ahead_options(X264, "medium", *SIZES["4K"]) == ["-rc-lookahead", "14"]
    assert look_ahead_options(X264, "veryslow", *SIZES["8K"]) == ["-rc-lookahead", "3"]
    assert look_ahead_options(X264, "veryfast", *SIZES["4K"]) == []
    assert look_ahead_options(X264, "medium", 1920, 1080) == []
    assert look_ahead_options(VP9, "medium", *SIZES["8K"]) == []
