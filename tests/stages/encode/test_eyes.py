"""Blinks and gaze, judged by their frames: one surface that comes down, and irises that move between lids that stay."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

import stages.face
from stages.context import Context
from stages.encode import blinks
from stages.encode.blinks import BlinkPainter
from stages.encode.gaze import GazeLimit
from stages.face import mesh
from stages.face.eye_outline import EyeOutline
from stages.face.eyes import Eyes, judge_eyes
from stages.face.rig.colours import FaceColours
from stages.face.rig.eyes.eyeball import find_eyeball
from stages.face.rig.eyes.lids import paint_lid
from stages.face.rig.eyes.lower_lid import with_lower_lid
from stages.face.rig.rig import load_measured_rig
from stages.face.sampling import blur, sample
from tests.support.stages.picture_jobs import changed, drawn, face_of, job, portrait_of, portrait_shown, show, smiling

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]
#: Luma's weights for BGR.
LUMA = np.array([0.114, 0.587, 0.299])


def both(blink: float) -> dict[str, float]:
    return {"blink_left": blink, "blink_right": blink}


def outlines(ctx: Context) -> list[EyeOutline]:
    landmarks = np.array(face_of(ctx)["landmarks"], np.float32)
    return [EyeOutline.of(landmarks, side) for side in (0, 1)]


def softened(frame: Picture, eye: EyeOutline) -> npt.NDArray[np.float32]:
    """A frame in which what is finer than an eye's lines is blurred away."""
    return np.asarray(blur(frame.astype(np.float32), 0.03 * eye.width), np.float32)


