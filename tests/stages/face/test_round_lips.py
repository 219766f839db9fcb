"""Rounded lips of the rig: lips of a smile stay lips, end roundly, and show neither teeth nor a line beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import stages.face
from stages.context import Context
from stages.encode.bare_lips import BareLips
from stages.encode.field_warp import field_at_points
from stages.encode.mouth import InteriorPainter, MouthOpening
from stages.face import mesh
from stages.face.rig.colours import LUMA, red_share
from stages.face.rig.expressions.fields import ExpressionFields
from stages.face.rig.expressions.ring import ring_end, round_half
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.lip_outline import LipOutline
from stages.face.rig.mouth_interior import MouthInterior, paint_mouth_interior
from stages.face.rig.rig import Rig, load_measured_rig
from stages.face.sampling import sample
from stages.lipsync.visemes import PHONES
from tests.support.stages.picture_jobs import drawn, face_of, job, portrait_of, show, smiling

pytestmark = pytest.mark.usefixtures("models", "known_faces")

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
#: A picture, its landmarks and its rig.
Measured = tuple[Picture, FloatArray, Rig]


@pytest.fixture(scope="module")
def smile(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """A smile that shows the upper teeth."""
    return measured(job(tmp_path_factory.mktemp("smile") / "job", smiling()))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Lips that are shut."""
    return measured(job(tmp_path_factory.mktemp("closed") / "job", drawn()))


def measured(ctx: Context) -> Measured:
    stages.face.run(ctx)
    picture, landmarks = portrait_of(ctx), np.array(face_of(ctx)["landmarks"], np.float32)
    return picture, landmarks, load_measured_rig(ctx.settings.paths.cache, picture, face_of(ctx))


def with_thin_lips(landmarks: FloatArray, left: float) -> FloatArray:
    """Landmarks whose lips have this part of their thickness."""
    thin = landmarks.copy()
    for outer, inner in ((mesh.UPPER_LIP_OUTER, mesh.UPPER_LIP_INNER), (mesh.LOWER_LIP_OUTER, mesh.LOWER_LIP_INNER)):
        inside = landmarks[list(inner), :2]
        order = np.argsort(inside[:, 0])
        edge = np.interp(landmarks[list(outer), 0], inside[order, 0], inside[order, 1])
        thin[list(outer), 1] = edge + left * (landmarks[list(outer), 1] - edge)
    return thin


def painted(picture: Picture, landmarks: FloatArray, rig: Rig) -> MouthInterior:
    return paint_mouth_interior(picture, rig.frame, landmarks, (rig.curve_upper, rig.curve_lower), rig.tones)


def both_sides(frame: FaceFrame, part: float) -> npt.NDArray[np.float64]:
    """The left and the right place at this part of the half mouth from its middle, px: [2]."""
    left, right = frame.half_mouth
    return np.array([(right - left) / 2 + side * part * (left + right) / 2 for side in (-1, 1)])


def left_of_lips(landmarks: FloatArray, rig: Rig, oral: MouthInterior, part: float) -> list[tuple[float, float]]:
    """The parts of the upper and the lower lip that no skin is painted over, on both sides, at this part of the half mouth."""
    frame = rig.frame
    outline, curves = LipOutline.of(landmarks, frame), (frame.local(rig.curve_upper), frame.local(rig.curve_lower))
    shares = []
    for x in both_sides(frame, part):
        lips = []
        for way, curve, thick in zip((-1, 1), curves, outline.thickness(np.array(x), curves), strict=True):
            from_edge = np.linspace(0, float(thick), 60)
            y = float(np.interp(x, curve[:, 0], curve[:, 1])) + way * from_edge
            places = frame.picture(np.stack([np.full_like(y, x), y], axis=1)) - oral.origin
            lips.append(1 - float(sample(oral.corners[..., 3], places[None].astype(np.float32)).mean()) / 255)
        shares.append((lips[0], lips[1]))
    return shares


def test_both_rounded_lips_of_a_smile_go_on_to_their_ends(smile: Measured) -> None:
    # Given the lips of a smile, and the skin that is painted beside them when they are rounded
    picture, landmarks, rig = smile
    oral = painted(picture, landmarks, rig)
    # When they become thinner beside the opening / Then neither is gone before the other
    opening = round_half(rig.frame)
    near_ends = left_of_lips(landmarks, rig, oral, opening + 0.08)
    assert min(min(sides) for sides in near_ends) > 0.34
    assert max(min(sides) for sides in near_ends) < 0.85
    # And a little farther out they have ended: what is left of a smile's long ends would look like spikes
    for upper, lower in left_of_lips(landmarks, rig, oral, opening + 0.21):
        assert max(upper, lower) < 0.2


