"""The ring of rounded lips: the opening between them, the lips' ends beside it, and how far the ring opens at each place.

Distances along the mouth are in half mouths from its middle, so that a ring is as wide on both sides of a turned face.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.lip_outline import LipOutline

Grid = npt.NDArray[np.float64]

#: Half width of the opening of rounded lips, in half mouths at rest; a mouth that smiles is wider, and this part of it smaller,
#: down to the least. Lips that are together thicker than the third part of the mouth's width make a wider ring: by so many times
#: what they are thicker, and at most by the last part.
_ROUND_HALF, _LEAST_ROUND_HALF, _FULL_FROM, _FULL_WIDENS, _WIDENS_MOST = 0.62, 0.61, 0.26, 0.9, 0.08
#: Usual distance of the inner corners from the middle, in face widths.
USUAL_HALF = 0.165
#: Corners of a smile come in by this part of what it is broader than a mouth at rest: where its lips are apart in the picture, as
#: they are closed for speech, else as they are puckered.
_UNSMILES = 0.40
#: Both lips end beside the opening, whose thin ends are shut over the first part, by the second part of how thick they are
#: together, three quarters of which are what the thinner one would give; in half mouths at least by the third, and at most by the
#: fourth.
_SHUT_ENDS, _BEYOND_OPENING, _BESIDE_LEAST, _BESIDE_MOST = 0.02, 0.95, 0.12, 0.22
_THINNER_COUNTS = 0.75
#: The lips grow thinner over so many half mouths, up to their ends. How pointed these are: 0.5 is an ellipse, 1 a point.
_THINNER_OVER, _TAPERS = 0.40, 0.55
#: The ring's outer edge ends so many half mouths beyond the lips' ends, which are blunt for it. It opens over at least so many
#: units for a whole opening, because no field may stretch the picture by four (stages/encode/field_warp.py), and goes on evenly
#: up to so many times the lips' thickness.
_BLUNT, _OPENS_OVER, _EVENLY = 0.04, 0.13, 1.3


def round_half(frame: FaceFrame) -> float:
    """Half width of the opening of rounded lips, in half mouths at rest: a ring of full lips is wider."""
    width = sum(frame.half_mouth)
    usual = 2 * USUAL_HALF * frame.face_width / width
    half = float(np.clip(_ROUND_HALF * usual**0.5, _LEAST_ROUND_HALF, _ROUND_HALF))
    full = (frame.upper_lip + frame.lower_lip) / width - _FULL_FROM
    half += float(np.clip(_FULL_WIDENS * full, 0.0, _WIDENS_MOST))
    return half / (1 - unsmiles(frame) / (width / 2))  # the ring is no smaller for it


def unsmiles(frame: FaceFrame) -> float:
    """How far each corner of a smile comes in for speech, px; 0 where a mouth is no broader than at rest."""
    return _UNSMILES * max(sum(frame.half_mouth) / 2 - USUAL_HALF * frame.face_width, 0.0)


def from_middle(x: Grid, frame: FaceFrame) -> Grid:
    """Distance of a local x from the mouth's middle, in half mouths."""
    left, right = frame.half_mouth
    return np.asarray(np.abs(2 * x + left - right) / (left + right))


def ring_end(outline: LipOutline, curves: tuple[Grid, Grid], frame: FaceFrame) -> float:
    """Where rounded lips end, in half mouths: a ring of thin lips is thin beside its opening, too. If only one of them is thin,
    that would be left as a spike.
    """
    left, right = frame.half_mouth
    opening = round_half(frame) - _SHUT_ENDS
    middle, half = (right - left) / 2, opening * (left + right) / 2
    above, below = outline.thickness(np.linspace(middle - half, middle + half, 25), curves)
    thinner, other = sorted((float(above.mean()), float(below.mean())))
    thick = 2 * (_THINNER_COUNTS * thinner + (1 - _THINNER_COUNTS) * other) / (left + right)
    return opening + float(np.clip(_BEYOND_OPENING * thick, _BESIDE_LEAST, _BESIDE_MOST))


def before_end(part: Grid) -> Grid:
    """How far before their ends lips are as thick as a `part`, 0 to 1, of their thickness, in half mouths."""
    return np.asarray(_THINNER_OVER * (1 - (1 - np.clip(part, 0.0, 1.0) ** (1 / _TAPERS)) ** 0.5))


def ring_lens(x: Grid, behind: Grid, thickness: Grid, end: float, frame: FaceFrame) -> Grid:
    """How far a round opening parts each place of one lip, 1 at the middle, 0 from the lips' ends on.

    Its edges are an ellipse, and so is the ring's outer edge, which is as much wider as the ring is thick beside its opening: if
    it opened as the inner edge does, the lips beside the opening would look like wings.

    Args:
        x: along the mouth, px.
        behind: how far each place is behind the lip's inner edge, px.
        thickness: the lip's at each place, px.
        end: where rounded lips end, see `ring_end`.
        frame: the face's coordinates.
    """
    away = from_middle(x, frame)
    inner, outer = (np.sqrt(np.clip(1.0 - (away / half) ** 2, 0.0, 1.0)) for half in (round_half(frame), end + _BLUNT))
    left = np.clip((end - away) / _THINNER_OVER, 0.0, 1.0)
    edge = thickness * (1 - (1 - left) ** 2) ** _TAPERS  # the inverse of `before_end`
    wider = outer - inner
    # Even on both sides of the edge, so that a coarse field does not open it farther than the edge itself.
    share = np.clip(behind / np.maximum(edge, _OPENS_OVER * frame.unit * np.maximum(wider, 0.1)), -_EVENLY, _EVENLY)
    return np.asarray(inner + share * wider)
