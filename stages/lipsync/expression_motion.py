"""Adds facial expressions to a motion track: those that the manifest names, and a hint of a smile where the text itself smiles.

A named expression holds until the next one; a surprise passes by itself. The face changes within half a second and is half way
there at the given moment. Without named ones, a sentence with a smiling sign (🙂 or :-)) is said with half a smile, and one that
ends in an exclamation mark with a trace of one: what its words mean is not known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from daemon.jobs.manifest_values import Expression
from daemon.jobs.named_words import word_places
from stages.lipsync.inner_grid import frame_times
from stages.lipsync.motion_track import MOUTH, PARAMETERS
from stages.tts.timing import Word
from stages.tts.timing_file import TimedSentence, Timing

FloatArray = npt.NDArray[np.float32]
Course = npt.NDArray[np.float64]

#: Parameters of each expression at intensity 1.
SHAPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"smile": 0.85, "cheeks": 0.8, "brow_left": 0.08, "brow_right": 0.08},
    "surprise": {"brow_left": 0.75, "brow_right": 0.75},
    "serious": {"frown": 0.9},
}
#: Time in which the face changes; how long a surprise stays; time at both ends of the video without any expression.
_CHANGE_S, _SURPRISE_S, _ENDS_S = 0.55, 1.3, 0.35
#: Intensity of the smile in a sentence with a smiling sign, and in one that ends in an exclamation mark.
_SIGN, _EXCLAIMED = 0.5, 0.15
_SMILING = re.compile(
    "[\N{GRINNING FACE}-\N{SMILING FACE WITH SUNGLASSES}\N{SLIGHTLY SMILING FACE}☺]|(?<!\\w)[:;]-?[)D]"
)
_EXCLAMATION = re.compile("[!！]\\W*$")


@dataclass(frozen=True)
class Span:
    """An expression with its intensity, from `start` to `end`, s."""

    start: float
    end: float
    name: str
    intensity: float


def add_expressions(
    values: FloatArray, fps: Fraction, timing: Timing, wanted: Sequence[Expression], trace: float, lips: bool
) -> list[str]:
    """Add expressions to a motion track in place, and return warnings about moments that were not found.

    Args:
        values: [frames, len(PARAMETERS)].
        fps: frames per second.
        timing: times of the words and sentences.
        wanted: the manifest's expressions.
        trace: factor of the smiles that the text gives.
        lips: whether the mouth's own parameters may be moved.
    """
    named, warnings = named_spans(wanted, timing)
    until = min((span.start for span in named), default=timing.duration)
    spans = [span for span in smiling_spans(timing.sentences, trace) if span.start < until] + named
    time = frame_times(len(values), fps)
    courses: dict[str, Course] = {}
    for span in spans:
        ends = max(span.start, _ENDS_S), min(span.end, timing.duration - _ENDS_S)
        during = slice(*(int(at) for at in np.searchsorted(time, ends, "left")))
        if span in named:  # it replaces what was there
            for course in courses.values():
                course[during] = 0.0
        for parameter, amount in SHAPES[span.name].items():
            if lips or parameter not in MOUTH:
                course = courses.setdefault(parameter, np.zeros(len(values)))
                course[during] = np.maximum(course[during], amount * span.intensity)
    for parameter, course in courses.items():
        values[:, PARAMETERS.index(parameter)] += _eased(course, fps)
    return warnings


def named_spans(wanted: Sequence[Expression], timing: Timing) -> tuple[list[Span], list[str]]:
    """Spans of the manifest's expressions in the order of time, each until the next, and warnings about those left out."""
    found: list[tuple[float, Expression]] = []
    warnings = []
    clock = 0.0
    for expression in wanted:
        at = expression.at if isinstance(expression.at, float) else find_word(expression.at, timing.words, clock)
        if at is None:
            warnings.append(
                f"The word “{expression.at}” of `expressions` was not heard, so its {expression.name} is left out."
            )
        elif at >= timing.duration:
            warnings.append(
                f"The {expression.name} of `expressions` at {at:g} s is left out: the video lasts {timing.duration:.1f} s."
            )
        else:
            clock = at
            found.append((at, expression))
    found.sort(key=lambda one: one[0])
    ends = [*(at for at, _ in found), timing.duration][1:]
    spans: list[Span] = []
    lasting = Span(0.0, 0.0, "neutral", 1.0)
    for (start, expression), end in zip(found, ends, strict=True):
        passes = min(end, start + _SURPRISE_S) if expression.name == "surprise" else end
        span = Span(start, passes, expression.name, expression.intensity)
        spans.append(span)
        if passes < end:  # what was there before the surprise comes back
            spans.append(Span(passes, end, lasting.name, lasting.intensity))
        if expression.name != "surprise":
            lasting = span
    return spans, warnings


def smiling_spans(sentences: Sequence[TimedSentence], amount: float) -> list[Span]:
    """Slight smiles over the sentences whose signs ask for them."""
    spans = []
    for sentence in sentences:
        size = _SIGN if _SMILING.search(sentence.text) else _EXCLAIMED if _EXCLAMATION.search(sentence.text) else 0.0
        if size * amount > 0:
            spans.append(Span(sentence.start, sentence.end, "smile", min(size * amount, 1.0)))
    return spans


def find_word(wanted: str, words: Sequence[Word], after: float) -> float | None:
    """The start of a word (or words in a row) of the text, s: the first from `after` on, else the first; None: not there."""
    starts = [words[place].start for place in word_places(wanted, [word.text for word in words])]
    return next((start for start in starts if start >= after), starts[0] if starts else None)


def _eased(course: Course, fps: Fraction) -> Course:
    """Steps become smooth changes of `_CHANGE_S`, with the step in their middle."""
    half = max(1, round(_CHANGE_S / 2 * fps))
    kernel = np.hanning(2 * half + 3)[1:-1]
    return np.convolve(np.pad(course, half, mode="edge"), kernel / kernel.sum(), mode="valid")