def column_of(
    soft: npt.NDArray[np.float32], eye: EyeOutline, place: float, rows: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Luma of a softened frame at `place` of the eye's width, and at `rows` of the opening there: 0 at its top, 1 at its end."""
    upper, lower = (float(edge[0]) for edge in eye.edges(np.array([place * eye.width])))
    down = upper + rows * (lower - upper)
    points = eye.corner + place * eye.width * eye.across + down[:, None] * eye.down
    return np.asarray(sample(soft, points[None].astype(np.float32))[0] @ LUMA, np.float64)


def column(frame: Picture, eye: EyeOutline, place: float, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`column_of` a frame."""
    return column_of(softened(frame, eye), eye, place, rows)


#: Places along an eye, in its widths.
ALONG = np.linspace(0.0, 1.0, 101)


def profile(frame: Picture, eye: EyeOutline) -> npt.NDArray[np.float64]:
    """Luma along the middle of the opening."""
    soft = softened(frame, eye)
    return np.array([column_of(soft, eye, place, np.linspace(0.35, 0.65, 5)).mean() for place in ALONG])


def test_nothing_of_the_open_eyes_outline_stays_above_a_closed_lid(ready: Context) -> None:
    # Given an open eye, whose upper lid's edge is a dark line, and the closed one
    open_, shut = show(ready, {}, both(blink=1.0))
    rows = np.linspace(-0.9, 0.6, 31)
    edge = np.abs(rows) < 0.2
    for eye in outlines(ready):
        for place in (0.35, 0.5, 0.65):
            before, after = column(open_, eye, place, rows), column(shut, eye, place, rows)
            # Then where the line was there is no darker line any more: the lid's brightness changes slowly
            assert before[edge].min() < 0.75 * np.median(after)
            assert after[edge].min() > 0.85 * np.median(after)
            assert np.abs(np.diff(after)).max() < 0.07 * np.median(after)


def test_a_half_closed_lid_covers_the_iris_from_above_and_does_not_fade_it(ready: Context) -> None:
    # Given, when
    open_, half, shut = show(ready, {}, both(blink=0.5), both(blink=1.0))
    for eye in outlines(ready):
        place = eye.iris[0] / eye.width
        high, low = np.array([0.2]), np.array([0.8])
        # Then the upper part is the lid's, and the lower part is still the iris, at most shaded by the lid
        assert column(half, eye, place, high)[0] == pytest.approx(column(shut, eye, place, high)[0], rel=0.2)
        assert column(half, eye, place, low)[0] <= column(open_, eye, place, low)[0] + 8


def test_irises_move_as_far_as_told_between_lids_that_stay(ready: Context) -> None:
    # Given a gaze to a side where there is white
    rig = load_measured_rig(ready.settings.paths.cache, portrait_of(ready), face_of(ready))
    limit = GazeLimit(rig.eyeballs)
    right, left = limit(1, 0)[0], limit(-1, 0)[0]
    told = right if right > -left else left
    assert abs(told) > 0.015
    # When it is drawn
    rest, turned = show(ready, {}, {"gaze_x": told})
    for eye in outlines(ready):
        # Then the iris has moved by that much
        before, after = profile(rest, eye), profile(turned, eye)
        near = np.abs(ALONG * eye.width - eye.iris[0]) < 1.1 * eye.radius
        shifts = np.linspace(-0.2, 0.2, 401)
        errors = [np.abs(np.interp(ALONG - shift, ALONG, before) - after)[near].mean() for shift in shifts]
        assert shifts[int(np.argmin(errors))] == pytest.approx(told, abs=0.25 * abs(told))
    # And beyond the openings nothing has
    moved = changed(turned, rest)
    for ball in rig.eyeballs:
        x, y = ball.origin
        height, width = ball.share.shape
        moved[y - 2 : y + height + 2, x - 2 : x + width + 2] = False
    assert not moved.any()


def test_lids_shut_to_where_the_eyeball_ends_and_not_where_the_mesh_does(ready: Context) -> None:
    # Given a mesh whose lower lids lie 7 % of the eye's width too high, above white and iris
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        wrong = landmarks.copy()
        inner = list(mesh.EYES[side][1][1:-1])
        wrong[inner, :2] -= 0.07 * eye.width * eye.down.astype(np.float32)
        # When the lower lid is looked for, from either mesh
        middle = np.array([0.5 * eye.width])
        found, known = (
            float(with_lower_lid(portrait, EyeOutline.of(points, side)).edges(middle)[1][0])
            for points in (wrong, landmarks)
        )
        # Then it is nearly in the same place: a lid shuts 2.5 % of the eye's width below it, and its lashes reach farther

        assert abs(found - known) < 0.05 * eye.width
        assert known >= float(eye.edges(middle)[1][0]) - 0.005 * eye.width


def test_the_iris_goes_on_as_a_disc_under_the_lid(ready: Context) -> None:
    # Given eyes with white and a small round iris, of which the upper lid hides nearly half
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready).copy()
    for side in (0, 1):
        eye = EyeOutline.of(landmarks, side)
        box = eye.box(0.1, 0.4, 0.4, (portrait.shape[1], portrait.shape[0]))
        along, down = eye.local(box)
        upper, lower = eye.edges(along)
        radius = 0.11 * eye.width
        x, y = 0.5 * eye.width, float(eye.edges(np.array([0.5 * eye.width]))[0][0]) + 0.2 * radius
        iris = np.clip(radius - np.hypot(along - x, down - y) + 0.5, 0, 1)[..., None]
        seen = np.clip(np.minimum(down - upper, lower - down) + 0.5, 0, 1)[..., None]
        shown = portrait[box[1] : box[3], box[0] : box[2]]
        shown[:] = shown + seen * ((1 - iris) * 220 + iris * 50 - shown)
        rim = [(0, 0), (radius, 0), (0, -radius), (-radius, 0), (0, radius)]
        for index, (aside, below) in zip(mesh.IRISES[side], rim, strict=True):
            landmarks[index, :2] = eye.corner + (x + aside) * eye.across + (y + below) * eye.down
        # When the eyeball is prepared
        ball = find_eyeball(portrait, landmarks, side)
        # Then above the lid's edge the iris gets narrower, as below it, instead of going straight up
        high = y - 0.65 * radius
        places = np.array(
            [eye.corner + (x + aside * radius) * eye.across + high * eye.down for aside in (-0.9, 0, 0.9)]
        )
        left, middle, right = sample(ball.ball, (places - ball.origin)[None].astype(np.float32))[0].mean(axis=1)
        assert middle < 110
        assert min(left, right) > 160


def test_a_gaze_beyond_the_white_is_limited_and_the_same_for_both_eyes(ready: Context) -> None:
    # Given
    eyeballs = load_measured_rig(ready.settings.paths.cache, portrait_of(ready), face_of(ready)).eyeballs
    # When, then
    x, y = GazeLimit(eyeballs)(5.0, -5.0)
    for ball in eyeballs:
        assert 0 <= x * ball.eye_width <= ball.reach[1] + 1e-4
        assert 0 <= -y * ball.eye_width <= ball.reach[2] + 1e-4
    first, second = show(ready, {"gaze_x": x, "gaze_y": y}, {"gaze_x": 5.0, "gaze_y": -5.0})
    assert (first == second).all()


def test_a_dim_eye_turns_less_far(ready: Context) -> None:
    # Given a portrait, and the same in which the whites are hardly lighter than the irises
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    dim = portrait.copy()
    for eye in outlines(ready):
        x0, y0, x1, y1 = eye.box(0.1, 0.1, 0.1, (portrait.shape[1], portrait.shape[0]))
        along, down = eye.local((x0, y0, x1, y1))
        upper, lower = eye.edges(along)
        inside = (down > upper) & (down < lower)
        box = dim[y0:y1, x0:x1]
        light = float(np.percentile(box[inside].mean(axis=-1), 90))
        box[inside] = np.clip(light + 0.2 * (box[inside] - light), 0, 255)
    for side in (0, 1):
        # When both are prepared / Then the dim one moves up and down, where no white is needed, by half as much at most
        clear, faint = (find_eyeball(one, landmarks, side).reach for one in (portrait, dim))
        assert (faint[2:] < 0.5 * clear[2:]).all()
        assert (clear[2:] > 0).all()


def test_a_closed_lid_ends_below_a_low_brow(ready: Context) -> None:
    # Given a brow that is only 0.22 of the eye's width above the lid
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready).copy()
    for side, eye in enumerate(outlines(ready)):
        along = np.linspace(0.2, 0.8, 9) * eye.width
        high = eye.edges(along)[0] - 0.22 * eye.width
        line = (eye.corner + along[:, None] * eye.across + high[:, None] * eye.down).astype(np.float32)
        brow = list(mesh.EYES[side][2])
        places = np.interp(np.arange(len(brow)), np.linspace(0, len(brow) - 1, 9), np.arange(9)).round().astype(int)
        landmarks[brow, :2] = line[places]
        hair = (60, 45, 40)
        cv2.polylines(portrait, [np.round(line).astype(np.int32)], False, hair, max(round(0.07 * eye.width), 2))
        # When the eye is shut
        lid = paint_lid(portrait, landmarks, side, FaceColours.of(portrait, landmarks))
        painter = BlinkPainter(lid)
        shut = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2BGRA), np.uint8)
        shut[painter.slices] = painter.paint(shut[painter.slices], 1.0)
        # Then the brow is still there, nearly as dark
        x, y = np.round(line[2:-2]).astype(int).T
        assert shut[y, x, :3].mean() < np.mean(hair) + 25


def test_a_blink_paints_all_that_it_changes(ready: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a painter that paints all of the eye's box, and the usual one, which paints fewer rows
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    figure = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2BGRA), np.uint8)
    for side in (0, 1):
        lid = paint_lid(portrait, landmarks, side, FaceColours.of(portrait, landmarks))
        usual = BlinkPainter(lid)
        with monkeypatch.context() as patched:
            patched.setattr(blinks, "_changed_rows", lambda lid: slice(0, len(lid.below)))
            whole = BlinkPainter(lid)
        assert usual.slices[0].stop - usual.slices[0].start < len(lid.below)
        for blink in (0.05, 0.3, 0.7, 1.0):
            # When both paint the same blink
            pictures = []
            for painter in (usual, whole):
                picture = figure.copy()
                picture[painter.slices] = painter.paint(picture[painter.slices], blink)
                pictures.append(picture)
            # Then both paint the same, and the figure stays as opaque as it was
            assert cv2.norm(pictures[0], pictures[1], cv2.NORM_INF) <= 1
            assert (pictures[0][..., 3] == 255).all()


@pytest.mark.parametrize(("above", "thick"), [(0.13, 0.05), (0.11, 0.15)], ids=["a thin one", "one on the lashes"])
def test_the_rim_of_glasses_stays_before_a_closing_lid(tmp_path: Any, above: float, thick: float) -> None:
    # Given a rim over both eyes, just above the lashes or before them
    plain = job(tmp_path / "plain", drawn())
    stages.face.run(plain)
    eyes = outlines(plain)
    scale = drawn().width / face_of(plain)["width"]
    picture = drawn().copy()
    places = []
    for eye in eyes:
        height = float(eye.edges(np.array([0.5 * eye.width]))[0][0]) - above * eye.width
        ends = [eye.corner + along * eye.width * eye.across + height * eye.down for along in (-0.36, 1.36)]
        middle, half = ends[0] + 0.5 * (ends[1] - ends[0]), 0.5 * thick * eye.width - 1.5
        places += [middle, *(middle + way * max(half, 0) * eye.down for way in (-1, 1))]
        wide = max(round(thick * eye.width * scale), 2)
        ImageDraw.Draw(picture).line([tuple(end * scale) for end in ends], (45, 35, 30), wide)
    ctx = job(tmp_path / "job", picture)
    stages.face.run(ctx)
    # When the eyes close
    open_, shut = show(ctx, {}, both(blink=1.0))
    # Then they do, and the rim is as dark as before, in its place
    assert changed(shut, open_).any()
    for place in places:
        x, y = (round(float(value)) for value in place)
        assert (shut[y, x - 3 : x + 4] @ LUMA).mean() <= (open_[y, x - 3 : x + 4] @ LUMA).mean() + 8


def sunglasses(picture: Image.Image, eyes: list[EyeOutline], scale: float) -> Image.Image:
    dark = picture.copy()
    for eye in eyes:
        middle = (eye.corner + 0.5 * eye.width * eye.across) * scale
        reach = np.array([0.8, 0.55]) * eye.width * scale
        ImageDraw.Draw(dark).ellipse([*(middle - reach), *(middle + reach)], (28, 26, 25))
    return dark


def enlarged(picture: Image.Image, eyes: list[EyeOutline], scale: float) -> Image.Image:
    """The same with eyes 1.8 times as large."""
    pixels = np.asarray(picture)
    y, x = np.indices(pixels.shape[:2], dtype=np.float32)
    places = np.dstack([x, y])
    for eye in eyes:
        away = np.dstack([x, y]) - (eye.corner + 0.5 * eye.width * eye.across) * scale
        distance = np.linalg.norm(away, axis=2) / (1.08 * eye.width * scale)
        nearer = np.where(distance < 1, 1 / 1.8 + (1 - 1 / 1.8) * np.clip((distance - 0.55) / 0.45, 0, 1) ** 1.5, 1)
        places += away * (nearer - 1)[..., None]
    return Image.fromarray(sample(pixels, places.astype(np.float32), cv2.INTER_CUBIC))


@pytest.mark.parametrize("change", [sunglasses, enlarged])
def test_eyes_that_the_mesh_misses_stay_as_they_are_and_the_status_says_so(change: Any, tmp_path: Any) -> None:
    # Given eyes behind dark glasses, or drawn far larger than a person's
    plain = job(tmp_path / "plain", drawn())
    facts = stages.face.run(plain)
    assert facts["eyes"] == "open"
    assert not plain.warnings
    ctx = job(tmp_path / "job", change(drawn(), outlines(plain), drawn().width / face_of(plain)["width"]))
    # When the face stage runs, and a blink with a gaze is drawn
    facts = stages.face.run(ctx)
    shown = show(ctx, both(blink=1.0) | {"gaze_x": 0.05})[0]
    # Then they stay as they are, and the status says why
    assert facts["eyes"] == "unsure"
    assert any("cannot be made out" in warning for warning in ctx.warnings)
    assert not changed(shown, portrait_shown(ctx)).any()


def test_a_fold_below_a_lid_is_no_lid_at_any_size(tmp_path: Any) -> None:
    # Given a photo with a dark fold below one eye
    plain = job(tmp_path / "plain", smiling())
    stages.face.run(plain)
    landmarks = np.array(face_of(plain)["landmarks"], np.float32)
    picture, eye, along = portrait_of(plain).copy(), outlines(plain)[0], np.linspace(0.0, 1.0, 40)
    down = eye.edges(along * eye.width)[1] + 0.125 * eye.width
    fold = eye.corner + along[:, None] * eye.width * eye.across + down[:, None] * eye.down
    line = picture.copy()
    cv2.polylines(line, [np.round(fold).astype(np.int32)], False, (60, 30, 25), max(round(0.03 * eye.width), 1))
    picture = np.asarray(cv2.addWeighted(line, 0.55, picture, 0.45, 0), np.uint8)
    # When it is looked at in sizes from a sixth to twice its own / Then the eye is where the mesh says, in each
    for scale in (1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 1.4, 2):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        resized = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method), np.uint8)
        assert judge_eyes(resized, landmarks * np.float32(scale)) is Eyes.OPEN, scale


def test_narrow_eyes_without_white_are_seen(tmp_path: Any) -> None:
    # Given eyes of which no white is seen, as of somebody who squints
    plain = job(tmp_path / "plain", drawn())
    stages.face.run(plain)
    picture, landmarks = portrait_of(plain).copy(), np.array(face_of(plain)["landmarks"], np.float32)
    for eye in outlines(plain):
        along, down = eye.local((0, 0, picture.shape[1], picture.shape[0]))
        upper, lower = eye.edges(along)
        picture[(down > upper) & (down < lower) & (along > 0) & (along < eye.width)] = 70, 55, 50
    # When they are judged / Then they are open
    assert judge_eyes(picture, landmarks) is Eyes.OPEN


def test_eyes_in_the_shade_of_the_brows_are_seen(tmp_path: Any) -> None:
    # Given a face under the sun, with dark eye sockets and light cheeks
    plain = job(tmp_path / "plain", smiling())
    stages.face.run(plain)
    picture = np.asarray(smiling()).astype(np.float32)
    y, x = np.indices(picture.shape[:2], dtype=np.float32)
    light = np.ones(picture.shape[:2], np.float32)
    for eye in outlines(plain):
        away = (np.dstack([x, y]) - (eye.corner + 0.5 * eye.width * eye.across)) / eye.width
        light = np.minimum(light, 1 - 0.6 * np.clip(4 - 5 * np.hypot(away[..., 0], away[..., 1]), 0, 1))
    shaded = Image.fromarray((picture * light[..., None]).astype(np.uint8))
    # When the face stage runs / Then they blink
    assert stages.face.run(job(tmp_path / "job", shaded))["eyes"] == "open"
