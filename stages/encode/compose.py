"""The frames of a video: the portrait, moved by the track through the rig.

Per frame the fields are summed on the coarse grid, turned round, and the portrait is sampled once, with its matte, before a
background that stands still; the mouth's box is done at full resolution with its two layers and the painted interior. Nothing is
kept from frame to frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import UnknownError
from stages.context import Context
from stages.encode.blinks import Eye
from stages.encode.creases import Creases
from stages.encode.field_warp import Basis, Inverter, Sampler, at_points
from stages.encode.layers import Box, Layers, unmultiplied
from stages.encode.mouth import Interior, Opening
from stages.face.backdrop import load_backdrop
from stages.face.rig.expressions import JAW, LOWER_CLOSES
from stages.face.rig.rig import Rig, load_rig
from stages.face.sampling import sample
from stages.lipsync.motion_track import NAMES, Track
from stages.lipsync.painted_mouth import Patches

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: How the portrait is sampled, by the manifest's quality: cubic keeps skin and grain, linear is four times as fast.
_SAMPLING = {"low": cv2.INTER_LINEAR, "medium": cv2.INTER_CUBIC, "high": cv2.INTER_CUBIC}

#: Parameters that show a mouth is speaking.
_SPEAKING = ("jaw", "close", "upper_lip", "lower_lip")


class Composer:
    """Renders a track over a portrait. Frames come in order, in constant memory."""

    def __init__(
        self,
        portrait: Picture,
        rig: Rig,
        track: Track,
        interpolation: int = cv2.INTER_CUBIC,
        patches: Patches | None = None,
        backdrop: Picture | None = None,
        see_through: bool = False,
    ) -> None:
        """Prepare the rendering of `track`, and of painted mouths if there are any, over a BGR `portrait` with its `rig`.

        `backdrop`, BGR of the portrait's size, takes the place of its background. With `see_through` frames are BGRA, and the
        backdrop must be black.
        """
        cv2.setNumThreads(1)  # frames are many: jobs run beside each other, not pixels
        self.height, self.width = portrait.shape[:2]
        self.frame_count = len(track.values)
        self._layers = Layers(portrait, rig.matte, backdrop)
        self.transparent = see_through
        self._alpha = rig.matte.alpha.copy() if see_through else None
        #: The figure as it is now, and as it is at rest: lids and mouths are painted into the first, and taken out again.
        self._painted, self._figure = self._layers.figure.copy(), self._layers.figure
        self._eyes = [Eye(lid, self._figure[..., :3]) for lid in rig.lids]
        self._rig, self._track = rig, track
        self._gap = float(np.linalg.norm(rig.curve_lower - rig.curve_upper, axis=1).max())  # px, in the picture
        self._creases = Creases(rig.crease)
        self._interior = Interior(rig.oral, rig.tones, rig.frame)
        self._patches = patches
        self._plan(interpolation)

    @classmethod
    def open(cls, ctx: Context) -> Composer:
        """From a job's `portrait.png`, `face.json` and `motion.npz`; the rig comes from the cache or is built.

        Raises:
            UnknownError: an artifact is missing or damaged; its stage must run again.
        """
        picture = cv2.imread(str(ctx.path("portrait.png")), cv2.IMREAD_COLOR)
        if picture is None:
            raise UnknownError("portrait-unreadable", "portrait.png cannot be read.", "Retry the job.")
        portrait = np.asarray(picture, np.uint8)
        landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
        rig = load_rig(ctx.settings.paths.cache, np.ascontiguousarray(portrait[..., ::-1]), landmarks)
        track, patches = Track.load(ctx.path("motion.npz")), Patches.load(ctx.job_dir)
        backdrop = load_backdrop(ctx, np.ascontiguousarray(rig.matte.plate[..., ::-1])) if rig.matte else None
        see_through = ctx.manifest.background == "transparent"
        return cls(portrait, rig, track, _SAMPLING[ctx.manifest.quality], patches, backdrop, see_through)

    def _plan(self, interpolation: int) -> None:
        """Keep only the fields this track uses, and only where they are not zero."""
        rig, values = self._rig, self._track.values
        self._head_names, head = _used(rig.head_names, rig.head, values)
        self._face_names, lower = _used(rig.face_names, rig.lower, values)
        _, upper = _used(rig.face_names, rig.upper, values)
        # A point may come from outside of what moves by as much as it moves: a few cells of margin.
        face = rig.face_cells.moving(np.concatenate([lower, upper]), margin=3)
        cells = rig.head_cells.moving(head, margin=3)
        self._face_cells, self._cells = face, cells.union(face) if cells and face else cells or face
        if self._cells is None:
            return
        self._head = Basis(head, rig.head_cells, self._cells)
        self._inverter = Inverter(self._cells, rig.step)
        self._sampler = Sampler(self._cells, rig.step, (self.width, self.height), interpolation)
        self._interpolation = interpolation
        if face is not None:
            self._lower, self._upper = Basis(lower, rig.face_cells, face), Basis(upper, rig.face_cells, face)
            self._face_inverter = Inverter(face, rig.step)
            self._face_points = face.points(rig.step).astype(np.float32)

    def frames(self, first: int = 0, step: int = 1) -> Iterator[Picture]:
        """Frames in order, BGR or BGRA uint8 [height, width, 3 or 4], C-contiguous; each is valid until the next is asked for.

        Each is drawn by itself, so `first` and `step` can share them out.
        """
        buffer = self._layers.still.copy()
        for index in range(first, self.frame_count, step):
            self._render(index, self._track.values[index], buffer)
            yield buffer if self._alpha is None else unmultiplied(buffer, self._alpha)

    def _render(self, index: int, row: FloatArray, buffer: Picture) -> None:
        parameters = dict(zip(NAMES, row.tolist(), strict=True))
        boxes = self._blink(parameters) + self._fold(parameters)
        if self._patches is not None:  # painted before the head is moved, so that the picture is sampled only once
            self._patches.paint(index, self._painted[..., :3])
            boxes.append(self._patches.slices)
            self._show(self._painted[self._patches.slices], self._patches.slices, buffer)
        if self._cells is not None:
            self._move(parameters, buffer)
        else:  # nothing but lids moves in this track
            for eye in self._eyes:
                self._show(self._painted[eye.slices], eye.slices, buffer)
        for box in boxes:
            self._painted[box] = self._figure[box]

    def _show(self, figure: Picture, box: Box, buffer: Picture) -> None:
        buffer[box] = self._layers.flat(figure, box)
        if self._alpha is not None:
            self._alpha[box] = figure[..., 3]

    def _blink(self, parameters: dict[str, float]) -> list[Box]:
        """Paint lids into the working portrait; returns the boxes to put back afterwards."""
        boxes = []
        for eye, name in zip(self._eyes, ("blink_left", "blink_right"), strict=False):
            if parameters[name] > 0:
                self._painted[eye.slices][..., :3] = eye.paint(parameters[name])
                boxes.append(eye.slices)
        return boxes

    def _fold(self, parameters: dict[str, float]) -> list[Box]:
        """Shade the folds into the working portrait; returns the box to put back afterwards."""
        amount = self._creases.amount(parameters)
        if amount <= 0:
            return []
        box = self._creases.slices
        self._painted[box][..., :3] = self._creases.shade(self._painted, amount)
        return [box]

    def _move(self, parameters: dict[str, float], buffer: Picture) -> None:
        assert self._cells is not None
        head = self._head.sum(np.array([parameters[name] for name in self._head_names], np.float32))
        if self._face_cells is None:
            moved = self._sampler.sample(self._painted, self._inverter.invert(head))
            self._show(moved, self._sampler.slices, buffer)
            return
        weights = np.array([parameters[name] for name in self._face_names], np.float32)
        inner = self._face_cells.within(self._cells)
        head_here = head[inner]
        upper, lower = head_here + self._upper.sum(weights), head_here + self._lower.sum(weights)
        whole = head.copy()
        whole[inner] = upper
        backward = self._inverter.invert(whole)
        upper_back, lower_back = backward[inner].copy(), self._face_inverter.invert(lower)
        opening = self._opening(upper, lower)
        side = _coarse_side(opening, self._face_points)[..., None]
        backward[inner] = upper_back + side * (lower_back - upper_back)
        self._show(self._sampler.sample(self._painted, backward), self._sampler.slices, buffer)
        self._mouth(parameters, buffer, opening, (upper_back, lower_back), head)

    def _opening(self, upper: FloatArray, lower: FloatArray) -> Opening:
        rig = self._rig
        assert self._face_cells is not None
        top = rig.curve_upper + at_points(upper, self._face_cells, rig.step, rig.curve_upper)
        bottom = rig.curve_lower + at_points(lower, self._face_cells, rig.step, rig.curve_lower)
        return Opening.between(top, bottom, rig.frame.unit, (self.width, self.height))

    def _mouth(
        self,
        parameters: dict[str, float],
        buffer: Picture,
        opening: Opening,
        backward: tuple[FloatArray, FloatArray],
        head: FloatArray,
    ) -> None:
        """The mouth's box at full resolution: both layers cut at the lip line, and the interior between them."""
        assert self._face_cells is not None
        points = opening.points()
        upper, lower = (at_points(field, self._face_cells, self._rig.step, points) for field in backward)
        places = points + upper + opening.side()[..., None] * (lower - upper)
        lips = self._layers.flat(sample(self._painted, places, self._interpolation), opening.slices)
        # An open mouth in the picture is shown as it is until it begins to speak.
        speaking = min(1.0, 8.0 * max(parameters[name] for name in _SPEAKING))
        cover = opening.cover() * np.float32(speaking)
        closed = parameters["close"] if self._rig.oral.own_teeth else 0.0
        if cover.any() or closed > 0:
            mixed = lips.astype(np.float32)
            self._interior.draw_contact(opening, mixed, closed)
            self._interior.shade_lips(opening, mixed, speaking)
            mixed += cover[..., None] * (self._inside(parameters, opening, head) - mixed)
            lips = np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)
        buffer[opening.slices] = lips

    def _inside(self, parameters: dict[str, float], opening: Opening, head: FloatArray) -> FloatArray:
        """What is seen between the lips."""
        drop = parameters["jaw"] * JAW * self._rig.frame.unit - parameters["close"] * LOWER_CLOSES * self._gap
        return self._interior.paint(opening, self._head_matrix(head), drop, parameters["tongue"])

    def _head_matrix(self, head: FloatArray) -> FloatArray:
        """The head's motion at the mouth as a 2 × 3 matrix, from three points of its field."""
        assert self._cells is not None
        frame = self._rig.frame
        local = np.array([[0, 0], [0.5 * frame.unit, 0], [0, 0.5 * frame.unit]])
        source = frame.picture(local).astype(np.float32)
        target = source + at_points(head, self._cells, self._rig.step, source)
        return np.asarray(cv2.getAffineTransform(source, target), np.float32)


def _used(names: tuple[str, ...], fields: FloatArray, values: FloatArray) -> tuple[list[str], FloatArray]:
    """The names that a track ever moves, and their fields."""
    index = [i for i, name in enumerate(names) if np.any(values[:, NAMES.index(name)])]
    return [names[i] for i in index], fields[index]


def _coarse_side(opening: Opening, points: FloatArray) -> FloatArray:
    """Which layer a grid point belongs to, 0 upper to 1 lower, continued beyond the mouth's box."""
    columns = np.arange(opening.left, opening.right, dtype=np.float32)
    middle = np.interp(points[0, :, 0], columns, opening.middle)
    softness = np.interp(points[0, :, 0], columns, opening.softness)
    return np.clip((points[..., 1] - middle) / softness + 0.5, 0, 1).astype(np.float32)
