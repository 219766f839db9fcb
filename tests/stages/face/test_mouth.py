"""The mouth of the rig: fields that never fold, a lip line that is no moustache, and teeth that are used only when whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stages.face
from stages.context import Context
from stages.encode.field_warp import field_at_points
from stages.encode.mouth import InteriorPainter, MouthOpening
from stages.face import mesh
from stages.face.rig.colours import LUMA, FaceColours, luma, red_share
from stages.face.rig.expressions.fields import ExpressionFields
from stages.face.rig.expressions.ring import round_half
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.lipline import lip_curves
from stages.face.rig.mouth_interior import paint_mouth_interior
from stages.face.rig.rig import load_measured_rig, load_rig
from stages.lipsync.visemes import PHONES
from tests.support.stages.picture_jobs import drawn, face_of, job, portrait_of, smiling

pytestmark = pytest.mark.usefixtures("models", "known_faces")

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def smile(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A job with a smile that shows the upper teeth, after its stage face."""
    return measured(tmp_path_factory.mktemp("smile"), smiling())


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A job with closed lips, after its stage face."""
    return measured(tmp_path_factory.mktemp("closed"), drawn())


def measured(folder: Path, image: Image.Image) -> Context:
    ctx = job(folder / "job", image)
    stages.face.run(ctx)
    return ctx


def landmarks_of(ctx: Context) -> FloatArray:
    return np.array(face_of(ctx)["landmarks"], np.float32)


def test_no_sound_folds_either_lip(ready: Context) -> None:
    # Given the displacement of each layer for every sound, a little stronger than the most expressive speaker's
    rig = load_measured_rig(ready.settings.paths.cache, portrait_of(ready), face_of(ready))
    shapes = {phone: viseme.shape for phone, parts in PHONES.items() for viseme in parts}
    for phone, shape in shapes.items():
        amounts = [1.0 if name == "close" else min(1.3 * shape.get(name, 0.0), 1.0) for name in rig.face_names]
        for layer in (rig.upper, rig.lower):
            moved = np.tensordot(np.array(amounts, np.float32), layer, 1) / rig.step
            # When the areas of its cells are compared with those at rest
            down, across = np.gradient(moved, axis=(0, 1))
            area = (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]
            # Then none is turned over or nearly flat
            assert area.min() > 0.25, phone


def test_moving_lips_show_nothing_of_what_is_between_them(smile: Context) -> None:
    # Given a smile that shows teeth and the dark beside them
    picture = portrait_of(smile)
    rig = load_rig(smile.settings.paths.cache, picture, landmarks_of(smile))
    (x, y), (height, width) = rig.oral.origin, rig.oral.bare.shape[:2]
    outline = np.concatenate([rig.curve_upper, rig.curve_lower[::-1]]) - rig.oral.origin
    between = cv2.fillPoly(np.zeros((height, width), np.uint8), [np.round(outline).astype(np.int32)], (1,)) > 0
    shown = picture[y : y + height, x : x + width].astype(float)
    # When the lips are painted without it / Then all of it is replaced
    assert (rig.oral.bare[between][:, 3] > 230).mean() > 0.98
    # And what is there is as red as the lips and neither as bright as teeth nor as dark as a mouth
    bare = rig.oral.bare[between][:, :3].astype(float)
    lip = rig.tones.lip
    assert np.percentile(shown[between] @ LUMA, [2, 98]) @ [1, -1] < -100
    low, high = np.percentile(bare @ LUMA, [2, 98])
    assert 0.3 * luma(lip) < low < high < 1.35 * luma(lip)
    assert np.percentile(red_share(bare), 5) > 0.5 * red_share(lip)
    # And at the corners, where the lips are thin and skin is near, too
    where = np.argwhere(between)[:, ::-1] + rig.oral.origin
    aside = np.abs(rig.frame.along_mouth(rig.frame.local(where.astype(float))[:, 0])) > 0.7
    assert np.median(red_share(bare[aside])) > 0.8 * np.median(red_share(bare[~aside]))


def test_skin_beside_rounded_lips_shows_no_old_corners(closed: Context) -> None:
    # Given a picture with a dark line beside each corner of the mouth, on bare skin and on skin with hair
    landmarks, bare = landmarks_of(closed), portrait_of(closed)
    rig = load_rig(closed.settings.paths.cache, bare, landmarks)
    unit, ends = rig.frame.unit, np.stack([rig.curve_upper[0], rig.curve_upper[-1]])
    noise = np.random.default_rng(7).normal(0, 22, bare.shape[:2])[..., None]
    hairy = np.clip(bare + noise, 0, 255).astype(np.uint8)
    outward = np.array([[-1.0, 0.0], [1.0, 0.0]])
    contrasts = []
    for skin in (bare, hairy):
        picture = skin.copy()
        for first, last in zip(ends + 0.06 * unit * outward, ends + 0.18 * unit * outward, strict=True):
            start, end = (tuple(int(value) for value in np.round(point)) for point in (first, last))
            cv2.line(picture, start, end, (60, 40, 35), 3)
        # When the skin is painted for lips that are rounded
        oral = paint_mouth_interior(picture, rig.frame, landmarks, (rig.curve_upper, rig.curve_lower), rig.tones)
        cover = oral.corners[..., 3:] / 255
        (x, y), (height, width) = oral.origin, cover.shape[:2]
        shown = picture[y : y + height, x : x + width].astype(float)
        painted = shown + cover * (oral.corners[..., :3] - shown)
        lines = (picture != skin).any(axis=2)[y : y + height, x : x + width]
        was = skin[y : y + height, x : x + width].astype(float)
        contrasts.append(np.abs(painted - was)[lines].mean() / np.abs(shown - was)[lines].mean())
    # Then the lines are gone from bare skin, and hair is left as it is
    assert contrasts[0] < 0.4
    assert contrasts[1] > 0.95


@pytest.mark.parametrize("smiles", [False, True])
def test_rounded_lips_draw_their_corners_in(smiles: bool, closed: Context, smile: Context) -> None:
    # Given closed lips, and a smile
    ctx = smile if smiles else closed
    rig = load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx))
    line = (rig.curve_upper + rig.curve_lower) / 2
    x, y = np.round(line - rig.oral.origin).astype(int).T
    ends = line[np.flatnonzero(rig.oral.corners[y, x, 3] < 128)[[0, -1]]]  # farther out, skin is painted over them
    (viseme,) = PHONES["u"]
    # When they say "oo"
    amounts = np.array([{"close": 1.0, **viseme.shape}.get(name, 0.0) for name in rig.face_names], np.float32)
    moved = ends + field_at_points(np.tensordot(amounts, rig.upper, 1), rig.face_cells, rig.step, ends)
    # Then their ends are nearer together by more than a fifth, and a mouth stays between them
    assert 0.45 < np.ptp(moved[:, 0]) / np.ptp(line[:, 0]) < 0.78


def test_an_oo_of_a_smile_lengthens_the_skin_below_the_nose_and_not_the_lip(smile: Context) -> None:
    # Given a smile whose upper lip is near the nose
    points = landmarks_of(smile)
    rig = load_rig(smile.settings.paths.cache, portrait_of(smile), points)
    inner, outer = (rig.frame.local(edge) for edge in (rig.curve_upper, points[list(mesh.UPPER_LIP_OUTER), :2]))
    frame = replace(rig.frame, nose=float(np.interp(0, *outer.T)) - 0.12 * rig.frame.unit)
    cells = rig.face_cells
    fields = ExpressionFields(frame, points, (rig.curve_upper, rig.curve_lower), cells.points(rig.step)).all()
    x = np.array([0.0, -0.5 * frame.half_mouth[0], 0.5 * frame.half_mouth[1]])
    at_rest = np.stack([np.stack([x, np.interp(x, *edge.T)], axis=1) for edge in (outer, inner)])
    # When it says "oo"
    (viseme,) = PHONES["u"]
    moved = sum(size * fields[name].upper for name, size in {"close": 1.0, **viseme.shape}.items())
    places = frame.picture(at_rest).reshape(-1, 2).astype(np.float32)
    down = field_at_points(np.asarray(moved, np.float32), cells, rig.step, places).reshape(at_rest.shape)[..., 1]
    # Then the thin lip becomes as thick as others, in its middle no more than half way to the corners: it is no peak
    thick = np.diff(at_rest[..., 1], axis=0)[0]
    grows = 1 + np.diff(down, axis=0)[0] / thick
    assert 1.0 < grows[0] < 0.15 * frame.unit / thick[0]
    assert grows[0] < 1.25 * grows[1:].mean()


def width_at(height: float, x: FloatArray, gap: FloatArray) -> float:
    """Width over which a gap is higher than this, between columns, too."""
    first, last = np.flatnonzero(gap > height)[[0, -1]]
    left = np.interp(height, gap[first - 1 : first + 1], x[first - 1 : first + 1])
    right = np.interp(-height, -gap[last : last + 2], x[last : last + 2])
    return float(right - left)


def opening_of(ctx: Context, **shape: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The picture's x in each column of the opening's box, and there the upper lip's edge and the gap below it; in half mouths at
    rest.
    """
    rig = load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx))
    amounts = np.array([shape.get(name, 0.0) for name in rig.face_names], np.float32)
    edges = []
    for curve, layer in ((rig.curve_upper, rig.upper), (rig.curve_lower, rig.lower)):
        moved = field_at_points(np.tensordot(amounts, layer, 1), rig.face_cells, rig.step, curve)
        edges.append(curve + moved)
    height, width = portrait_of(ctx).shape[:2]
    opening = MouthOpening.between(edges[0], edges[1], rig.frame.unit, (width, height))
    half = sum(rig.frame.half_mouth) / 2
    x = np.arange(opening.left, opening.right, dtype=np.float32)
    return x / half, opening.upper / half, (opening.lower - opening.upper) / half


