"""Draws the frames of a video: the motion track moves the portrait through its rig.

For each frame the displacement fields are summed on the coarse grid and inverted, and the planes of the figure are sampled once
and composited over a still background. The head's fields are smooth, so they are summed and inverted on every second cell. The
mouth's box is drawn in BGR from its two layers and the painted interior, and then converted. No state is kept from frame
to frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from stages.context import Context
from stages.encode.field_warp import (
    FieldInverter,
    FieldSum,
    FigureSampler,
    coarsened,
    field_at_points,
    field_in_box,
    refined,
)
from stages.encode.figure.prepared import FigureSource, PreparedFigure
from stages.encode.figure_planes import FigureChanges, block_around, together
from stages.encode.layers import Background, Box
from stages.encode.mouth import OPEN_SLIT, MouthOpening
from stages.encode.mouth_state import MouthState
from stages.encode.planes import PlanarFrame
from stages.encode.track_use import bounded, in_picture, lips_move, used, zoom_of, zoomed
from stages.face.backdrop import load_backdrop
from stages.face.placement import Placement
from stages.face.rig.expressions.fields import JAW, lower_closes, pucker_lowers
from stages.face.rig.grid import CellBlock
from stages.face.sampling import on_colours, sample
from stages.lipsync.motion_track import PARAMETERS, MotionTrack
from stages.lipsync.painted_mouth import PaintedMouths

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: The zoom's name among the head's fields; its weight is always 1.
_ZOOM = "zoom"
#: Cells beyond those where the face's fields act, in which the inverse is made with them, and beyond these, in which a source may
#: lie; even.
_NEAR, _AROUND = 4, 8


class Composer:
    """Draws a motion track over a portrait, frame by frame, in constant memory.

    Attributes:
        width, height: px.
        frame_count: number of frames.
        transparent: whether frames have an alpha plane.
        portrait: BGR uint8 [height, width, 3].
        prepared: what is drawn of it.
        figure: the figure at rest, BGRA with premultiplied alpha, uint8 [height, width, 4].
        planes: those of the figure, at rest but while a frame is drawn.
        background: what is behind it.
        cells: where the figure moves, in cells of the rig's `step`; None if it does not.
        folds_at, folds: where the folds beside the mouth are, and the deepest ones in the planes.
        painted_mouths: the painted mouths, if there are any; the track then moves no lips.
    """

    def __init__(
        self,
        figure: PreparedFigure,
        track: MotionTrack,
        painted_mouths: PaintedMouths | None = None,
        backdrop: Picture | None = None,
        transparent: bool = False,
    ) -> None:
        """Prepare the fields that the track uses of the portrait's rig, and what is not prepared of its figure.

        Args:
            figure: of the portrait. No other composer draws it at the same time.
            track: the motion.
            painted_mouths: painted mouths, if the lip-sync engine makes any.
            backdrop: BGR of the portrait's size, replaces its background; only for a figure with a new one.
            transparent: make frames with alpha; the backdrop is then not shown.
        """
        cv2.setNumThreads(1)  # jobs run in parallel, so OpenCV need not
        self.prepared, self.height, self.width = figure, figure.height, figure.width
        self.frame_count, self.transparent, self.portrait = len(track.values), transparent, figure.portrait
        self._rig, self._zoom, self.painted_mouths = figure.rig, zoom_of(figure.rig, track), painted_mouths
        with ThreadPoolExecutor(1) as thread:
            fields = thread.submit(self._prepare_fields, track)
            self._prepare_figure(backdrop)
            fields.result()
        if self.cells is not None:
            self._sampler = FigureSampler(self.planes, self.background, self.cells, figure.coverage)

    def _prepare_figure(self, backdrop: Picture | None) -> None:
        """Prepare the figure, its background, and what is painted into it."""
        rig, figure = self._rig, self.prepared
        self.figure, self.planes = figure.at_rest, figure.planes
        #: The figure of the current frame: lids and mouths are painted into it and then reset.
        self._painted = self.figure.copy()
        self.background = Background(
            zoomed(figure.plate, self._zoom) if backdrop is None else backdrop, self.transparent
        )
        self._still = self.background.frame.copy()
        self.background.show_values(self.planes.values, (slice(0, self.height), slice(0, self.width)), self._still)
        self._eyes, self._gaze, self._limit_gaze = figure.lids, figure.eyeballs, figure.gaze_limit
        #: Where the lips are widest apart in the picture, px: of the upper and of the lower one; and how far.
        column = int(np.linalg.norm(rig.curve_lower - rig.curve_upper, axis=1).argmax())
        self._widest = np.stack([rig.curve_upper[column], rig.curve_lower[column]])
        self._gap = float(np.linalg.norm(self._widest[1] - self._widest[0]))
        self._creases, self.folds_at, self.folds = figure.creases, figure.creases.boxes, figure.folds
        self._head_at_mouth, self._bare_lips, self._interior = figure.head_at_mouth, figure.bare_lips, figure.interior

    @classmethod
    def for_job(cls, ctx: Context, figure: PreparedFigure | None = None) -> Self:
        """Make the composer of a job from its `portrait.png`, `face.json` and `motion.npz`.

        Args:
            ctx: the job.
            figure: its figure, if that is prepared; else it is made, and the rig loaded or built.

        Raises:
            UnknownError: `portrait-unreadable` or `motion-unreadable`: an artifact is damaged; its stage must run again.
        """
        figure = figure or PreparedFigure.load(FigureSource.of_job(ctx), ctx.settings.paths.cache)
        track, painted_mouths = MotionTrack.load(ctx.path("motion.npz")), PaintedMouths.load(ctx.job_dir)
        place, backdrop = Placement.of_job(ctx), None
        if figure.rig.matte and (given := load_backdrop(ctx, figure.plate, place)) is not None:
            backdrop = place.cut(given)
        return cls(figure, track, painted_mouths, backdrop, ctx.manifest.background == "transparent")

    def _prepare_fields(self, track: MotionTrack) -> None:
        """Keep only the fields that this track uses, and only where they are not zero. Needs nothing of the figure."""
        rig, values = self._rig, bounded(track.values, self._rig.head_names)
        self._values = values = in_picture(values, rig, self._zoom, (self.width, self.height), float(track.fps))
        self._head_names, head = used(rig.head_names, rig.head, values)
        self._face_names, lower = used(rig.face_names, rig.lower, values)
        _, upper = used(rig.face_names, rig.upper, values)
        # The source of a moved point may lie outside the moving area: add a few cells of margin.
        face = rig.face_cells.moving(np.concatenate([lower, upper]), margin=3)
        cells = rig.head_cells.moving(head, margin=3)
        self._face_cells, self.cells = face, cells.union(face) if cells and face else cells or face
        if self.cells is None:
            return
        covered = rig.head_cells
        if self._zoom.by:  # all of the picture moves
            covered = self.cells = CellBlock(0, 0, -(-self.height // rig.step), -(-self.width // rig.step))
            whole = np.zeros((len(head) + 1, *covered.shape, 2), np.float32)
            whole[:-1, *rig.head_cells.within(covered)] = head
            whole[-1] = self._zoom.field(covered.points(rig.step))
            head, self._head_names = whole, [*self._head_names, _ZOOM]
        self._coarse = self.cells.coarse()
        self._head = FieldSum(coarsened(head[:, *self.cells.within(covered)]))
        self._inverter = FieldInverter(self._coarse, 2 * rig.step)
        beyond = lower - upper
        self._lips_move = self.painted_mouths is None and lips_move(values, beyond)
        if face is not None:
            here = face.within(rig.face_cells)
            #: The upper layer's fields, and how those of the lower one differ: only near the mouth.
            self._upper, self._lower_beyond = FieldSum(upper[:, *here]), FieldSum(beyond[:, *here])
            self._near = face.grown(_NEAR, self.cells)
            self._around = self._near.grown(_AROUND, self.cells)
            self._face_part = face.within(self._around)
            self._near_points = self._near.points(rig.step).astype(np.float32)
            self._near_inverter = FieldInverter(self._around, rig.step, self._near)
            # Elsewhere both layers move alike, so that their inverse is the same.
            apart = rig.face_cells.moving(beyond, margin=3) or face
            self._apart = apart.grown(_NEAR, self._near)
            self._apart_inverter = FieldInverter(self._around, rig.step, self._apart)
            self._apart_points = self._apart.points(rig.step).astype(np.float32)

    @property
    def step(self) -> int:
        """Side of a cell, px."""
        return self._rig.step

    @property
    def still(self) -> PlanarFrame:
        """What every frame holds before it is drawn: the picture at rest."""
        return self._still

    def frames(self) -> Iterator[PlanarFrame]:
        """Yield all frames in order; each is valid until the next."""
        frame = self._still.copy()
        for index in range(self.frame_count):
            self.draw(index, frame)
            yield frame

    def draw(self, index: int, frame: PlanarFrame) -> None:
        """Draw one frame into `frame`, which holds `still` or another frame. Frames can be drawn in any order."""

        def sample_figure(changes: FigureChanges, backward: FloatArray) -> None:
            try:
                self._change(changes)
                self._sampler.draw(backward, frame)
            finally:
                self.planes.restore()

        self.render(index, sample_figure, lambda figure, box: self.background.show(figure, box, frame))

    def render(
        self,
        index: int,
        sample_figure: Callable[[FigureChanges, FloatArray], None],
        show: Callable[[Picture, Box], None],
    ) -> None:
        """Make the parts of one frame, for a canvas that holds `still` or another frame.

        Args:
            index: number of the frame.
            sample_figure: draws the figure with these changes, displaced by a backward field, px, float32 [rows, columns, 2] of
                `cells`. Not called where no part of the figure moves.
            show: then draws a block of the figure, BGRA with premultiplied alpha, at a box; see `Background.show`. What it gets
                is valid until it returns.
        """
        parameters = dict(zip(PARAMETERS, self._values[index].tolist(), strict=True)) | {_ZOOM: 1.0}
        boxes, deep = self._paint_eyes(parameters), self._creases.amount(parameters)
        if deep > 0:
            self._creases.shade(self._painted, deep)
        drawn_in = MouthState.of(parameters, self._rig.oral.own_teeth).drawn_in
        if drawn_in > 0:
            self._bare_lips.put_skin(self._painted, drawn_in)
            boxes.append(self._bare_lips.slices)
        changes = FigureChanges(self._painted, tuple(boxes), deep, None if self.painted_mouths is None else index)
        if deep > 0:
            boxes.extend(self.folds_at)
        if self.painted_mouths is not None:
            boxes.append(self.painted_mouths.slices)
        try:
            if self.cells is not None:
                self._move(parameters, changes, sample_figure, show)
            else:  # only lids and painted mouths move in this track
                self._show_still(index, show)
        finally:  # a device may fail
            for box in boxes:
                self._painted[box] = self.figure[box]

    def _show_still(self, index: int, show: Callable[[Picture, Box], None]) -> None:
        """Draw lids and mouth where the head does not move."""
        still = [eye.slices for eye in self._eyes]
        if self.painted_mouths is not None:
            self.painted_mouths.paint(index, self._painted[..., :3])
            still.append(self.painted_mouths.slices)
        for box in still:
            whole = block_around(box, self.height, self.width)
            show(self._painted[whole], whole)

    def _change(self, changes: FigureChanges) -> None:
        """Put the changes of a frame into the planes: before the head moves, so that the picture is sampled only once."""
        if changes.folds > 0:
            self.planes.mix(self.folds, changes.folds)
        boxes = list(changes.boxes)
        if self.painted_mouths is not None and changes.mouth is not None:
            self.painted_mouths.paint(changes.mouth, changes.painted[..., :3])
            boxes.append(self.painted_mouths.slices)
        for box in together(boxes):
            self.planes.repaint(changes.painted[box], box)

    def _paint_eyes(self, parameters: dict[str, float]) -> list[Box]:
        """Paint irises and lids into the working figure; returns the boxes to reset afterwards."""
        boxes = []
        x, y = self._limit_gaze(parameters["gaze_x"], parameters["gaze_y"])
        for lid, eyeball, name in zip(self._eyes, self._gaze, ("blink_left", "blink_right"), strict=False):
            box = eyeball.slices
            turned = eyeball.paint(self._painted[box], x, y)
            if turned is not None:
                self._painted[box] = turned
            if parameters[name] > 0:
                box = lid.slices  # includes that of the eyeball
                self._painted[box] = lid.paint(self._painted[box], parameters[name])
            if turned is not None or parameters[name] > 0:
                boxes.append(box)
        return boxes

    def _move(
        self,
        parameters: dict[str, float],
        changes: FigureChanges,
        sample_figure: Callable[[FigureChanges, FloatArray], None],
        show: Callable[[Picture, Box], None],
    ) -> None:
        assert self.cells is not None
        head = self._head.sum(np.array([parameters[name] for name in self._head_names], np.float32))
        backward = refined(self._inverter.invert(head), self.cells.within(self.cells))
        if self._face_cells is None:
            sample_figure(changes, backward)
            return
        upper = refined(head, self._around.within(self.cells))
        closing = parameters["close"] and parameters["close"] * self._stretch(upper)
        weights = np.array([{**parameters, "close": closing}[name] for name in self._face_names], np.float32)
        near = self._near.within(self.cells)
        self._upper.add(weights, upper[self._face_part])
        if not self._lips_move:
            backward[near] = self._near_inverter.invert(upper, backward[near])
            sample_figure(changes, backward)
            return
        lower = upper.copy()
        self._lower_beyond.add(weights, lower[self._face_part])
        upper_back = self._near_inverter.invert(upper, backward[near])
        beside = upper_back[self._apart.within(self._near)]
        change = self._apart_inverter.invert(lower, beside) - beside
        opening = self._opening(upper, lower)
        side = opening.side_at(self._apart_points)
        backward[near] = upper_back
        backward[self._apart.within(self.cells)] += cv2.merge((side, side)) * change
        sample_figure(changes, backward)
        show(self._paint_mouth(parameters, opening, (upper_back, change), head), opening.slices)

    def _stretch(self, head: FloatArray) -> float:
        """How many times as high the head's movement makes a mouth that is open in the picture: 1 for no change. Lips that close
        by the picture's gap would not meet in a head that looks up.
        """
        if self._gap < 1:
            return 1.0
        apart = self._widest[1] - self._widest[0]
        moved = field_at_points(head, self._around, self._rig.step, self._widest)
        return 1.0 + float((moved[1] - moved[0]) @ apart / (apart @ apart))

    def _opening(self, upper: FloatArray, lower: FloatArray) -> MouthOpening:
        rig = self._rig
        top = rig.curve_upper + field_at_points(upper, self._around, rig.step, rig.curve_upper)
        bottom = rig.curve_lower + field_at_points(lower, self._around, rig.step, rig.curve_lower)
        return MouthOpening.between(top, bottom, rig.frame.unit, (self.width, self.height))

    def _paint_mouth(
        self,
        parameters: dict[str, float],
        opening: MouthOpening,
        backward: tuple[FloatArray, FloatArray],
        head: FloatArray,
    ) -> Picture:
        """Draw the mouth's box at full resolution: both layers cut at the lip line, and the interior between them.

        `backward`: the upper layer's displacement near the face, and how the lower one's differs from it where the layers part.
        """
        upper_back, lower_change = backward
        step, box = self._rig.step, opening.slices
        upper = field_in_box(upper_back, self._near, step, box, self._near_points)
        change = field_in_box(lower_change, self._apart, step, box)
        side = opening.side()
        places = np.asarray(cv2.multiply(cv2.merge((side, side)), change), np.float32)
        cv2.add(places, upper, places)
        state = MouthState.of(parameters, self._rig.oral.own_teeth)
        kept = self._bare_lips.put_lips(self._painted, state.bare, state.drawn_in)
        lips = sample(self._painted, places, cv2.INTER_CUBIC)
        # Where the lips touch, colours are mixed: between the places of both lips the picture may show teeth.
        seam = opening.seam(side)
        if len(seam[0]):
            above = upper[seam]
            of_upper, of_lower = sample(self._painted, np.stack([above, above + change[seam]]), cv2.INTER_CUBIC)
            mixed = of_upper + side[seam][:, None] * (of_lower.astype(np.float32) - of_upper)
            lips[seam] = np.clip(mixed + 0.5, 0, 255)
        self._painted[self._bare_lips.slices] = kept
        visible = opening.visible() if state.speaking > 0 else None
        if visible is not None or state.touching > 0:
            mixed = cv2.cvtColor(lips, cv2.COLOR_BGRA2BGR).astype(np.float32)
            if state.touching > 0:
                cut = upper[opening.cut_rows(), np.arange(upper.shape[1])]
                on_skin = self._bare_lips.skin_at(cut, state.drawn_in)
                self._interior.draw_contact(opening, mixed, state.touching * (1 - on_skin))
            self._interior.shade_lips(opening, mixed, state.speaking)
            if visible is not None:
                seen = mixed[visible.within(opening)]
                cover = on_colours(visible.cover(OPEN_SLIT * visible.blunt * self._rig.frame.unit))
                beyond = cv2.subtract(self._paint_interior(parameters, visible, head, state), seen)
                cv2.add(seen, cv2.multiply(beyond, cover, beyond, state.speaking), seen)
            drawn = cv2.cvtColor(cv2.convertScaleAbs(mixed), cv2.COLOR_BGR2BGRA)  # rounded to the nearest
            cv2.insertChannel(cv2.extractChannel(lips, 3), drawn, 3)
            lips = np.asarray(drawn, np.uint8)
        return lips

    def _paint_interior(
        self, parameters: dict[str, float], opening: MouthOpening, head: FloatArray, state: MouthState
    ) -> FloatArray:
        """Draw the interior that is visible between the lips."""
        drop = (parameters["jaw"] + parameters["round"]) * JAW * self._rig.frame.unit
        rise = parameters["close"] * lower_closes(self._gap, self._rig.frame.unit) * self._gap
        rise -= parameters["pucker"] * pucker_lowers(self._gap, self._rig.frame.unit)
        moved = self._head_at_mouth.matrix(head, self._coarse, 2 * self._rig.step)
        return self._interior.paint(
            opening, moved, (drop, rise), parameters["tongue"], state.covers_teeth, state.as_shown
        )
