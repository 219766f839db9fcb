"""Lays the past out as a picture: a row for each slot, above what ran, below why nothing did."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from daemon.jobs.stages import STAGES
from daemon.telemetry.timeline.idle import REASONS, idle_times
from daemon.telemetry.timeline.records import Past, Span
from daemon.telemetry.timeline.summary import summary

WIDTH: Final = 1600
_LEFT, _RIGHT, _TOP = 96, 76, 64
_ROW, _BAR, _STRIP = 62, 30, 10
#: Gaps and stages narrower than this are drawn together with their neighbours, px.
_LEAST_PX = 0.7
_TEXT, _FAINT, _GRID = "#212529", "#6c757d", "#dee2e6"
_STAGE_COLOURS: Final = {
    "check": "#8d99ae", "generate": "#9d4edd", "face": "#e9a23b", "tts": "#2a9d8f", "lipsync": "#3d78b8", "encode": "#d9603f",
    "info": "#a3a380", "transcode": "#6d597a", "deliver": "#74a57f",
}  # fmt: skip
_REASON_COLOURS: Final = dict(
    zip(REASONS, ("#343a40", "#ffb703", "#b5179e", "#90c2e7", "#e5383b", "#adb5bd", "#e9ecef"), strict=True)
)
#: Border of a stage that did not end well.
_NOT_DONE: Final = "#c1121f"
#: Distances between two ticks of the time axis, s.
_TICKS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800)


class Rect(NamedTuple):
    """A filled rectangle, px. `outline`: colour of its border; `about`: what it is, shown when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    outline: str = ""
    about: str = ""


class Text(NamedTuple):
    """A line of text. `x`, `y`: its left, middle or right end (`anchor`: start, middle, end), on its base line; px."""

    x: float
    y: float
    text: str
    size: int = 13
    fill: str = _TEXT
    anchor: str = "start"


Shape = Rect | Text


class Picture(NamedTuple):
    """What is drawn, from back to front. `width`, `height`: px."""

    width: int
    height: int
    shapes: list[Shape]


def draw(past: Past) -> Picture:
    """Lay the past out."""
    rows = {row["slot"]: row for row in summary(past)}
    bottom = _TOP + _ROW * len(past.spans)
    shapes: list[Shape] = [Text(16, 26, _title(past), 16)]
    shapes += _axis(past, bottom)
    for number, slot in enumerate(past.spans):
        y = _TOP + _ROW * number + 8
        shapes += [Text(16, y + 20, slot, 14), Text(WIDTH - _RIGHT + 10, y + 20, f"{rows[slot]['busy']:.0%}", 14)]
        shapes += _row(past, slot, y)
    shapes.append(Text(WIDTH - _RIGHT + 10, _TOP - 8, "busy", 12, _FAINT))
    legend, height = _legend(past, bottom + 34)
    return Picture(WIDTH, height, shapes + legend)


def _title(past: Past) -> str:
    began, ended = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (past.began, past.ended))
    last = f"{ended:%H:%M:%S}" if began.date() == ended.date() else f"{ended:%Y-%m-%d %H:%M:%S}"
    return f"avatard, {began:%Y-%m-%d %H:%M:%S} to {last} UTC"


def _x(past: Past, at: float) -> float:
    part = (at - past.began) / max(1e-9, past.ended - past.began)
    return _LEFT + min(max(part, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)


def _axis(past: Past, bottom: int) -> Iterator[Shape]:
    length = max(1e-3, past.ended - past.began)
    step = next((tick for tick in _TICKS if length / tick <= 12), _TICKS[-1])
    at = (past.began // step + 1) * step
    while at < past.ended:
        x = _x(past, at)
        yield Rect(x, _TOP, 1, bottom - _TOP, _GRID)
        moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
        words = f"{moment:%d %b %H:%M}" if step >= 21_600 else f"{moment:%H:%M}" if step >= 60 else f"{moment:%H:%M:%S}"
        yield Text(x, _TOP - 8, words, 12, _FAINT, "middle")
        at += step


def _row(past: Past, slot: str, y: int) -> Iterator[Shape]:
    for began, ended, first, number in _joined(past, past.spans[slot]):
        x, width = _x(past, began), max(_LEAST_PX, _x(past, ended) - _x(past, began))
        about = f"{number} jobs, {first.stage}" if number > 1 else f"{first.name}, {first.stage}, {first.result}"
        yield Rect(
            x,
            y,
            width,
            _BAR,
            _STAGE_COLOURS[first.stage],
            _NOT_DONE if _is_not_done(first) else "",
            f"{about}, {ended - began:.2f} s",
        )
        label = first.name.rpartition("/")[2] if number == 1 else ""
        if width > 7.5 * max(2, len(label)) + 8 and label:
            yield Text(x + 5, y + 20, label, 12, "#ffffff")
    for one in idle_times(past, slot):
        x, width = _x(past, one.began), _x(past, one.ended) - _x(past, one.began)
        if width >= _LEAST_PX / 2:
            about = f"{one.why}, {one.ended - one.began:.2f} s"
            yield Rect(x, y + _BAR + 3, max(_LEAST_PX, width), _STRIP, _REASON_COLOURS[one.why], about=about)


def _is_not_done(span: Span) -> bool:
    return span.result not in ("done", "running")


def _joined(past: Past, spans: Iterable[Span]) -> Iterator[tuple[float, float, Span, int]]:
    """Yield begin, end, first span and number of what is drawn as one: spans that are too narrow to be seen one by one."""
    open_: tuple[float, float, Span, int] | None = None
    for span in spans:
        if open_ is not None:
            began, ended, first, number = open_
            near = (
                _x(past, span.began) - _x(past, ended) < _LEAST_PX and _x(past, span.ended) - _x(past, span.began) < 2.0
            )
            if (
                near
                and first.stage == span.stage
                and first.result == span.result
                and _x(past, ended) - _x(past, began) < 40
            ):
                open_ = began, max(ended, span.ended), first, number + 1
                continue
            yield open_
        open_ = span.began, span.ended, span, 1
    if open_ is not None:
        yield open_


def _legend(past: Past, y: int) -> tuple[list[Shape], int]:
    here = {span.stage for spans in past.spans.values() for span in spans}
    borders = (
        {"not done": _NOT_DONE} if any(_is_not_done(span) for spans in past.spans.values() for span in spans) else {}
    )
    shapes: list[Shape] = []
    for title, colours in (
        ("ran", {stage: _STAGE_COLOURS[stage] for stage in STAGES if stage in here} | borders),
        ("idle", _REASON_COLOURS),
    ):
        x = float(_LEFT)
        shapes.append(Text(16, y + 12, title, 13, _FAINT))
        for name, colour in colours.items():
            border = name in borders
            shapes += [
                Rect(x, y, 14, 14, "#ffffff" if border else colour, colour if border else ""),
                Text(x + 20, y + 12, name),
            ]
            x += 44 + 7.0 * len(name)
        y += 26
    return shapes, y + 10