@pytest.mark.parametrize("smiles", [False, True])
def test_oo_leaves_a_small_round_opening(smiles: bool, closed: Context, smile: Context) -> None:
    # Given closed lips, and a smile that shows teeth / When both lips' edges move for an "oo"
    (viseme,) = PHONES["u"]
    ctx = smile if smiles else closed
    x, upper, gap = opening_of(ctx, close=1.0, **viseme.shape)
    # Then they are apart in their middle only
    open_ = gap > 0.1 * gap.max()
    width = np.ptp(x[open_])
    assert width < 1.68 * round_half(FaceFrame.of(landmarks_of(ctx))) < 1.2
    assert 0.22 * width < gap.max() < 0.6 * width
    # And the opening is arched: neither flat at its top nor wide at its ends
    end = upper[open_][[0, -1]].mean()
    assert end - upper[open_].min() > 0.3 * gap.max()
    assert gap[open_].mean() < 0.87 * gap.max()


@pytest.mark.parametrize("smiles", [False, True])
def test_rounded_lips_open_as_an_ellipse_however_far_the_jaw_is_down(
    smiles: bool, closed: Context, smile: Context
) -> None:
    # Given lips that are rounded more and more
    for jaw in (0.3, 0.45, 0.6):
        widths = []
        for pucker in (0.5, 0.65, 0.8):
            # When the jaw is down
            x, upper, gap = opening_of(smile if smiles else closed, close=1.0, round=jaw, pucker=pucker)
            high, low = (gap > part * gap.max() for part in (0.5, 0.2))
            # Then the gap has no wings: an ellipse is 1.13 times as wide at a fifth of its height, and more on a coarse grid
            assert np.ptp(x[low]) < 1.27 * np.ptp(x[high]), (jaw, pucker)
            # And the upper lip arches over it
            assert upper[low][[0, -1]].mean() - upper[low].min() > 0.18 * gap.max(), (jaw, pucker)
            widths.append(width_at(0.2 * gap.max(), x, gap))
        # And it becomes narrower the more they are rounded
        assert widths[0] > widths[1] > widths[2]
        assert widths[2] < 0.988 * widths[0]


