"""The plain form in which texts and transcripts are compared: the same said is the same, something else is not."""

from __future__ import annotations

import pytest

from benchmarks.voice.transcripts import errors, plain


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("Flight 407 leaves at 6:45.", "flight four oh seven leaves at six forty-five"),
        ("It cost $1,250,000.", "it cost one million two hundred and fifty thousand dollars"),
        (
            "She paid $45.99 on March 14, 1987.",
            "She paid 45 dollars and 99 cents on March fourteenth, nineteen eighty-seven",
        ),
        (
            "7.5 pounds, 2,350 people, the 44th",
            "seven point five pounds two thousand three hundred fifty people the forty fourth",
        ),
        ("70% in 1902", "70 per cent in 19 o 2"),
        ("Call 555 0142.", "Call five five five zero one four two"),
    ],
)
def test_the_same_said_is_the_same(written: str, heard: str) -> None:
    assert plain(written) == plain(heard)


@pytest.mark.parametrize(
    ("written", "heard", "wrong"),
    [("at 6:45", "at 6:54", 1), ("in 1902", "in 1920", 1), ("fifteen apples", "fifty apple", 2), ("one two", "", 1)],
)
def test_something_else_is_an_error(written: str, heard: str, wrong: int) -> None:
    assert errors(plain(written), plain(heard)) == wrong