def test_rounded_lips_grow_thinner_toward_their_ends(smile: Measured) -> None:
    # Given the lower lip of a smile, which is nearly as thick beside a round opening as at its middle
    picture, landmarks, rig = smile
    oral = painted(picture, landmarks, rig)
    # When it is rounded / Then it is thinner from place to place, and has no upright end
    ends = np.arange(-0.10, 0.16, 0.05) + round_half(rig.frame)
    left = np.array([[lower for _, lower in left_of_lips(landmarks, rig, oral, end)] for end in ends])
    assert left[0].min() > 0.85
    assert left[-1].max() < 0.45
    assert np.abs(np.diff(left, axis=0)).max() < 0.35


def test_no_red_of_old_corners_is_left_beside_rounded_lips(smile: Measured) -> None:
    # Given a smile under hair that grows as far as the lips, whose skin is left as it is
    picture, landmarks, rig = smile
    noise = np.random.default_rng(7).normal(0, 22, picture.shape[:2])[..., None]
    hairy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    # When it is rounded / Then both lips are painted over from a little beside the round ones on to their old corners
    oral = painted(hairy, landmarks, rig)
    for part in (0.9, 0.95):
        assert max(lower for _, lower in left_of_lips(landmarks, rig, oral, part)) < 0.05


def test_half_rounded_lips_end_in_points(smile: Measured) -> None:
    # Given a smile's lips that are drawn in by half
    picture, landmarks, rig = smile
    frame = rig.frame
    lips = BareLips(rig.oral, (picture.shape[1], picture.shape[0]))
    outline, curves = LipOutline.of(landmarks, frame), (frame.local(rig.curve_upper), frame.local(rig.curve_lower))
    x = both_sides(frame, 0.8)
    thick = outline.thickness(x, curves)[1]
    edge = np.interp(x, curves[1][:, 0], curves[1][:, 1])
    # When the skin is painted beside them / Then more of it lies over the lower lip's outer half than over its inner edge
    inner, outer = (
        lips.skin_at(frame.picture(np.stack([x, edge + part * thick], axis=1)).astype(np.float32), 0.5)
        for part in (0.1, 0.8)
    )
    assert np.all(outer - inner > 0.5)


def test_thin_rounded_lips_end_nearer_to_the_opening(smile: Measured) -> None:
    # Given lips, and lips a third as thick
    picture, landmarks, rig = smile
    thin = with_thin_lips(landmarks, 0.35)
    # When the skin is painted beside them / Then the thin ones have ended where the others have not
    opening = round_half(rig.frame)
    full = left_of_lips(landmarks, rig, painted(picture, landmarks, rig), opening + 0.10)
    ended = left_of_lips(thin, rig, painted(picture, thin, rig), opening + 0.12)
    assert min(lower for _, lower in full) > 0.4
    assert max(lower for _, lower in ended) < 0.3


def width_of_opening(landmarks: FloatArray, rig: Rig) -> float:
    """Width of a round opening between a rig's lips, whose thickness is that of the landmarks, in widths of the mouth at rest."""
    frame, line, points = FaceFrame.of(landmarks), rig.curve_upper, rig.face_cells.points(rig.step)
    field = ExpressionFields(frame, landmarks, (line, rig.curve_lower), points).all()["round"]
    apart = field_at_points((field.lower - field.upper).astype(np.float32), rig.face_cells, rig.step, line) @ frame.down
    return float(np.ptp(frame.local(line)[:, 0][apart > 0.1 * apart.max()])) / sum(frame.half_mouth)


def test_the_ring_of_rounded_lips_opens_at_its_outer_edge_beside_the_opening(smile: Measured) -> None:
    # Given the outer edges of a smile's lips in their middle, and where a round opening ends
    _, landmarks, rig = smile
    frame, cells = rig.frame, rig.face_cells
    field = ExpressionFields(frame, landmarks, (rig.curve_upper, rig.curve_lower), cells.points(rig.step)).all()[
        "round"
    ]
    outline, (left, right) = LipOutline.of(landmarks, frame), frame.half_mouth
    x = np.array([(right - left) / 2, *both_sides(frame, round_half(frame))])
    moved = []
    for edge, layer in ((outline.upper, field.upper), (outline.lower, field.lower)):
        places = frame.picture(np.stack([x, np.interp(x, *edge.T)], axis=1)).astype(np.float32)
        moved.append(field_at_points(layer.astype(np.float32), cells, rig.step, places)[:, 1])
    # When the jaw drops behind them
    middle, *ends = moved[1] - moved[0]
    # Then the lips become thicker there, as a ring is; those that keep their height would look like wings
    assert min(ends) > 0.2 * middle