def lip_line(ctx: Context, picture: Picture) -> FloatArray:
    points = landmarks_of(ctx)
    return lip_curves(picture, points, FaceFrame.of(points))[0]


def test_a_moustache_is_no_lip_line(closed: Context) -> None:
    # Given closed lips, and the same with a dark moustache over most of the upper lip
    plain, points = portrait_of(closed), landmarks_of(closed)[:, :2]
    rim, line = points[list(mesh.UPPER_LIP_OUTER)], points[list(mesh.UPPER_LIP_INNER)]
    edge = rim + 0.7 * (line - rim)
    outline = np.concatenate([edge, edge[::-1] - np.array([0, 0.2 * mesh.mouth_width(points)])])
    moustache = cv2.fillPoly(plain.copy(), [np.round(outline).astype(np.int32)], (30, 24, 20))
    # When the lip line is found in both / Then it is the same one
    apart = np.abs(lip_line(closed, plain)[:, 1] - lip_line(closed, np.asarray(moustache, np.uint8))[:, 1])
    assert apart[10:-10].max() < 0.015 * mesh.mouth_width(points)


@pytest.mark.parametrize("between", [(46, 20, 20), (206, 192, 176)], ids=["dark", "teeth"])
def test_a_slight_gap_between_lips_that_the_mesh_calls_closed_is_no_lip(
    closed: Context, between: tuple[int, int, int]
) -> None:
    # Given closed lips, and the same with a slight gap below their line, which shows the dark or, in the upper lip's shade, teeth
    plain, points = portrait_of(closed), landmarks_of(closed)
    frame, width = FaceFrame.of(points), mesh.mouth_width(points)
    upper, lower = lip_curves(plain, points, frame)
    assert np.array_equal(upper, lower)
    edge = upper[12:-12]
    parted = plain.copy()
    for colour, down in ((between, 0.04), ((46, 20, 20), 0.012)):
        strip = np.concatenate([edge, edge[::-1] + np.array([0, down * width], np.float32)])
        cv2.fillPoly(parted, [np.round(strip).astype(np.int32)], colour)
    # When the lips' edges are found
    upper, lower = lip_curves(parted, points, frame)
    # Then all of the gap lies between them, and hardly anything else
    above, below = (curve[20:-20, 1] - edge[8:-8, 1] for curve in (upper, lower))
    assert (-0.025 * width < above).all()
    assert (above < 0.01 * width).all()
    assert (0.035 * width < below).all()
    assert (below < 0.07 * width).all()


