"""The head's fields never fold or stretch the picture, whatever the face, its place, the crop and the motion."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.video.measures import Faces
from benchmarks.video.movement import head_track
from stages.encode.field_warp import FieldInverter, field_at_points
from stages.encode.track_use import in_picture
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import FloatArray
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.grid import CellBlock
from stages.face.rig.head_bounds import MOST, REACH, within_reach
from stages.face.rig.matting.matte import Matte
from stages.face.rig.rig import Rig, build_head, build_rig
from stages.lipsync.motion_track import PARAMETERS
from tests.support.endurance import repeats
from tests.support.stages.picture_jobs import drawn

pytestmark = pytest.mark.usefixtures("models")

Grid = npt.NDArray[np.float64]

FPS = 25
#: Heads that are moved, each of another size, place, tilt and depth.
SEEDS = repeats("AVATAR_HEADS", 8, 24)
HeadOf = Callable[..., "RandomHead"]


class RandomHead:
    """A mesh with a depth, size, tilt and place of its own in a picture of any shape, and a figure that may touch its borders."""

    def __init__(self, seed: int, mesh: FloatArray, glasses: bool | None = None) -> None:
        self.chance = np.random.default_rng(seed)
        pick = self.chance.uniform
        self.size = [(640, 640), (360, 640), (640, 360), (512, 640)][seed % 4]
        face = pick(0.15, 1.1) * min(self.size)
        angle, place = pick(-0.5, 0.5), np.array([pick(0.25, 0.75) * self.size[0], pick(0.3, 0.75) * self.size[1]])
        points = (mesh - mesh.mean(axis=0)) * (face / np.ptp(mesh[:468, 0]))
        points *= [pick(0.85, 1.15), pick(0.85, 1.15), pick(0.5, 1.8)]
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points[:, :2] = points[:, :2] @ turn + place
        points += self.chance.normal(0, 0.01 * face, points.shape)
        self.points = points.astype(np.float32)
        self.frame = frame = FaceFrame.of(self.points)
        self.step = int(np.clip(frame.face_width // 60, 2, 4))
        columns, rows = (-(-side // self.step) for side in self.size)
        self.cells = CellBlock(0, 0, rows, columns)
        matte = Matte.empty() if seed % 5 == 4 else self.matte(place, face)
        worn = seed % 2 == 1 if glasses is None else glasses
        self.names, self.fields, self.zoom = build_head(
            frame, self.points, self.size, self.cells, self.step, matte, worn
        )
        nearest = self.cells.points(self.step).round().astype(int)
        x, y = (np.minimum(nearest[..., axis], self.size[axis] - 1) for axis in (0, 1))
        self.cut_out = matte
        self.figure = matte.alpha[y, x] > 127 if matte else np.ones(self.cells.shape, bool)

    def matte(self, place: Grid, face: float) -> Matte:
        alpha = np.zeros(self.size[::-1], np.uint8)
        middle, wide = (int(place[0]), int(place[1])), self.chance.uniform(0.8, 2.5)
        cv2.ellipse(alpha, middle, (int(0.75 * face), int(face)), 0, 0, 360, (255,), -1)
        shoulders = (middle[0], int(place[1] + 2.2 * face))
        cv2.ellipse(alpha, shoulders, (int(wide * face), int(1.4 * face)), 0, 0, 360, (255,), -1)
        return Matte(alpha, alpha, np.zeros((*alpha.shape, 3), np.uint8))

    def rig(self, any_rig: Rig) -> Rig:
        """A rig with this head, and with a jaw that takes what is around the chin down, in place of those of another rig."""
        apart = (self.frame.local(self.cells.points(self.step)) - [0.0, self.frame.chin]) / (
            0.3 * self.frame.face_width
        )
        drop = 0.25 * self.frame.face_width * np.exp(-(apart**2).sum(axis=-1))
        names = ("jaw", "round", "seal", "lower_lip")  # all but the jaw move nothing
        lower = np.zeros((len(names), *drop.shape, 2), np.float32)
        lower[0] = drop[..., None] * self.frame.down
        return replace(
            any_rig, step=self.step, face_names=names, face_cells=self.cells, lower=lower, upper=0 * lower, frame=self.frame,
            head_names=self.names, head_cells=self.cells, head=self.fields, zoom=self.zoom, matte=self.cut_out,
        )  # fmt: skip

    def track(self, length: float) -> FloatArray:
        """A random track in which the head goes this far out, and the mouth opens."""
        time = np.linspace(0, 1, 4 * FPS)[:, None]
        waves = np.sin(2 * np.pi * self.chance.uniform(1, 8, len(self.names)) * time)
        motion = waves * self.chance.uniform(0.2, 1, len(self.names))
        motion *= length / np.linalg.norm(motion, axis=1).max() * np.sin(np.pi * time)
        values = np.zeros((len(time), len(PARAMETERS)), np.float32)
        values[:, [PARAMETERS.index(name) for name in self.names]] = motion * [REACH[name] for name in self.names]
        values[:, PARAMETERS.index("breath")] = np.abs(values[:, PARAMETERS.index("breath")])
        values[:, PARAMETERS.index("jaw")] = np.maximum(np.sin(24 * time[:, 0]), 0) * np.sin(np.pi * time[:, 0])
        return values

    def beyond(self, rig: Rig, row: FloatArray) -> float:
        """How far beyond the picture's borders the sources of the figure's pixels lie at most, px."""
        points = self.cells.points(self.step).astype(np.float32)
        forward = rig.zoom.field(points.astype(np.float64)) + np.tensordot(
            row[[PARAMETERS.index(name) for name in rig.head_names]], rig.head, 1
        )
        forward += row[PARAMETERS.index("jaw")] * rig.lower[0]
        sources = points + FieldInverter(self.cells, self.step).invert(forward.astype(np.float32))
        outside = np.maximum(-0.5 - sources, sources - (np.array(self.size, np.float32) - 0.5))
        far = np.maximum(outside[..., 0], outside[..., 1])
        x, y = (np.clip(sources[..., axis].round().astype(int), 0, self.size[axis] - 1) for axis in (0, 1))
        shows = rig.matte.alpha[y, x] > 127 if rig.matte else np.ones(far.shape, bool)
        inside = (points[..., 0] < self.size[0]) & (points[..., 1] < self.size[1])
        return float(far[shows & inside].max(initial=0.0))

    def displacement(self, length: float) -> Grid:
        """Displacement at a random motion of this length, or at an extreme of one parameter, with the zoom."""
        direction = self.chance.normal(size=len(self.names))
        if self.chance.random() < 0.4:
            direction = np.eye(len(self.names))[self.chance.integers(len(self.names))] * self.chance.choice([-1, 1])
        motion = direction / np.linalg.norm(direction) * 5 * np.array([REACH[name] for name in self.names])
        motion[self.names.index("breath")] = abs(motion[self.names.index("breath")])
        motion = within_reach(motion[None].astype(np.float32), self.names)[0] * (length / MOST)
        return np.asarray(np.tensordot(motion, self.fields, 1) + self.zoom.field(self.cells.points(self.step)))

    def moved(self, points: npt.NDArray[Any], name: str) -> FloatArray:
        """Displacement of points, [n, 2] px, by one parameter as far as it may go at setting 1."""
        field = self.fields[self.names.index(name)] * REACH[name]
        return field_at_points(field, self.cells, self.step, points.astype(np.float32))

    def stretches(self, displacement: Grid) -> Grid:
        """Singular values and determinant of the Jacobian at every corner of every cell: [cells, corners, 3]."""
        across, down = (np.diff(displacement, axis=axis) / self.step for axis in (1, 0))
        corners = []
        for along_x in (across[:-1], across[1:]):
            for along_y in (down[:, :-1], down[:, 1:]):
                # A matrix is a turn and scale a, and a mirrored one b, as complex numbers; it stretches by |a| ± |b|.
                (xx, yx), (xy, yy) = np.moveaxis(along_x, -1, 0), np.moveaxis(along_y, -1, 0)
                a = np.abs(2 + xx + yy + 1j * (yx - xy)).ravel() / 2
                b = np.abs(xx - yy + 1j * (yx + xy)).ravel() / 2
                corners.append(np.column_stack([a + b, a - b, (a + b) * (a - b)]))
        return np.stack(corners, axis=1)


@pytest.fixture(scope="module")
def mesh() -> FloatArray:
    found = shared_landmarker().read_mesh(np.asarray(drawn()))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def head_of(mesh: FloatArray) -> HeadOf:
    """Gives the head of a seed, which is built once for all tests; its later random numbers are the same for each of them."""
    built = functools.cache(lambda seed, glasses: RandomHead(seed, mesh, glasses))
    return lambda seed, glasses=None: copy.deepcopy(built(seed, glasses))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_motion_of_the_head_folds_or_stretches_a_portrait(seed: int, head_of: HeadOf) -> None:
    # Given a face of any size, place, tilt and depth in a picture of any shape
    head = head_of(seed)
    for _ in range(6):
        # When it moves as far as the largest setting allows
        folded = head.stretches(head.displacement(MOST))[..., 2]
        # Then nothing folds
        assert folded.min() > 0.3
        # And at setting 1, of the person's pixels 99 % are stretched and squeezed by a fifth at most
        stretched = head.stretches(head.displacement(1.0))[head.figure[:-1, :-1].ravel()]
        natural = (stretched[..., :2].min(axis=(1, 2)) > 0.8) & (stretched[..., :2].max(axis=(1, 2)) < 1.25)
        assert natural.mean() >= 0.99


@pytest.mark.parametrize(("glasses", "nods", "turns"), [(False, 5.0, 6.0), (True, 1.2, 3.0)])
def test_heads_nod_and_turn_visibly(glasses: bool, nods: float, turns: float, head_of: HeadOf) -> None:
    # Given heads of any shape, with glasses or without
    ranges = []
    for seed in range(0, 24, 3):
        head = head_of(seed, glasses)
        # When each nods, and turns, from one end of the reach to the other
        for name in ("head_pitch", "head_yaw"):
            moved = head.moved(head.points[:, :2], name)
            points = np.repeat(head.points[None], 20, axis=0)
            points[:10, :, :2] -= moved
            points[10:, :, :2] += moved
            track = head_track(Faces(points, points, 1, 25.0))
            ranges.append(float(np.ptp(track.pitch if name == "head_pitch" else track.yaw)))
    # Then their measured angles change by as much as the strain, and lines that stay straight, allow
    assert np.median(ranges[0::2]) > nods
    assert np.median(ranges[1::2]) > turns


@pytest.mark.parametrize(("glasses", "most"), [(False, 0.09), (True, 0.025)])
def test_lines_over_the_eyes_stay_straight(glasses: bool, most: float, head_of: HeadOf) -> None:
    # Given heads of any shape in pictures that can be split, and straight lines where rims, bridge and temples of glasses lie
    for seed in (seed for seed in range(15) if seed % 5 != 4):
        head = head_of(seed, glasses)
        eyes = head.points[[33, 133, 362, 263], :2].astype(np.float64).reshape(2, 2, 2).mean(axis=1)
        across = eyes[1] - eyes[0]
        distance, down = float(np.linalg.norm(across)), np.array([-across[1], across[0]])
        along = np.linspace(-0.9, 0.9, 41)[:, None]
        for level in (-0.35, 0.0, 0.35):
            line = eyes.mean(axis=0) + along * across + level * down
            if level > 0:  # lower rims end beside the nose, which moves for itself
                nose = head.points[4, :2]
                line = line[np.abs((line - nose) @ across) > 0.35 * distance**2]
            # When the head moves as far as is natural, each parameter by itself
            bends = []
            for name in head.names:
                moved = line + head.moved(line, name)
                start, end = moved[0], moved[-1]
                beside = (
                    (moved - start) @ np.array([start[1] - end[1], end[0] - start[0]]) / np.linalg.norm(end - start)
                )
                bends.append(np.abs(beside).max() / distance)
            # Then all together they bend no line by more than this part of the eyes' distance
            assert np.linalg.norm(bends) < most, (seed, level)


@pytest.mark.parametrize("seed", range(8))
def test_every_pixel_finds_its_source(seed: int, head_of: HeadOf) -> None:
    # Given the displacement of a head that moves as far as it can
    head = head_of(seed)
    forward = head.displacement(MOST).astype(np.float32)
    # When it is inverted
    inverter = FieldInverter(head.cells, head.step)
    backward = inverter.invert(forward)
    # Then moving each source forward again leads back, within a tenth of a cell
    points = head.cells.points(head.step).astype(np.float32)
    places = (points + backward - np.float32((head.step - 1) / 2)) / np.float32(head.step)
    again = backward + cv2.remap(forward, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    assert inverter.residual < head.step / 16
    assert np.abs(again).max() < head.step / 10


@pytest.fixture(scope="module")
def any_rig() -> Rig:
    portrait = np.asarray(drawn(320))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    return build_rig(portrait, landmarks)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("length", [1.0, MOST])
def test_no_frame_shows_what_is_beyond_the_border_of_the_picture(
    seed: int, length: float, head_of: HeadOf, any_rig: Rig
) -> None:
    # Given a head of any kind, whose figure may touch any border, and a track that moves it and its chin as far as it can
    head = head_of(seed)
    rig = head.rig(any_rig)
    values = head.track(length)
    # When the track is kept in the picture
    kept = in_picture(values, rig, rig.zoom, head.size, FPS)
    # Then no pixel of the figure has its source beyond a border by more than half a px
    shown = [head.beyond(rig, row) for row in kept[::3]]
    assert max(shown) < 0.5


def test_the_zoom_is_as_large_as_the_motion_needs(head_of: HeadOf) -> None:
    # Given heads of which some reach the picture's borders
    zooms = [head_of(seed).zoom for seed in range(10)]
    # Then their zoom is small, and none where the figure does not move at a border
    assert max(zoom.by for zoom in zooms) <= 0.06
    assert any(zoom.by == 0 for zoom in zooms)
    assert any(zoom.by > 0.01 for zoom in zooms)
