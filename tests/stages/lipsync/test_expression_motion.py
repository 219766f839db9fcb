"""Expressions: they fall on their moment, change the face smoothly, and leave the lips to the sounds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from daemon.jobs.manifest_values import Expression
from stages.lipsync.expression_motion import add_expressions, find_word
from stages.lipsync.motion_track import MOUTH, PARAMETERS
from stages.tts.timing import Word
from stages.tts.timing_file import TimedSentence, Timing

FloatArray = npt.NDArray[np.float32]

WORDS = [
    ("Well,", 0.5), ("my", 1.0), ("father", 1.5), ("saw", 2.0), ("my", 2.5), ("big,", 3.0), ("“lovely”", 4.0), ("day", 5.0),
]  # fmt: skip


def timing(text: str = "Well, my father saw my big, “lovely” day.", duration: float = 8.0) -> Timing:
    return Timing(
        engine="x", method="exact", sample_rate=24000, duration=duration, language="en",
        sentences=(TimedSentence(text, 0.5, 5.5),),
        words=tuple(Word(name, start, start + 0.4, 0) for name, start in WORDS), phones=(),
    )  # fmt: skip


def moved(
    wanted: list[Expression], spoken: Timing, fps: int = 25, lips: bool = True, trace: float = 1.0
) -> tuple[dict[str, FloatArray], list[str]]:
    values = np.zeros((round(spoken.duration * fps), len(PARAMETERS)), np.float32)
    warnings = add_expressions(values, Fraction(fps), spoken, wanted, trace, lips)
    return {name: values[:, number] for number, name in enumerate(PARAMETERS)}, warnings


def test_a_word_is_found_after_the_one_before_whatever_its_case_and_signs() -> None:
    words = timing().words
    assert find_word("LOVELY", words, 0) == 4.0
    assert (find_word("my", words, 0), find_word("my", words, 1.5), find_word("my", words, 9)) == (1.0, 2.5, 1.0)
    assert find_word("my father", words, 0) == 1.0
    assert find_word("moon", words, 0) is None
    chinese = [Word("今天天气", 1.0, 2.0, 0), Word("很好。", 2.0, 3.0, 0, glued=True)]
    assert find_word("天气", chinese, 0) == 1.0
    assert find_word("气很", chinese, 0) == 1.0  # over the border of two words
    assert find_word("love", words, 0) is None  # a part of "lovely"


@pytest.mark.parametrize("fps", [25, 60])
def test_a_smile_is_half_there_on_its_word_and_never_jumps(fps: int) -> None:
    smile = Expression(at="lovely", name="smile", intensity=1.0)
    columns, warnings = moved([smile], timing(), fps)
    course = columns["smile"]
    assert warnings == []
    assert course[int(3.6 * fps)] == 0
    assert course[4 * fps] == pytest.approx(course.max() / 2, abs=0.1)
    assert course[6 * fps] == pytest.approx(course.max())
    assert np.abs(np.diff(course)).max() * fps < 5 * course.max()  # the whole way takes a fifth of a second or longer
    assert course[[0, -1]] == pytest.approx(0, abs=1e-3)  # the video ends as the portrait


def test_each_expression_ends_the_one_before_and_a_surprise_passes() -> None:
    columns, _ = moved(
        [Expression(at=1.0, name="serious"), Expression(at=3.0, name="surprise"), Expression(at=6.0, name="neutral")],
        timing(),
    )
    at = {second: {name: course[25 * second] > 0.4 for name, course in columns.items()} for second in (2, 5, 7)}
    assert at[2]["frown"]
    assert at[5]["frown"]  # comes back after the surprise
    assert not any(at[7].values())
    assert columns["brow_left"][round(25 * 3.6)] > 0.7
    assert columns["frown"][round(25 * 3.6)] < 0.1


def test_the_text_alone_smiles_only_where_it_says_so() -> None:
    plain, sign, exclaimed = (
        moved([], timing(text))[0]["smile"].max() for text in ("A day.", "A day 🙂", "A lovely day!")
    )
    assert plain == 0
    assert 0 < exclaimed < 0.2 < sign < 0.5
    neutral = [Expression(at=0.0, name="neutral")]
    assert moved(neutral, timing("A day 🙂"))[0]["smile"].max() == 0
    assert moved([], timing("A day 🙂"), trace=0.0)[0]["smile"].max() == 0


def test_what_is_not_in_the_video_is_told_and_left_out() -> None:
    columns, warnings = moved([Expression(at="moon", name="smile"), Expression(at=20.0, name="serious")], timing())
    assert [part in told for part, told in zip(("moon", "20 s"), warnings, strict=True)] == [True, True]
    assert not any(course.any() for course in columns.values())


def test_a_painted_mouth_is_not_moved() -> None:
    columns, _ = moved([Expression(at=1.0, name="smile")], timing(), lips=False)
    assert not any(columns[name].any() for name in MOUTH)
    assert columns["cheeks"].max() > 0.5