def test_a_gap_that_the_mesh_sees_is_open_though_its_teeth_are_as_red_as_lips(closed: Context) -> None:
    # Given lips that are slightly open in the mesh, and between them the dark on one side, on the other reddish teeth
    points = landmarks_of(closed).copy()
    frame, width = FaceFrame.of(points), mesh.mouth_width(points)
    line = lip_curves(portrait_of(closed), points, frame)[0]
    points[[88, 178, 87, 14, 317, 402, 318], 1] += 0.05 * width
    parted, middle = portrait_of(closed).copy(), len(line) // 2
    for part, colour in ((line[8 : middle + 1], (46, 20, 20)), (line[middle:-8], tuple(closed_lip(closed)))):
        strip = np.concatenate([part, part[::-1] + np.array([0, 0.05 * width], np.float32)])
        cv2.fillPoly(parted, [np.round(strip).astype(np.int32)], colour)
    # When the lips' edges are found / Then the gap is open on both sides
    upper, lower = lip_curves(parted, points, FaceFrame.of(points))
    opened = (lower - upper)[:, 1] / width
    assert opened[20:35].min() > 0.03
    assert opened[-35:-20].min() > 0.03


def closed_lip(closed: Context) -> list[int]:
    """The lip's colour in the portrait, a little darker."""
    return [round(0.8 * part) for part in FaceColours.of(portrait_of(closed), landmarks_of(closed)).lip.tolist()]


def test_a_tongue_is_high_in_its_middle(closed: Context) -> None:
    # Given a mouth, when its inside is painted
    rig = load_measured_rig(closed.settings.paths.cache, portrait_of(closed), face_of(closed))
    x, y = rig.oral.origin
    height, width = rig.oral.tongue.shape[:2]
    local = rig.frame.local(np.dstack(np.meshgrid(np.arange(x, x + width), np.arange(y, y + height))).astype(float))
    along = np.abs(rig.frame.along_mouth(local[..., 0]))
    body = rig.oral.tongue[..., 3] > 128

    def top(first: float, last: float) -> float:
        return float(local[..., 1][body & (along > first) & (along < last)].min()) / rig.frame.unit

    # Then the tongue's back is an arch: a straight one would look like a slab behind a round opening
    assert top(0.55, 0.60) - top(0.0, 0.05) > 0.1


