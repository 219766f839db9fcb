"""The goals of a finished video's figures, and the table that compares them with what was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.video import head_fields, measures, movement

Figures = dict[str, float]

_UNBOUNDED = float("inf")


@dataclass(frozen=True)
class Goal:
    """Bounds of one figure: for the mean over the portraits, and for each portrait (default: the same)."""

    figure: str
    label: str
    low: float = -_UNBOUNDED
    high: float = _UNBOUNDED
    least: float | None = None
    digits: int = 3

    @property
    def each(self) -> tuple[float, float]:
        """Return the least and the largest value that a single portrait may have."""
        return (self.low if self.least is None else self.least), self.high

    def beyond(self, value: float) -> float:
        """Return how far a portrait's value is outside the bounds, ≤ 0 within them: by this the worst one is found."""
        low, high = self.each
        return max(low - value, value - high)

    def __str__(self) -> str:
        if self.low == -_UNBOUNDED and self.high == _UNBOUNDED:
            return ""
        if self.low == -_UNBOUNDED:
            return f"≤ {self.high:g}"
        text = f"≥ {self.low:g}" if self.high == _UNBOUNDED else f"{self.low:g}–{self.high:g}"
        return text if self.least is None else f"{text}, each ≥ {self.least:g}"


_LABELS = {
    "yaw_std": "yaw, std, °", "yaw_range": "yaw, range, °", "pitch_std": "pitch, std, °", "pitch_range": "pitch, range, °",
    "sideways_std": "sideways travel, std, eye distances", "vertical_std": "vertical travel, std, eye distances",
    "speed": "head's speed, eye distances/s", "gap_p95": "mouth's gap, 95 %, mouth widths",
    "gap_max": "mouth's gap, most, mouth widths", "nose_chin": "nose to chin, range, eye distances",
    "closing_ms": "time to close for P, B, M, ms", "jaw_speed": "fastest jaw, eye distances/s",
    "gaze_std": "gaze, std, eye widths", "blink": "fullest blink, of the median lid",
}  # fmt: skip
_DIGITS = {"yaw_std": 1, "yaw_range": 1, "pitch_std": 1, "pitch_range": 1, "closing_ms": 0, "jaw_speed": 1}
_SCORES = {"lip_dynamics": "lips", "silent_lip": "silent lips", "brow": "brows", "sync": "sync"}

GOALS = (
    *(Goal(name, f"{label}, score", low=0.85, least=0.6, digits=2) for name, label in _SCORES.items()),
    Goal("head", "head, score of the seven below", low=0.85, least=0.6, digits=2),
    *(Goal(name, _LABELS[name], *bounds, digits=_DIGITS.get(name, 3)) for name, bounds in movement.RANGES.items()),
    Goal("worst_gap", "worst gap at P, B, M, mouth widths", high=0.03),
    Goal("mesh_gap", "the same as the mesh reads it (slight gaps above are those that the picture shows)"),
    Goal("drawn_gap", "drawn gap at the middle of P, B, M, mouth widths", high=0.03),
    Goal("pop", "most sudden change between the lips, levels", digits=0),
    Goal("late", "lag, frames", high=1, digits=0),
    Goal("determinant", "head's field, smallest determinant", low=head_fields.LEAST_DETERMINANT, digits=2),
    Goal("least", "head's field, least stretch (1 %)", low=head_fields.STRETCH[0], digits=2),
    Goal("most", "head's field, most stretch (99 %)", high=head_fields.STRETCH[1], digits=2),
    Goal("silent_seen", "drawn gap in pauses that the mesh sees (below 0.6, the drawn one is measured)", digits=2),
    Goal("head_motion", "head's pixel travel (THEval), score", digits=2),
    Goal("blinks", "blinks a minute", digits=0),
)


def scored(figures: Figures) -> Figures:
    """Return the figures, THEval's as scores, and the lag without its sign."""
    found = {**figures, "late": abs(figures["lag"])}
    return found | {name: measures.score(name, figures[name]) for name in measures.REAL}


def table(rows: dict[str, Figures]) -> str:
    """Return a Markdown table: goal, mean, the worst portrait, and the names of all portraits that miss it."""
    lines = [f"| {len(rows)} portraits | goal | mean | worst | missed by |", "|---" * 5 + "|"]
    for goal in GOALS:
        values = {name: row[goal.figure] for name, row in rows.items() if not np.isnan(row[goal.figure])}
        if not values:
            lines.append(f"| {goal.label} | {goal} | not measured | | |")
            continue
        mean = float(np.mean(list(values.values())))
        worst = max(values, key=lambda name: goal.beyond(values[name]))
        missing = [name for name, value in values.items() if goal.beyond(value) > 0]
        met = goal.low <= mean <= goal.high
        cells = [f"{mean:.{goal.digits}f}" if met else f"**{mean:.{goal.digits}f}**"]
        named = "all" if len(missing) == len(values) else ", ".join(missing)
        cells += [f"{values[worst]:.{goal.digits}f} {worst}" if str(goal) else "", named]
        lines.append(f"| {goal.label} | {goal} | {' | '.join(cells)} |")
    return "\n".join(lines)


def each_portrait(rows: dict[str, Figures]) -> str:
    """Return a Markdown table with one line for each portrait."""
    digits = {goal.figure: goal.digits for goal in GOALS}
    names = list(digits)
    lines = [f"| portrait | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {key} | {' | '.join(f'{row[name]:.{digits[name]}f}' for name in names)} |" for key, row in rows.items()
    ]
    return "\n".join(lines)