def test_a_ring_ends_sooner_if_one_lip_is_thin(smile: Measured) -> None:
    # Given lips of a smile, and an upper lip half as thick, whose end would be left as a spike
    _, landmarks, rig = smile
    curves = rig.frame.local(rig.curve_upper), rig.frame.local(rig.curve_lower)
    usual = LipOutline.of(landmarks, rig.frame)
    thin = replace(usual, upper=LipOutline.of(with_thin_lips(landmarks, 0.5), rig.frame).upper)
    # When they are rounded / Then they end sooner by more than what both lips have lost on average
    first, then = (ring_end(outline, curves, rig.frame) - round_half(rig.frame) for outline in (usual, thin))
    thick = [
        sum(float(np.mean(lip)) for lip in outline.thickness(curves[0][20:-20, 0], curves)) for outline in (usual, thin)
    ]
    assert then / first < thick[1] / thick[0] - 0.02


def test_closed_lips_of_an_arched_smile_do_not_hang_at_their_ends(smile: Measured) -> None:
    # Given an open mouth whose upper lip a smile has raised to an arch
    _, landmarks, rig = smile
    frame, cells = rig.frame, rig.face_cells
    x = np.linspace(-frame.half_mouth[0], frame.half_mouth[1], len(rig.curve_upper))
    upper = np.stack([x, 0.12 * frame.unit * frame.along_mouth(x) ** 2], axis=1)
    lower = upper + np.stack([np.zeros_like(x), 0.25 * frame.unit * (1 - frame.along_mouth(x) ** 2)], axis=1)
    curves = frame.picture(upper).astype(np.float32), frame.picture(lower).astype(np.float32)
    # When the lips meet
    field = ExpressionFields(frame, landmarks, curves, cells.points(rig.step)).all()["close"]
    closed = frame.local(curves[0] + field_at_points(field.upper.astype(np.float32), cells, rig.step, curves[0]))
    # Then their line is nearly level, where it would be a sneer
    ends = closed[[5, -6], 1] - closed[len(x) // 2, 1]
    assert np.abs(ends).max() < 0.4 * (upper[5, 1] - upper[len(x) // 2, 1])


def test_full_lips_are_rounded_to_a_wider_ring(smile: Measured) -> None:
    # Given lips, lips that are two thirds thicker, and thinner ones
    _, landmarks, rig = smile
    usual, full, thin = (width_of_opening(with_thin_lips(landmarks, left), rig) for left in (1.0, 1.67, 0.5))
    # When they are rounded / Then full ones leave a wider opening, which thin ones do not: real lips move no farther in
    assert 1.06 * usual < full < 1.25 * usual
    assert abs(thin - usual) < 0.02 * usual


def test_full_rounded_lips_go_on_beside_their_wider_opening(smile: Measured) -> None:
    # Given lips that are two thirds thicker
    picture, landmarks, rig = smile
    thick = with_thin_lips(landmarks, 1.67)
    full = replace(rig, frame=FaceFrame.of(thick))
    beside = round_half(full.frame) + 0.15
    assert beside > round_half(rig.frame) + 0.20
    # When the skin is painted beside them / Then both lips are left there, where the usual ones have ended
    assert min(min(sides) for sides in left_of_lips(thick, full, painted(picture, thick, full), beside)) > 0.1
    assert max(max(sides) for sides in left_of_lips(landmarks, rig, painted(picture, landmarks, rig), beside)) < 0.1


def test_an_upper_lip_that_a_smile_has_drawn_thin_is_full_in_an_oh(smile: Measured) -> None:
    # Given an upper lip as thin as of a broad smile
    _, landmarks, rig = smile
    thin = with_thin_lips(landmarks, 0.06 * rig.frame.unit / rig.frame.upper_lip)
    frame = replace(rig.frame, upper_lip=0.06 * rig.frame.unit)
    cells, curves = rig.face_cells, (rig.curve_upper, rig.curve_lower)
    fields = ExpressionFields(frame, thin, curves, cells.points(rig.step)).all()
    inner, outer = (frame.local(edge) for edge in (rig.curve_upper, thin[list(mesh.UPPER_LIP_OUTER), :2]))
    at_rest = np.array([[0.0, np.interp(0, *edge[np.argsort(edge[:, 0])].T)] for edge in (outer, inner)])
    # When it says "oh"
    (viseme,) = PHONES["o"]
    moved = sum(size * fields[name].upper for name, size in {"close": 1.0, **viseme.shape}.items())
    places = frame.picture(at_rest).astype(np.float32)
    down = field_at_points(np.asarray(moved, np.float32), cells, rig.step, places)[:, 1]
    # Then it is thicker by a third to three quarters
    assert 1.33 < 1 + np.diff(down)[0] / np.diff(at_rest[:, 1])[0] < 1.75


def inward(frame: FaceFrame, landmarks: FloatArray, rig: Rig, name: str, hair: float = 0.0) -> float:
    """How far both corners come in together by an expression, in widths of the mouth at rest."""
    cells, curves, (left, right) = rig.face_cells, (rig.curve_upper, rig.curve_lower), frame.half_mouth
    fields = ExpressionFields(frame, landmarks, curves, cells.points(rig.step), hair=hair).all()
    corners = frame.picture(np.array([[-left, 0.0], [right, 0.0]])).astype(np.float32)
    moved = field_at_points(fields[name].upper.astype(np.float32), cells, rig.step, corners)[:, 0]
    return float(moved[0] - moved[1]) / (left + right)


def test_a_smile_is_narrower_while_it_speaks(smile: Measured) -> None:
    # Given lips that are apart in the picture, of a mouth as broad as at rest, and a quarter broader
    _, landmarks, rig = smile
    usual = 0.165 * rig.frame.face_width
    at_rest, broad = (replace(rig.frame, half_mouth=(part * usual, part * usual)) for part in (1.0, 1.25))
    # When they close for speech / Then the corners of the broad one come in by a part of that, and the others stay
    assert abs(inward(at_rest, landmarks, rig, "close")) < 0.002
    assert 0.04 < inward(broad, landmarks, rig, "close") < 0.12
    # And as they are rounded, they come in no farther than the others
    assert inward(broad, landmarks, rig, "pucker") < 1.02 * inward(at_rest, landmarks, rig, "pucker")


def test_puckered_corners_in_hair_come_in_farther(closed: Measured) -> None:
    # Given lips beside bare skin, and beside hair, over which no skin is painted
    picture, landmarks, rig = closed
    noise = np.random.default_rng(7).normal(0, 22, picture.shape[:2])[..., None]
    hairy = painted(np.clip(picture + noise, 0, 255).astype(np.uint8), landmarks, rig)
    assert rig.oral.hair_beside < 0.1
    assert hairy.hair_beside > 0.9
    # When they are puckered / Then the corners come in farther than those that skin is painted over, and no line is left there
    bare, hair = (inward(rig.frame, landmarks, rig, "pucker", part) for part in (0.0, hairy.hair_beside))
    assert 1.5 * bare < hair < 0.3


def test_a_tooth_at_the_edge_of_a_lip_is_no_part_of_moving_lips(smile: Measured) -> None:
    # Given teeth that show above the lower lip, where the lips' edge was found above them
    picture, landmarks, rig = smile
    frame, unit = rig.frame, rig.frame.unit
    rows, columns = np.indices(picture.shape[:2])
    local = frame.local(np.stack([columns, rows], axis=-1).astype(float))
    curve = frame.local(rig.curve_lower)
    below = (local[..., 1] - np.interp(local[..., 0], curve[:, 0], curve[:, 1])) / unit
    tooth = (np.abs(local[..., 0]) < 0.12 * unit) & (below > -0.01) & (below < 0.2 * frame.lower_lip / unit)
    shown = picture.copy()
    shown[tooth] = (222, 205, 196)
    # When the lips are painted
    oral = painted(shown, landmarks, rig)
    (x, y), (height, width) = oral.origin, oral.bare.shape[:2]
    within = tooth[y : y + height, x : x + width]
    cover = oral.bare[within][:, 3:] / 255
    lips = shown[tooth] + cover * (oral.bare[within][:, :3] - shown[tooth].astype(float))
    # Then they are as red there as lips
    assert np.percentile(red_share(lips), 10) > 0.6 * red_share(rig.tones.lip)


@pytest.mark.parametrize("name", ["smile", "closed"])
def test_skin_beside_rounded_lips_has_no_step_where_the_lips_meet(name: str, request: pytest.FixtureRequest) -> None:
    # Given lips apart and shut, in whose picture all that lies below their line is in shade
    picture, landmarks, rig = request.getfixturevalue(name)
    frame, unit = rig.frame, rig.frame.unit
    rows, columns = np.indices(picture.shape[:2])
    local = frame.local(np.stack([columns, rows], axis=-1).astype(float))
    curves = [frame.local(curve) for curve in (rig.curve_upper, rig.curve_lower)]
    line = np.mean([np.interp(local[..., 0], curve[:, 0], curve[:, 1]) for curve in curves], axis=0)
    shaded = picture.astype(float) * np.where(local[..., 1] > line, 0.7, 1.0)[..., None]
    # When the skin beside the mouth is painted
    oral = painted(shaded.astype(np.uint8), landmarks, rig)
    for x in (-1.02 * frame.half_mouth[0], 1.02 * frame.half_mouth[1]):
        y = np.array([np.interp(x, curve[:, 0], curve[:, 1]) for curve in curves]) + np.array([-0.02, 0.02]) * unit
        places = frame.picture(np.stack([np.full(2, x), y], axis=1))
        (left, right), (above, below) = np.round(places - oral.origin).astype(int).T
        skin = oral.corners[[above, below], [left, right]].astype(float)
        # Then it has the same light on both sides of the line
        assert skin[:, 3].min() > 200
        light = skin[:, :3] @ LUMA
        assert abs(light[0] - light[1]) < 0.08 * light.mean()


def test_no_line_of_touching_lips_is_drawn_on_the_skin_beside_a_round_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a smile that shows teeth, whose lips are brought together
    ctx = job(tmp_path / "smile", smiling())
    stages.face.run(ctx)
    strengths: list[npt.NDArray[np.float32]] = []

    def watched(
        _: InteriorPainter, opening: MouthOpening, lips: npt.NDArray[np.float32], touching: npt.NDArray[np.float32]
    ) -> None:
        strengths.append(touching[opening.softness < 1])

    monkeypatch.setattr(InteriorPainter, "draw_contact", watched)
    # When an "oo" is drawn, and a P
    show(ctx, {"round": 0.36, "pucker": 0.85, "close": 1.0}, {"press": 0.75, "close": 1.0})
    # Then the line ends with the lips of the one, which are narrower, and goes on to the corners of the other
    round_, shut = (np.array([values[: len(values) // 10].max(), values[len(values) // 2]]) for values in strengths)
    assert round_[0] < 0.1 * round_[1]
    assert shut[0] > 0.9 * shut[1]


def test_the_skin_beside_half_rounded_lips_hides_their_old_corners_and_is_not_seen_through(smile: Measured) -> None:
    # Given lips that are drawn in by less than half, which end between their old corners and a round mouth's ends
    picture, _, rig = smile
    lips = BareLips(rig.oral, (picture.shape[1], picture.shape[0]))
    x = np.concatenate([both_sides(rig.frame, end) for end in (0.98, 0.88)])
    line = rig.frame.local((rig.curve_upper + rig.curve_lower) / 2)
    places = rig.frame.picture(np.stack([x, np.interp(x, *line.T)], axis=1)).astype(np.float32)
    whole, less = (lips.skin_at(places, drawn_in).reshape(2, 2) for drawn_in in (1.0, 0.48))
    # Then the skin over the old corners is all there, and nearer to the lips there is little of it
    assert np.all(whole > 0.5)
    at_corners, nearer = less / whole
    assert np.all(at_corners > 0.97)
    assert np.all(nearer < 0.4)


def test_skin_is_painted_over_the_ends_of_an_upper_lip_high_above_its_corners(smile: Measured) -> None:
    # Given a mouth as wide open as for a shout: its upper lip rises steeply from the corners
    picture, landmarks, rig = smile
    across = rig.frame.along_mouth(rig.frame.local(landmarks[:, :2])[:, 0])
    raised = landmarks.copy()
    lip = list({*mesh.UPPER_LIP_OUTER, *mesh.UPPER_LIP_INNER})
    raised[lip, :2] -= (_steep(across[lip]) * rig.frame.unit)[:, None] * rig.frame.down
    along = rig.frame.along_mouth(rig.frame.local(rig.curve_upper)[:, 0])
    curve = rig.curve_upper - (_steep(along) * rig.frame.unit)[:, None] * rig.frame.down
    shouting = replace(rig, curve_upper=curve.astype(np.float32))
    # When the skin for round lips is painted
    oral = painted(picture, raised, shouting)
    # Then little is left of the upper lip toward both corners
    assert max(upper for upper, _ in left_of_lips(raised, shouting, oral, 0.93)) < 0.35


def _steep(along: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far a lip is raised along the mouth, in units: steeply next to the corners."""
    return 0.45 * np.maximum(1 - np.abs(along) ** 10, 0.0)