def test_a_tongue_has_a_groove_between_two_ridges(closed: Context) -> None:
    # Given a mouth, when its inside is painted
    rig = load_measured_rig(closed.settings.paths.cache, portrait_of(closed), face_of(closed))
    x, y = rig.oral.origin
    height, width = rig.oral.tongue.shape[:2]
    local = rig.frame.local(np.dstack(np.meshgrid(np.arange(x, x + width), np.arange(y, y + height))).astype(float))
    along = np.abs(rig.frame.along_mouth(local[..., 0]))
    row = np.abs(local[..., 1] / rig.frame.unit - 0.04) < 0.03

    def light(first: float, last: float) -> float:
        return float(np.median(rig.oral.tongue[row & (along > first) & (along < last)][:, :3].mean(axis=1)))

    # Then less light falls into its middle: an even one would look like a slab
    assert light(0.0, 0.03) < 0.84 * light(0.20, 0.24)


def test_a_tongue_behind_rounded_lips_lies_in_their_shade(closed: Context) -> None:
    # Given an opening that shows only the tongue
    picture = portrait_of(closed)
    rig = load_rig(closed.settings.paths.cache, picture, landmarks_of(closed))
    unit = rig.frame.unit
    upper = rig.curve_upper + 0.05 * unit * rig.frame.down.astype(np.float32)
    lower = upper + 0.1 * unit * rig.frame.down.astype(np.float32)
    opening = MouthOpening.between(upper, lower, unit, (picture.shape[1], picture.shape[0])).visible()
    assert opening is not None
    middle = slice(len(opening.upper) // 2 - 3, len(opening.upper) // 2 + 3)
    # When it is painted behind flat and behind rounded lips
    oral = replace(rig.oral, skull=np.zeros_like(rig.oral.skull), jaw=np.zeros_like(rig.oral.jaw))
    painter = InteriorPainter(oral, rig.tones, rig.frame)
    flat, rounded = (
        painter.paint(opening, np.eye(2, 3, dtype=np.float32), (0.0, 0.0), 0.0, by)[:, middle].mean()
        for by in (0.0, 1.0)
    )
    # Then the light on it is less, but not gone
    assert 0.7 * flat < rounded < 0.92 * flat


def test_a_mouth_below_dark_glasses_is_lit_as_the_lips_are(closed: Context) -> None:
    # Given a face, and the same with dark glasses that hide the cheeks
    picture, points = portrait_of(closed), landmarks_of(closed)
    shaded = picture.copy()
    cheeks = points[list(mesh.CHEEKS), :2]
    (left, top), (right, bottom) = cheeks.min(axis=0).astype(int) - 8, cheeks.max(axis=0).astype(int) + 8
    shaded[top:bottom, left:right] //= 5
    # When colours are measured
    free, hidden = (FaceColours.of(one, points) for one in (picture, shaded))
    # Then the tongue and the teeth are about as bright as before
    assert luma(hidden.tongue) > 0.7 * luma(free.tongue)
    assert luma(hidden.teeth) > 0.7 * luma(free.teeth)


def test_a_mouth_in_shade_has_a_dark_tongue_and_dim_teeth(closed: Context) -> None:
    # Given a face, and the same with shade from the nose down
    picture, points = portrait_of(closed), landmarks_of(closed)
    shaded = picture.copy()
    below = round(float(points[mesh.NOSE_BASE, 1]))
    shaded[below:] = shaded[below:] // 2
    for index in mesh.BESIDE_MOUTH:
        x, y = points[index, :2].astype(int)
        shaded[y - 12 : y + 12, x - 12 : x + 12] = picture[y - 12 : y + 12, x - 12 : x + 12] // 2
    # When colours are measured / Then the mouth's inside is in shade, too
    lit, dark = (FaceColours.of(one, points) for one in (picture, shaded))
    assert luma(dark.skin) > 0.95 * luma(lit.skin)
    assert luma(dark.tongue) < 0.65 * luma(lit.tongue)
    assert luma(dark.teeth) < 0.65 * luma(lit.teeth)
