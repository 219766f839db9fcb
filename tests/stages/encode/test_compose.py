"""The composer, judged by its frames: measured again by the landmarker, and compared pixel by pixel."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stages.face
import stages.lipsync
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.field_warp import field_at_points
from stages.encode.mouth import InteriorPainter, MouthOpening
from stages.face import mesh
from stages.face.landmarker import shared_landmarker
from stages.face.rig.rig import Rig, load_measured_rig
from tests.support.stages.picture_jobs import (
    changed,
    drawn,
    face_of,
    job,
    portrait_of,
    portrait_shown,
    say,
    show,
    smiling,
)

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]

#: Shapes of single sounds, as the lipsync stage gives them.
SOUNDS: dict[str, dict[str, float]] = {
    "rest": {},
    "AA": {"jaw": 0.62, "lower_lip": 0.3, "upper_lip": 0.2, "close": 1.0},
    "OO": {"round": 0.36, "pucker": 0.85, "close": 1.0},
    "EE": {"jaw": 0.17, "lower_lip": 0.6, "upper_lip": 0.4, "wide": 1.0, "close": 1.0},
    "PP": {"press": 0.75, "close": 1.0},
    "blink": {"blink_left": 1.0, "blink_right": 1.0},
    "turn": {"head_yaw": 3.0, "head_pitch": -2.0, "head_roll": 1.5, "head_x": 0.01, "breath": 1.0},
}


def measured(frame: Picture) -> npt.NDArray[np.float32]:
    points = shared_landmarker().read_mesh(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8))
    assert points is not None
    return points


@pytest.fixture(scope="module")
def frames(ready: Context) -> dict[str, Picture]:
    return dict(zip(SOUNDS, show(ready, *SOUNDS.values()), strict=True))


def test_at_rest_the_frame_is_the_portrait(ready: Context, frames: dict[str, Picture]) -> None:
    # Given, when, then
    assert not changed(frames["rest"], portrait_shown(ready)).any()


def test_lips_are_closed_at_p_and_open_at_a(frames: dict[str, Picture]) -> None:
    # Given rendered frames, measured again by the landmarker
    gap = {name: mesh.lip_gap(measured(frames[name])) for name in ("AA", "OO", "EE", "PP")}
    # Then P is shut, whatever the picture's own mouth does, and A is wide open
    assert gap["PP"] <= 0.03
    assert gap["AA"] > 0.2
    assert gap["AA"] > 1.5 * gap["EE"] > 0.08


def test_a_mouth_that_is_open_in_the_picture_shuts_however_the_head_is_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a picture of a wide open mouth: a frame of the drawn portrait that says "ah"
    calm, open_ = job(tmp_path / "calm", drawn()), SOUNDS["AA"]
    stages.face.run(calm)
    ctx = job(tmp_path / "open", Image.fromarray(cv2.cvtColor(show(calm, open_)[0], cv2.COLOR_BGR2RGB)))
    stages.face.run(ctx)
    gaps: list[float] = []
    between = MouthOpening.between

    def watched(
        upper: npt.NDArray[np.float32], lower: npt.NDArray[np.float32], unit: float, size: tuple[int, int]
    ) -> MouthOpening:
        gaps.append(float((lower - upper)[:, 1].max()) / unit)
        return between(upper, lower, unit, size)

    monkeypatch.setattr(MouthOpening, "between", staticmethod(watched))
    # When a P is drawn in a head that looks up, ahead and down
    show(ctx, *({**SOUNDS["PP"], "head_pitch": pitch} for pitch in (-14.0, 0.0, 14.0)))
    # Then nothing is seen between the lips
    assert len(gaps) == 3
    assert max(gaps) < 0.03


def test_o_is_narrow_and_e_is_wide(frames: dict[str, Picture]) -> None:
    # Given the mouths' widths, measured again
    width = {name: mesh.mouth_width(measured(frames[name])) for name in ("OO", "PP", "EE")}
    # Then
    assert width["OO"] < 0.85 * width["PP"]
    assert width["EE"] > 1.05 * width["PP"]


def rig_of(ctx: Context) -> Rig:
    return load_measured_rig(ctx.settings.paths.cache, np.ascontiguousarray(portrait_of(ctx)), face_of(ctx))


def test_the_upper_teeth_stay_where_they_are_when_the_lips_round(ready: Context) -> None:
    # Given a wide opening, which shows all of them
    rig = rig_of(ready)
    unit = rig.frame.unit
    height, width = portrait_of(ready).shape[:2]
    lower = rig.curve_upper + np.array([0, 0.4 * unit], np.float32)
    opening = MouthOpening.between(rig.curve_upper, lower, unit, (width, height)).visible()
    assert opening is not None
    painter = InteriorPainter(rig.oral, rig.tones, rig.frame)

    def lower_end(rounded: float) -> int:
        inside = painter.paint(opening, np.eye(2, 3, dtype=np.float32), (0.4 * unit, 0.0), 0.0, rounded)
        middle = inside[:, inside.shape[1] * 2 // 5 : inside.shape[1] * 3 // 5].mean(axis=(1, 2))
        return int(np.diff(middle)[: len(middle) * 2 // 3].argmin())  # the cavity below them is dark

    # When they are drawn behind flat and behind rounded lips / Then they end at the same height
    assert abs(lower_end(1.0) - lower_end(0.0)) <= 1


def test_a_thin_strip_of_teeth_under_a_rounded_lip_lies_in_its_shadow(ready: Context) -> None:
    # Given a wide opening whose upper lip covers all but the ends of the upper teeth
    rig = rig_of(ready)
    unit, (height, width) = rig.frame.unit, portrait_of(ready).shape[:2]
    painter = InteriorPainter(rig.oral, rig.tones, rig.frame)
    rows = np.arange(rig.oral.skull.shape[0])[:, None]
    end = np.where(rig.oral.skull[..., 3] > 128, rows, 0).max() + rig.oral.origin[1] - 0.035 * unit
    upper = np.stack([rig.curve_upper[:, 0], np.full(len(rig.curve_upper), end)], axis=1).astype(np.float32)
    opening = MouthOpening.between(
        upper, upper + np.array([0, 0.3 * unit], np.float32), unit, (width, height)
    ).visible()
    assert opening is not None

    def brightest(rounded: float) -> float:
        inside = painter.paint(opening, np.eye(2, 3, dtype=np.float32), (0.4 * unit, 0.0), 0.0, rounded)
        below = opening.rows()[:, 0] - end
        return float(inside[(below > 0) & (below < 0.035 * unit)].mean(axis=-1).max())

    # When they are drawn behind flat and behind rounded lips / Then the strip is no bright splinter behind these
    assert brightest(1.0) < 0.6 * brightest(0.0)


def test_teeth_of_a_smile_stay_where_they_are_while_the_lips_begin_to_close(tmp_path: Path) -> None:
    # Given a smile that shows the upper teeth, and the upper half of them
    ctx = job(tmp_path / "smile", smiling())
    stages.face.run(ctx)
    rig = rig_of(ctx)
    middle = len(rig.curve_upper) // 2
    (left, top), (right, _) = rig.curve_upper[middle - 12] + [0, 4], rig.curve_upper[middle + 12]
    gap = float((rig.curve_lower - rig.curve_upper)[middle, 1])
    teeth = slice(round(top), round(top + 0.4 * gap)), slice(round(left), round(right))
    # When its lips begin to close, up to their half
    frames = show(ctx, *({"close": part} for part in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)))
    # Then these teeth are as in the picture in each frame, and none differs much from the one before
    assert gap > 10
    for before, after in pairwise(frames):
        assert np.abs(after[teeth].astype(float) - before[teeth]).mean() < 8
        assert np.abs(after[teeth].astype(float) - frames[0][teeth]).mean() < 20


def test_an_opening_has_no_slits_beside_it() -> None:
    # Given lips that are apart in their middle, and by a little up to their corners
    x = np.linspace(100, 300, 81, dtype=np.float32)
    gap = 2 + 40 * np.sqrt(np.clip(1 - ((x - 200) / 55) ** 2, 0, 1))
    upper = np.stack([x, np.full_like(x, 150)], axis=1)
    lower = np.stack([x, 150 + gap], axis=1).astype(np.float32)
    # When the opening between them is made
    opening = MouthOpening.between(upper, lower, 200.0, (400, 400))
    # Then it is open in the middle only, as far as before
    open_ = np.flatnonzero(opening.lower - opening.upper > 0.5) + opening.left
    assert open_.min() >= 143
    assert open_.max() <= 257
    assert (opening.lower - opening.upper).max() > 40


def test_a_wide_opening_ends_where_the_lips_part() -> None:
    # Given lips that are wide apart, and whose edges meet at an angle, as in "ah"
    x = np.linspace(100, 300, 81, dtype=np.float32)
    gap = 80 * (1 - np.abs((x - 200) / 100) ** 2.3)
    upper = np.stack([x, np.full_like(x, 150)], axis=1)
    lower = np.stack([x, 150 + gap], axis=1).astype(np.float32)
    # When the opening between them is made
    opening = MouthOpening.between(upper, lower, 200.0, (400, 400))
    # Then it is as high as they are apart up to its ends: no skin is left between them there
    there = np.arange(opening.left, opening.right)
    apart = np.interp(there, x, gap, 0, 0)
    assert np.abs(opening.lower - opening.upper - apart).max() < 1.0
    assert opening.blunt == 0


def test_no_light_falls_on_teeth_behind_a_slit(ready: Context) -> None:
    # Given the upper teeth, and the lips over them a slit and a gap apart
    rig = rig_of(ready)
    painter = InteriorPainter(rig.oral, rig.tones, rig.frame)
    height, width = portrait_of(ready).shape[:2]

    def brightest(gap: float) -> float:
        upper = rig.curve_upper + np.array([0, 0.02 * rig.frame.unit], np.float32)
        lower = upper + np.array([0, gap * rig.frame.unit], np.float32)
        opening = MouthOpening.between(upper, lower.astype(np.float32), rig.frame.unit, (width, height)).visible()
        assert opening is not None
        inside = painter.paint(opening, np.eye(2, 3, dtype=np.float32), (gap * rig.frame.unit, 0.0), 0.0, 0.0)
        return float((inside.mean(axis=-1) * (opening.cover() > 0)).max())

    # When they are drawn / Then those behind the slit are dark
    assert brightest(0.01) < 0.6 * brightest(0.2)


def test_teeth_fade_and_do_not_vanish_as_a_wide_opening_is_rounded(ready: Context) -> None:
    # Given rounded lips over a strip of the upper teeth
    rig = rig_of(ready)
    painter, unit = InteriorPainter(rig.oral, rig.tones, rig.frame), rig.frame.unit
    height, width = portrait_of(ready).shape[:2]
    upper = rig.curve_upper + np.array([0, 0.04 * unit], np.float32)
    opening = MouthOpening.between(upper, (upper + np.array([0, 0.3 * unit])).astype(np.float32), unit, (width, height))

    def light(drop: float, rounded: float) -> float:
        inside = painter.paint(opening, np.eye(2, 3, dtype=np.float32), (drop * unit, 0.0), 0.0, rounded)
        middle = slice(inside.shape[1] * 2 // 5, inside.shape[1] * 3 // 5)
        strip = (opening.rows() > opening.upper) & (opening.rows() < opening.upper + 0.03 * unit)
        return float(inside[:, middle].mean(axis=-1)[strip[:, middle]].mean())

    # When the jaw is down, and when it is not / Then the teeth are seen in the lip's shadow, and hardly
    flat = light(0.3, 0.0)
    assert 0.4 * flat < light(0.3, 1.0) < 0.8 * flat
    assert light(0.05, 1.0) < 0.35 * flat


def test_steep_edges_of_the_opening_have_no_steps() -> None:
    # Given an opening whose lower edge falls by four px in each column
    x = np.arange(20, dtype=np.float32)
    opening = MouthOpening(0, 0, 20, 80, np.full_like(x, -5), 4 * x, 2 * x, np.ones_like(x))
    # When the part of each pixel between the lips is computed
    cover = opening.cover()
    # Then each row is as wide as it is
    rows = np.arange(8, 72)
    assert np.abs(cover[rows].sum(axis=1) - (19.5 - rows / 4)).max() < 0.12


def test_rounded_lips_come_down_over_the_upper_teeth(ready: Context) -> None:
    # Given the teeth's lower end in the middle of the mouth
    rig = rig_of(ready)
    left, top = rig.oral.origin
    edge = rig.curve_upper[len(rig.curve_upper) // 3 : -(len(rig.curve_upper) // 3)]
    rows = np.arange(rig.oral.skull.shape[0])[:, None] + top
    teeth = np.where(rig.oral.skull[..., 3] > 128, rows, 0).max(axis=0)[np.round(edge[:, 0]).astype(int) - left]

    def shown(**shape: float) -> npt.NDArray[Any]:
        """How much of the teeth is below the upper lip, in units."""
        amounts = np.array([shape.get(name, 0.0) for name in rig.face_names], np.float32)
        moved = field_at_points(np.tensordot(amounts, rig.upper, 1), rig.face_cells, rig.step, edge)
        return np.asarray((teeth - (edge + moved)[:, 1]) / rig.frame.unit)

    # When the lips are flat, and as in "oo" / Then the first show the teeth, and the second cover them
    assert shown(close=1.0).min() > 0.04
    assert shown(close=1.0, pucker=0.8).max() < 0.02


def test_a_blink_shuts_both_eyes_in_the_skins_own_colour(ready: Context, frames: dict[str, Picture]) -> None:
    # Given the eyes' boxes before and after
    points = np.array(face_of(ready)["landmarks"], np.float32)
    open_, shut = mesh.lid_openness(measured(frames["rest"])), mesh.lid_openness(measured(frames["blink"]))
    # Then the landmarker sees them shut
    assert max(shut) < 0.6 * min(open_)
    for upper, lower, _ in mesh.EYES:
        # And where the iris was there is skin: about as bright as the cheek below, and even
        middle = points[[upper[4], lower[4]], :2].mean(axis=0)
        height = float(abs(points[upper[4], 1] - points[lower[4], 1]))
        lid = patch(frames["blink"], middle - np.array([0, 0.15 * height]), 0.2 * height)
        cheek = patch(frames["blink"], middle + np.array([0, 2.2 * height]), 0.4 * height)
        assert 0.55 < lid.mean() / cheek.mean() < 1.25


def patch(frame: Picture, middle: npt.NDArray[Any], radius: float) -> Picture:
    x, y = (round(float(value)) for value in middle)
    reach = max(1, round(radius))
    return frame[y - reach : y + reach + 1, x - reach : x + reach + 1]


@pytest.mark.parametrize("beside", [{}, {"jaw": 0.3}])
def test_after_a_blink_the_eyes_are_the_portraits_own_again(ready: Context, beside: dict[str, float]) -> None:
    # Given a blink, alone or beside speech, and then rest
    _, after = show(ready, SOUNDS["blink"] | beside, {})
    # Then nothing of it is left
    assert not changed(after, portrait_shown(ready)).any()


def test_the_background_stands_still_when_the_head_turns(ready: Context, frames: dict[str, Picture]) -> None:
    # Given a frame with the head turned
    moved = changed(frames["turn"], portrait_shown(ready))
    rig = rig_of(ready)
    # Then the middle has moved, and farther from the person than anything moves, every pixel is the same
    assert moved.mean() > 0.1
    reach = np.ones((2 * 40 + 1, 2 * 40 + 1), np.uint8)
    assert not moved[cv2.dilate(rig.matte.alpha, reach) == 0].any()


def test_with_the_head_locked_only_the_face_changes(ready: Context, frames: dict[str, Picture]) -> None:
    # Given an open mouth and shut eyes
    portrait = portrait_shown(ready)
    rows, columns = np.nonzero(changed(frames["AA"], portrait) | changed(frames["blink"], portrait))
    x, y, width, height = face_of(ready)["box"]
    # Then all that changed lies within the face and the neck below its chin
    assert columns.min() > x - 0.35 * width
    assert columns.max() < x + 1.35 * width
    assert rows.min() > y
    assert rows.max() < y + 1.5 * height


def test_nothing_tears(frames: dict[str, Picture]) -> None:
    # Given every frame's steepest change between neighbouring pixels
    def steepest(frame: Picture) -> float:
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
        return float(np.percentile(np.abs(np.diff(grey, axis=0)), 99.95))

    # Then no frame has edges much harder than the portrait's own
    for name in ("PP", "turn", "blink"):
        assert steepest(frames[name]) < 1.25 * steepest(frames["rest"]) + 4, name


@pytest.fixture(scope="module")
def talking(ready: Context) -> tuple[Context, list[Picture]]:
    say(ready, [("ɑ", 0.3, 0.6), ("m", 0.6, 0.65), ("i", 0.65, 0.9), ("p", 0.9, 0.95), ("u", 0.95, 1.2)], 1.7)
    stages.lipsync.run(ready)
    return ready, [frame.to_bgr() for frame in Composer.for_job(ready).frames()]


def test_a_clip_begins_and_ends_as_the_portrait(talking: tuple[Context, list[Picture]]) -> None:
    ctx, clip = talking
    # Given, when, then
    assert len(clip) == Composer.for_job(ctx).frame_count == 43
    assert not changed(clip[0], portrait_shown(ctx)).any()
    assert not changed(clip[-1], portrait_shown(ctx)).any()


def test_spoken_frames_close_at_m_and_open_at_a(talking: tuple[Context, list[Picture]]) -> None:
    _, clip = talking
    # Given the frames of a vowel and of the touch that follows
    vowel = max(mesh.lip_gap(measured(clip[k])) for k in range(9, 14))
    touch = min(mesh.lip_gap(measured(clip[k])) for k in (15, 16))
    # Then
    assert vowel > 0.12
    assert touch <= 0.03


def test_the_same_job_gives_the_same_bytes(talking: tuple[Context, list[Picture]]) -> None:
    ctx, clip = talking
    # Given the same job rendered again
    again = [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]
    # Then
    assert all((one == other).all() for one, other in zip(clip, again, strict=True))


def test_a_small_face_in_a_large_picture_is_moved_in_place(tmp_path: Path) -> None:
    # Given a face that takes a sixth of the picture's width
    picture = Image.new("RGB", (1000, 700), (120, 130, 140))
    picture.paste(drawn().resize((400, 400)), (500, 200))
    ctx = job(tmp_path / "job", picture)
    stages.face.run(ctx)
    # When it speaks
    (frame,) = show(ctx, SOUNDS["AA"])
    # Then what lies away from it is the picture's own
    portrait = portrait_shown(ctx)
    x, _, width, _ = face_of(ctx)["box"]
    assert not changed(frame, portrait)[:, : int(x - 0.5 * width)].any()
    assert changed(frame, portrait).any()


def test_folds_beside_a_widened_mouth_deepen_a_little(ready: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the same spread mouth with and without the shading
    shaded = show(ready, SOUNDS["EE"])[0].astype(int)
    monkeypatch.setattr("stages.encode.creases._DARKEST", 0.0)
    plain = show(ready, SOUNDS["EE"])[0].astype(int)
    # Then it is darker, by less than a sixth, and only between the nose and the sides of the face
    darker = (plain - shaded).max(axis=-1)
    assert darker.max() > 5
    assert (plain - shaded <= plain / 6 + 2).all()
    points = np.array(face_of(ready)["landmarks"])
    rows, columns = np.nonzero(darker > 5)
    assert rows.min() > points[168, 1]
    assert columns.min() > points[234, 0]
    assert columns.max() < points[454, 0]
