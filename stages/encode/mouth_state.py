"""How far a frame's mouth has left what the picture shows: what is painted, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

#: Parameters that are above 0 while the mouth speaks.
_SPEAKING = ("jaw", "round", "close", "upper_lip", "lower_lip")
#: How fast a mouth is painted as their greatest grows, and how fast what an open one shows in the picture gives way.
_BEGINS, _SETTLES = 8.0, 1.5
#: How fast the skin beside lips is painted as they are puckered, and as the jaw drops behind rounded ones.
_PUCKER_DRAWS, _ROUND_DRAWS = 2.0, 0.5
#: How fast it is painted as a ring opens, however little its lips are puckered: their old corners would stand beside it like
#: spikes. An opening is more and more of a ring between these parts of it that are round.
_RING_DRAWS, _RING_FROM, _RING_TO = 1.8, 0.4, 0.8
#: How fast the line between lips that are shut in the picture goes as the skin beside them is painted, from which its dark ends
#: would stick out: all of it beside a ring, whose corners would else have a short dark line each, else up to the second number.
_BARE_DRAWN, _BARE_SHUT = 1.6, 0.55
#: How fast an upper lip that hangs down covers the teeth: as far as it hangs in a breath they are covered, and not sooner, since
#: teeth would else light up at once as speech begins.
_HANGING_COVERS = 1.7
#: The line at which lips touch is weaker by this part as they are rounded; beside an open ring there is none.
_LINE_FADES = 0.7


@dataclass(frozen=True)
class MouthState:
    """The mouth of a frame, each from 0 to 1.

    Attributes:
        speaking: how far the inside of the mouth is painted.
        rounded: how far the lips are rounded. Lips that are drawn apart are not.
        covers_teeth: how far the lips cover and shade the teeth: lips that are rounded, and an upper lip that hangs down.
        drawn_in: how far the skin beside the lips is painted, which covers where their corners were.
        as_shown: how much is left of what the picture shows between the lips.
        bare: how far the lips are drawn without what is between them.
        touching: strength of the line that is drawn where lips touch; lips that are shut in the picture have their own.
    """

    speaking: float
    rounded: float
    covers_teeth: float
    drawn_in: float
    as_shown: float
    bare: float
    touching: float

    @classmethod
    def of(cls, parameters: Mapping[str, float], is_open: bool) -> Self:
        """Read a frame's parameters; `is_open` tells whether the picture shows an open mouth, which stays until it speaks."""
        strongest = max(parameters[name] for name in _SPEAKING)
        speaking = min(1.0, max(_BEGINS * strongest, 0.0))
        apart = max(parameters["upper_lip"], 0.0) + parameters["lower_lip"]
        rounded = min(max(2.7 * parameters["pucker"] - 1.5 * apart, 0.0), 1.0)
        covers_teeth = max(rounded, min(_HANGING_COVERS * max(-parameters["upper_lip"], 0.0), 1.0))
        drawn_in = min(_PUCKER_DRAWS * parameters["pucker"] + _ROUND_DRAWS * parameters["round"], rounded)
        part = parameters["round"] / max(parameters["round"] + parameters["jaw"], 1e-6)
        ring = min(max((part - _RING_FROM) / (_RING_TO - _RING_FROM), 0.0), 1.0)
        ring_opens = min(_RING_DRAWS * ring * parameters["round"], 1.0)
        drawn_in = min(max(drawn_in, ring_opens), 1.0)
        if not is_open:
            bare = max(rounded, min(_BARE_DRAWN * drawn_in, max(_BARE_SHUT, ring))) * speaking
            return cls(speaking, rounded, covers_teeth, drawn_in, 0.0, bare, 0.0)
        settled = min(1.0, max(_SETTLES * strongest, 0.0))
        touching = parameters["close"] * (1 - max(_LINE_FADES * rounded, ring_opens))
        return cls(speaking, rounded, covers_teeth, drawn_in, 1 - settled, settled, touching)
