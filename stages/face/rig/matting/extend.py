"""Extends a portrait beyond its borders, for a video of another shape: the background and the person go on there.

Nothing is known of what is there. The background goes on as a narrow strip, mirrored and stretched, that is the more blurred the
farther out it is, so that there is no seam and no object appears twice: that is seen in front of a plain wall only, or not at all
(`plain_border.py`). A person who is cut by the border goes on, too: the outline is closed by an arc that continues its direction
at the border, as a shoulder or the crown of the head does (`closing_arcs.py`), and has the texture that is below the border
(`strands.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import smoothstep
from stages.face.rig.matting.closing_arcs import EDGE, closing_arcs, touching
from stages.face.rig.matting.fill import grain_strength, noise, spread
from stages.face.rig.matting.matte import Matte, background_share
from stages.face.rig.matting.strands import Border
from stages.face.rig.matting.strip import blurred, mirrored
from stages.face.sampling import blur, blur_widely, on_colours

Picture = npt.NDArray[np.uint8]

#: How far inside the border the mirrored strip of the background begins at most (what is seen twice makes a pattern), and how
#: far inside the person's colours are taken at least and at most: only hair belongs above hair; of the shorter side.
_DEPTH, _PERSON_DEPTH = 0.012, (0.025, 0.15)
#: Difference from the colours at the border up to which the person is of the same kind, 8-bit levels, and sigma of the blur
#: before they are compared, of the shorter side.
_ALIKE, _COMPARED = 40.0, 0.008
#: Rows at the border, and how far inside those begin with which they are compared, of the shorter side; how much nearer to the
#: background's colour than to the person's a colour is that clearly is the background's, if both are so many levels apart.
_COMPARED_ROWS, _NEARER, _TELLING = (0.004, 0.03), 0.7, 60.0
#: Sigma of the blur, as a part of the distance from the border: of the background, and of the person; and the distance up to
#: which the background is blurred less, of the shorter side.
_SOFTER, _PERSON_SOFTER, _SHARP = 0.7, 0.02, 0.006
#: How far a narrow part of the person that is cut by the border goes on at most, and a wide one: above and elsewhere, where the
#: narrow one may be a shoulder; of the shorter side.
_ABOVE, _ASIDE = (0.25, 0.25), (0.45, 0.12)
#: What is left above in any case, though the head should end there: hair is cut, and a flat end looks cut, too.
_LEAST_ABOVE = 0.12
#: How far beyond the border hair goes on at most that only touches it, and sigma of what ends at one length; of the shorter side.
_TIPS, _LOCK = 0.035, 0.006
#: Part of what the border cuts, so far inside, that is another person's skin, from which it is no part of the person; how far
#: inside that is behind the person, too, and sigma of where it ends; of the shorter side.
_OTHERS, _OTHERS_DEPTH, _OTHERS_BEHIND, _OTHERS_SOFT = 0.12, 0.04, 0.12, 0.01
#: How far around the head's skin colours belong to it, of the shorter side.
_BARE = 0.025
#: Least standard deviation of the grain, 8-bit levels: without any, the steps of a faint gradient are seen.
_DITHER = 0.7
#: Alpha of the person's inner part.
_INSIDE = 250
#: Shorter side of the small strip on which the colours of the person are spread, px.
_SMALL = 32


@dataclass(frozen=True)
class Inner:
    """Where the picture lies in a portrait that was extended, px."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Inner | None:
        """Read it from the content of `face.json`; None if the portrait was not extended."""
        return cls(*record["inner"][:4]) if "inner" in record else None  # earlier versions wrote a fifth value

    def cut(self, portrait: Picture) -> Picture:
        """The picture, without what was added."""
        return np.ascontiguousarray(portrait[self.top : self.bottom, self.left : self.right])

    def margins(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """What was added to a portrait of this width and height at the top, left, bottom and right, px."""
        return self.top, self.left, size[1] - self.bottom, size[0] - self.right


def extend(
    picture: Picture,
    matte: Matte,
    margins: tuple[int, int, int, int],
    skin: FloatArray | None = None,
    others: npt.NDArray[np.bool_] | None = None,
    crown: float | None = None,
    bare: npt.NDArray[np.bool_] | None = None,
) -> tuple[Picture, Matte]:
    """Extend an RGB picture and its matte; an empty matte stays empty, and the whole picture is then taken as background.

    Args:
        picture: uint8 [height, width, 3].
        matte: of the picture.
        margins: what to add at the top, left, bottom and right, px.
        skin: the forehead's colour, RGB [3], which the upper border may cut; None if it is not known.
        others: where another person is seen, [height, width]: what is there goes on as the background does.
        crown: how far above the upper border the head ends, px; None if it is not known.
        bare: where the head's skin is seen, [height, width]: beside an ear that a side border touches, hair goes on, not ears.

    Returns:
        The larger picture and its matte. Inside, both are as they were, but for the plate where others are.
    """
    none = np.zeros(picture.shape[:2], np.uint8)
    beside = none if others is None else others.astype(np.uint8)
    head = none if bare is None else bare.astype(np.uint8)
    parts = [picture, *((matte.plate, matte.alpha, matte.cut) if matte else (picture, none, none)), beside, head]
    for turns, margin in enumerate(margins):
        if margin:  # each side in its turn is the upper one
            upright = [np.ascontiguousarray(np.rot90(part, -turns)) for part in parts]
            farthest = _above_head(crown, min(picture.shape[:2])) if turns == 0 else _ASIDE
            upright[1], added = _above(upright, margin, farthest, None if turns else skin)
            parts = [np.rot90(np.concatenate(pair), turns) for pair in zip(added, upright, strict=True)]
    whole, plate, alpha, cut, *_ = (np.ascontiguousarray(part) for part in parts)
    return whole, replace(matte, alpha=alpha, cut=cut, plate=plate) if matte else matte


def _above_head(crown: float | None, side: int) -> tuple[float, float]:
    """How far a narrow and a wide part of the person go on above at most, in parts of the shorter side, px."""
    if crown is None:
        return _ABOVE
    ends = max(crown / side, _LEAST_ABOVE)
    return min(_ABOVE[0], ends), min(_ABOVE[1], ends)


def _above(
    parts: Sequence[Picture],
    margin: int,
    farthest: tuple[float, float],
    skin: FloatArray | None,
) -> tuple[Picture, Sequence[Picture]]:
    """The plate; and what is above the upper border, `margin` rows of each of `parts`: of the picture, of the plate, of both its
    mattes, and of where another person is. Another person shows behind the person, too, who may move away from the border.
    """
    picture, plate, _, cut, others, bare = parts
    side, width = min(cut.shape), cut.shape[1]
    below = min(cut.shape[0], math.ceil(2 * _PERSON_DEPTH[1] * side))
    away = _away(margin, below)
    person = _person(picture[:below], cut[:below]) if cut[0].any() else picture[:below]
    wall = _shows_wall(picture, plate, person, side)
    arcs, closed, shown = [], [], np.zeros((1, width), np.float32)
    seen = _wall_at_border(picture[:below], plate[:below], person, side)
    reaching = np.concatenate([np.where(seen, 0, cut[:below]), cut[below:]]).astype(np.uint8)
    for arc in closing_arcs(reaching, (farthest[0] * side, farthest[1] * side), wall):
        closed.append(slice(max(0, round(arc.x[0])), max(0, round(arc.x[-1]))))
        if others[: round(_OTHERS_DEPTH * side), closed[-1]].mean() > _OTHERS:
            shown[0, closed[-1]] = 1
        else:
            arcs.append(arc)
    if shown.any():
        near = smoothstep(1 - np.arange(len(plate), dtype=np.float32) / np.float32(_OTHERS_BEHIND * side))[:, None]
        shows = on_colours(np.asarray(near * blur(shown, _OTHERS_SOFT * side), np.float32))
        plate = np.asarray(plate + shows * (picture.astype(np.float32) - plate) + 0.5, np.uint8)
    behind = _wall(plate, cut, margin)
    share = np.zeros((margin, width), np.uint8)
    colours = np.zeros((margin, width, 3), np.uint8)
    tips = _tips(touching(reaching[0], wall, closed, side), margin, side)
    if tips.any():
        colours, share = mirrored(person, away, np.full(width, _TIPS * side, np.float32))[:margin], tips
    if arcs:
        ears = _grown(bare[:below] > 0, _BARE * side)
        hair = person if skin is not None else _without(ears, picture[:below], cut[:below], person)
        border = Border.of(hair, _alike(hair, side), side)
    for arc in arcs:
        rows = min(margin, math.ceil(arc.height.max() + EDGE * side) + 1)
        cover = arc.cover(margin, width, side)
        chosen = (cover >= share)[-rows:, :, None]
        colours[-rows:] = np.where(chosen, border.beyond(arc, rows, skin), colours[-rows:])
        share = np.maximum(share, cover)
    front = background_share(behind, share)
    if share.any():
        own = _covering(blurred(colours, _PERSON_SOFTER * away[:margin]), share)
        front = np.asarray(cv2.add(front, own), np.uint8)
    return plate, (front, behind, share, share, *[np.zeros_like(share)] * 2)


def _covering(colours: FloatArray, share: Picture) -> Picture:
    """The person's part of what is seen."""
    return np.asarray(cv2.convertScaleAbs(colours * (on_colours(share) / np.float32(255))), np.uint8)


def _without(left_out: npt.NDArray[np.bool_], own: Picture, cut: Picture, person: Picture) -> Picture:
    """The person's colours, with what is around spread over what is left out, if anything else of the person is there."""
    covered = np.where(left_out, 0, cut).astype(np.uint8)
    return _person(own, covered) if left_out.any() and (covered >= _INSIDE).any() else person


def _wall_at_border(picture: Picture, plate: Picture, person: Picture, side: int) -> npt.NDArray[np.bool_]:
    """Where the background is seen between the border and the person, who is believed to reach it."""
    shown = np.zeros(picture.shape[:2], bool)
    rows = slice(0, max(1, round(_COMPARED_ROWS[1] * side)))
    first, wall = (one[rows].astype(np.float32) for one in (picture, plate))
    shown[rows] = _nearer_to_wall(first, wall, person, side)
    return shown


def _grown(mask: npt.NDArray[np.bool_], by: float) -> npt.NDArray[np.bool_]:
    """A mask, grown by so many px."""
    kernel = np.ones((2 * round(by) + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _away(margin: int, below: int) -> FloatArray:
    """Distance from the border of `margin` rows above it and of so many below it, which is 0 there, px."""
    return np.maximum(np.arange(margin, -below, -1), 0).astype(np.float32)


def _wall(plate: Picture, cut: Picture, margin: int) -> Picture:
    """The background above the border, `margin` rows, nowhere softer inside."""
    side, width = min(cut.shape), cut.shape[1]
    away = _away(margin, min(cut.shape[0], math.ceil(2 * _PERSON_DEPTH[1] * side)))
    strength = max(grain_strength(plate, cut == 0), _DITHER)
    grainy = noise((margin, width), strength) * np.minimum(_SOFTER * away[:margin, None], 1)
    softer = _SOFTER * away**2 / (away + _SHARP * side)
    strip = blurred(mirrored(plate, away, np.full(width, _DEPTH * side, np.float32)), softer)[:margin]
    return np.asarray(np.clip(strip + grainy[..., None] + 0.5, 0, 255), np.uint8)


def _shows_wall(picture: Picture, plate: Picture, person: Picture, side: int) -> npt.NDArray[np.bool_]:
    """Whether the border's colours are clearly nearer to the background's than to the person's farther inside, [width]."""
    rows = max(1, round(_COMPARED_ROWS[0] * side))
    first, wall = (one[:rows].astype(np.float32).mean(axis=0, keepdims=True) for one in (picture, plate))
    return np.asarray(_nearer_to_wall(first, wall, person, side)[0], bool)


def _nearer_to_wall(shown: FloatArray, wall: FloatArray, person: Picture, side: int) -> npt.NDArray[np.bool_]:
    """Where colours, [rows, width, 3], are clearly nearer to the background's than to the person's farther inside."""
    deep = max(1, round(_COMPARED_ROWS[1] * side))
    inside = blur(person[deep : 2 * deep].astype(np.float32).mean(axis=0)[None], max(0.5 * deep, 0.5))
    to_wall, to_person, apart = (
        np.linalg.norm(one - other, axis=-1) for one, other in ((shown, wall), (shown, inside), (inside, wall))
    )
    return np.asarray((to_wall < _NEARER * to_person) & (apart > _TELLING))


def _tips(border: npt.NDArray[Any], margin: int, side: int) -> Picture:
    """The matte of hair that only touches the border, `margin` rows: each lock ends a little farther out, not cut off straight.

    `border` is the matte along the border, 0 to 255, [width].
    """
    uneven = blur(np.random.default_rng(0).standard_normal((1, len(border)), np.float32), max(_LOCK * side, 0.5))
    length = _TIPS * side * (0.6 + 0.4 * np.clip(uneven / max(float(uneven.std()), 1e-6), -1, 1))
    away: FloatArray = np.asarray(margin - 0.5 - np.arange(margin), np.float32)[:, None]
    return np.asarray(border * smoothstep(np.asarray(1 - away / length, np.float32)) + 0.5, np.uint8)


def _alike(person: Picture, side: int) -> FloatArray:
    """How far from the border the person's colours are like those at the border, in each column, px."""
    soft = blur(person, _COMPARED * side).astype(np.float32)
    first, most = (max(1, round(depth * side)) for depth in _PERSON_DEPTH)
    apart = ((soft[:most] - soft[:first].mean(axis=0)) ** 2).sum(axis=-1) > _ALIKE**2
    depth = np.where(apart.any(axis=0), apart.argmax(axis=0), most).astype(np.float32)
    window = np.ones((1, 2 * first + 1), np.uint8)
    least = blur_widely(np.asarray(cv2.erode(depth[None], window), np.float32), 1.5 * first)[0]
    return np.asarray(np.maximum(0.7 * least, first), np.float32)


def _person(own: Picture, cut: Picture) -> Picture:
    """The person's colours, spread over what is not the person."""
    inside = cut >= _INSIDE
    scale = min(1.0, _SMALL / min(inside.shape))
    size = max(2, round(inside.shape[1] * scale)), max(2, round(inside.shape[0] * scale))
    known = np.asarray(cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    sums = cv2.resize(own * inside[..., None].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    filled = spread(np.asarray(sums / np.maximum(known, 1e-3)[..., None], np.float32), known)
    larger = cv2.resize(filled, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(inside[..., None], own, np.clip(larger + 0.5, 0, 255)), np.uint8)
