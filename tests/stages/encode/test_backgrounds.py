"""The person moves before a background that stands still, or before another one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stages.encode
import stages.face
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.planes import PlanarFrame
from stages.face import mesh
from stages.face.landmarker import shared_landmarker
from stages.face.rig.matting.matte import Matte, background_share
from stages.face.rig.matting.split_person import find_person, split_person
from stages.face.rig.rig import load_measured_rig, person_in
from stages.lipsync.motion_track import PARAMETERS, MotionTrack
from stages.media.ffmpeg import ffmpeg_path
from tests.support.stages.picture_jobs import (
    ROUNDING,
    changed,
    drawn,
    encoded,
    face_of,
    job,
    portrait_of,
    portrait_shown,
    say,
    smiling,
)

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]


def prepared(folder: Path, background: str | None = None, file: bytes | None = None, **manifest: Any) -> Context:
    """A job after its face stage."""
    ctx = job(folder, drawn(384), **manifest | {"background": background or "keep"})
    if file is not None:
        ctx.path("source.background").write_bytes(file)
    stages.face.run(ctx)
    return ctx


def matte_of(ctx: Context) -> Matte:
    return load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx)).matte


def leaning(ctx: Context) -> list[Picture]:
    """Frames in which the head is as far to one side, and to the other, as it ever goes."""
    values = np.zeros((3, len(PARAMETERS)), np.float32)
    for row, sign in ((1, 1.0), (2, -1.0)):
        for name, value in {"lean": 0.1, "head_yaw": 3.0, "head_roll": 2.0, "head_y": 0.03, "jaw": 0.3}.items():
            values[row, PARAMETERS.index(name)] = sign * value if name != "jaw" else value
    MotionTrack(values, Fraction(25), 0).save(ctx.path("motion.npz"))
    return [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]


@pytest.mark.parametrize("picture", [partial(drawn, 384), smiling], ids=["drawn", "photo"])
def test_the_layers_together_are_the_picture(picture: Callable[[], Image.Image]) -> None:
    # Given a portrait split into figure and background
    portrait = np.ascontiguousarray(np.asarray(picture()))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    matte = split_person(portrait, landmarks, person_in(portrait, landmarks))
    assert matte
    # When they are put together again / Then not one pixel differs
    behind = background_share(matte.plate, matte.alpha)
    assert (cv2.add(cv2.subtract(portrait, behind), behind) == portrait).all()
    # And the face belongs to the figure, the upper corners do not
    x, y = landmarks[1, :2].astype(int)
    assert matte.alpha[y, x] == 255
    assert matte.alpha[2, 2] < 30


def before_a_wall(stripes: bool = False) -> tuple[Picture, npt.NDArray[np.float32], Picture]:
    """A drawn person with thin strands of hair before a wall: the picture, its landmarks, and where the strands are."""
    portrait = np.ascontiguousarray(np.asarray(drawn(384)))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait)
    noise = np.random.default_rng(3).normal(0, 2, portrait.shape)
    wall = np.full(portrait.shape, (196.0, 200.0, 206.0)) + noise
    if stripes:
        wall[:, ::6] -= 60
    strands = np.zeros(portrait.shape[:2], np.uint8)
    x = int(landmarks[mesh.FOREHEAD, 0])
    top = int(np.flatnonzero(person[:, x] > 0.5)[0])
    for step in range(-40, 41, 16):
        cv2.line(strands, (x + step, top + 6), (x + step + step // 4, top - 9), (255,), 1)
    inside = cv2.GaussianBlur((person > 0.5).astype(np.float32), (0, 0), 0.8)[..., None]
    picture = inside * portrait + (1 - inside) * wall
    hair = np.maximum(strands[..., None] / 255.0 * (1 - inside), 0)
    picture = hair * (30, 24, 20) + (1 - hair) * picture
    return np.asarray(np.clip(picture, 0, 255), np.uint8), landmarks, np.asarray(strands * (person < 0.3), np.uint8)


def test_fine_hair_belongs_to_the_person_and_the_wall_does_not() -> None:
    # Given strands that the segmentation does not see, before a plain wall
    portrait, landmarks, strands = before_a_wall()
    person = shared_landmarker().person_mask(portrait)
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    # Then they are in the matte, and not in the filled background
    assert np.median(matte.cut[strands > 0]) > 128
    assert np.median(matte.plate[strands > 0]) > 170
    # And of the wall nothing is, farther from the outline than a strand reaches
    near = cv2.dilate(((person > 0.5) | (strands > 0)).astype(np.uint8), np.ones((11, 11), np.uint8))
    assert (matte.cut[near == 0] > 25).mean() < 0.001


def test_the_texture_of_a_busy_background_stays_in_the_background() -> None:
    portrait, landmarks, _ = before_a_wall(stripes=True)
    person = shared_landmarker().person_mask(portrait)
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    near = cv2.dilate((person > 0.5).astype(np.uint8), np.ones((15, 15), np.uint8))
    assert (matte.cut[near == 0] > 25).mean() < 0.002


def before_a_lit_wall(
    side: int,
) -> tuple[Picture, npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A drawn person before a light wall: picture, landmarks, segmentation, and distance outside of the person, px."""
    portrait = np.ascontiguousarray(np.asarray(drawn(side)))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait)
    inside = (person > 0.5).astype(np.uint8)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) - cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    wall = np.full(portrait.shape, (196.0, 200.0, 206.0)) + np.random.default_rng(3).normal(0, 2, portrait.shape)
    cover = np.clip(0.5 - away / 2, 0, 1)[..., None]
    picture = np.clip(cover * portrait + (1 - cover) * wall, 0, 255).astype(np.uint8)
    return picture, landmarks, person, np.asarray(away, np.float32)


def test_light_at_the_edge_of_a_person_does_not_make_it_transparent() -> None:
    # Given red shoulders whose edge is a third of the way to the wall's colour
    portrait, landmarks, person, away = before_a_lit_wall(768)
    below = np.arange(768)[:, None] > 1.15 * landmarks[mesh.CHIN, 1]
    portrait[below & (away < 0)] = (160, 40, 50)
    edge = (away < -5) & (away > -14) & below
    portrait[edge] = (0.67 * portrait[edge] + 0.33 * np.array((196, 200, 206))).astype(np.uint8)
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    assert edge.sum() > 500
    assert (matte.cut[edge] < 230).mean() < 0.15


def test_the_texture_of_the_wall_beside_the_outline_does_not_move_with_the_person() -> None:
    # Given blotches of another colour that lie beside the outline
    portrait, landmarks, person, away = before_a_lit_wall(1080)
    clouds = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, portrait.shape[:2]), (0, 0), 12)
    blotches = np.clip(clouds / clouds.std(), 0, 2)[..., None] * np.array([-14.0, 2.0, -18.0])
    portrait = np.where(away[..., None] > 1, np.clip(portrait + blotches, 0, 255), portrait).astype(np.uint8)
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    # Then they belong to the background: hardly anything is raised where they differ
    beside = (away > 4.5) & (away < 9) & (np.abs(blotches).max(axis=-1) > 9)
    assert beside.sum() > 300
    assert (matte.alpha[beside] > 16).mean() < 0.03


def test_nothing_is_copied_into_the_background_behind_the_person() -> None:
    # Given a letter-like mark close to the head
    portrait, landmarks, _ = before_a_wall()
    person = shared_landmarker().person_mask(portrait)
    left = int(np.flatnonzero(person[int(landmarks[1, 1])] > 0.5)[0])
    mark = slice(int(landmarks[1, 1]) - 10, int(landmarks[1, 1]) + 10), slice(left - 44, left - 24)
    portrait[mark] = (200, 20, 20)
    # When the person is taken out / Then behind the person there is no second one
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    behind = matte.plate[matte.alpha == 255].astype(int)
    assert (behind[:, 0] - behind[:, 1]).max() < 90
    red = matte.plate[mark].astype(int)
    assert np.median(red[..., 0] - red[..., 1]) > 150


def test_a_moving_head_leaves_no_ghost_on_a_checkerboard(tmp_path: Path) -> None:
    # Given a person before a checkerboard, which every shift of the wall would show
    portrait = np.asarray(drawn(384)).copy()
    person = shared_landmarker().person_mask(np.ascontiguousarray(portrait))
    board = (np.indices(person.shape) // 12).sum(axis=0) % 2 * 110 + 100
    cover = np.clip(cv2.GaussianBlur(np.asarray(person, np.float32), (0, 0), 0.8), 0, 1)[..., None]
    picture = Image.fromarray((cover * portrait + (1 - cover) * board[..., None]).astype(np.uint8))
    shown: dict[str, list[PlanarFrame]] = {}
    for background in ("keep", "transparent"):
        ctx = job(tmp_path / background, picture, background=background)
        stages.face.run(ctx)
        leaning(ctx)
        shown[background] = [frame.copy() for frame in Composer.for_job(ctx).frames()]
    away = cv2.distanceTransform((person < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    for moved, figure in zip(shown["keep"][1:], shown["transparent"][1:], strict=True):
        rest, clear = shown["keep"][0].y.astype(int), figure.alpha == 0
        # Then what the head does not cover of the wall beside it is the same as at rest, but for single pixels
        beside = clear & (away > 5) & (away < 14)
        assert beside.sum() > 1000
        assert (np.abs(moved.y.astype(int) - rest)[beside] > 40).mean() < 0.04
        # And where the head was, its dark outline is gone
        left = clear & (person > 0.9)
        assert left.sum() > 50
        assert (moved.y[left] < 60).mean() < 0.02


@pytest.mark.parametrize("fault", ["hole", "crown"])
def test_a_plain_mistake_of_the_segmentation_is_mended_and_told(fault: str) -> None:
    # Given a segmentation with a hole in the hair, or without the top of the head
    portrait = np.ascontiguousarray(np.asarray(drawn(384)))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait).copy()
    assert not split_person(portrait, landmarks, find_person(portrait, landmarks, person)).repaired
    x, y = landmarks[mesh.FOREHEAD, :2].astype(int)
    if fault == "hole":
        person[y - 24 : y - 4, x - 20 : x + 20] = 0
    else:
        person[: y - 2] = 0
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    # Then the head is whole, and that is said
    assert (matte.cut[y - 8 : y - 4, x - 10 : x + 10] > 250).all()
    assert matte.repaired


def test_a_gap_in_the_chest_at_the_lower_border_is_none() -> None:
    # Given a segmentation that misses something bright on the chest, which the lower border cuts
    portrait = np.array(drawn(384))
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait).copy()
    x = round(float(landmarks[mesh.CHIN, 0]))
    gap = np.s_[-24:, x - 14 : x + 14]
    portrait[gap] = 250, 240, 120
    person[gap] = 0
    # When the person is cut out / Then it belongs to the person
    assert (
        split_person(portrait, landmarks, find_person(portrait, landmarks, person)).cut[-16:, x - 10 : x + 10] > 250
    ).all()


def test_an_ear_that_the_segmentation_half_sees_belongs_to_the_person() -> None:
    # Given a segmentation that gives skin beside the face, as of an ear, only a third of a chance, before a busy background
    portrait = np.asarray(drawn(384)).copy()
    landmarks = shared_landmarker().read_mesh(portrait)
    assert landmarks is not None
    person = shared_landmarker().person_mask(portrait).copy()
    x, y = landmarks[mesh.LEFT_SIDE, :2].astype(int)
    cheek = np.median(portrait[tuple(landmarks[list(mesh.CHEEKS), 1::-1].astype(int).T)], axis=0)
    busy = np.random.default_rng(1).integers(0, 2, (96, 96, 1)) * np.array([90, 120, 150])
    wall = cv2.resize(busy.astype(np.uint8), (384, 384), interpolation=cv2.INTER_NEAREST)
    portrait[person < 0.5] = wall[person < 0.5]
    ear = np.zeros(person.shape, np.uint8)
    cv2.ellipse(ear, (int(x) - 4, int(y)), (9, 16), 0, 0, 360, (1,), cv2.FILLED)
    portrait[ear > 0] = cheek.astype(np.uint8)
    person[ear > 0] = np.minimum(person[ear > 0], 0.33)
    person[:, : x - 13] = np.minimum(person[:, : x - 13], 0.05)
    # Then it moves with the person
    matte = split_person(portrait, landmarks, find_person(portrait, landmarks, person))
    assert np.percentile(matte.cut[cv2.erode(ear, np.ones((5, 5), np.uint8)) > 0], 5) > 200


def test_the_background_stands_still_while_the_head_moves(tmp_path: Path) -> None:
    # Given frames with the head far to either side
    ctx = prepared(tmp_path / "job")
    portrait, matte = portrait_shown(ctx), matte_of(ctx)
    frames = leaning(ctx)
    # Then what no part of the figure comes near is the portrait's own
    away = cv2.dilate((matte.alpha > 0).astype(np.uint8), np.ones((61, 61), np.uint8)) == 0
    assert away.mean() > 0.1
    for frame in frames:
        assert not changed(frame, portrait)[away].any()
    # And the figure has moved
    assert (frames[1] != frames[2]).any(axis=-1).mean() > 0.2


def test_what_the_head_uncovers_looks_like_the_background(tmp_path: Path) -> None:
    # Given the picture behind the person
    ctx = prepared(tmp_path / "job")
    portrait, matte = portrait_of(ctx).astype(float), matte_of(ctx)
    # When the strip that a lean can uncover is compared with the background beside it
    figure = (matte.alpha > 0).astype(np.uint8)
    uncovered = (figure > 0) & (cv2.erode(figure, np.ones((25, 25), np.uint8)) == 0)
    beside = (figure == 0) & (cv2.dilate(figure, np.ones((41, 41), np.uint8)) > 0)
    rows = slice(0, portrait.shape[0] // 2)  # beside the head: further down there are shoulders
    # Then there is nothing of the hair's dark in it
    inside, outside = matte.plate[rows][uncovered[rows]].mean(axis=0), portrait[rows][beside[rows]].mean(axis=0)
    assert np.abs(inside - outside).max() < 25


@pytest.mark.parametrize(("background", "colour"), [("green", (0, 177, 64)), ("#102030", (16, 32, 48))])
def test_a_colour_takes_the_place_of_the_background(
    background: str, colour: tuple[int, int, int], tmp_path: Path
) -> None:
    frames = leaning(prepared(tmp_path / "job", background))
    for frame in frames:
        assert np.abs(frame[2, 2, ::-1].astype(int) - colour).max() <= 2
        assert np.abs(frame[192, 192, ::-1].astype(int) - colour).max() > 40


def test_a_picture_takes_the_place_of_the_background(tmp_path: Path) -> None:
    # Given a wide picture, blue on the left and red on the right
    wide = Image.new("RGB", (900, 300), (0, 0, 255))
    wide.paste((255, 0, 0), (450, 0, 900, 300))
    ctx = prepared(tmp_path / "job", "beach.png", encoded(wide))
    # Then both sides of its middle are seen beside the person
    for frame in leaning(ctx):
        assert np.abs(frame[4, 4].astype(int) - [255, 0, 0]).max() <= ROUNDING
        assert np.abs(frame[4, -4].astype(int) - [0, 0, 255]).max() <= ROUNDING


def test_a_background_that_is_no_picture_is_told_apart_from_the_portrait(tmp_path: Path) -> None:
    with pytest.raises(JobError) as told:
        prepared(tmp_path / "job", "beach.png", b"%PDF-1.7 not a beach")
    assert told.value.code == "image-unreadable"
    assert told.value.message.startswith("background: ")


def test_a_person_that_cannot_be_told_apart_is_not_cut_out_badly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a segmentation that does not see the face as a person
    shape = (384, 384)
    monkeypatch.setattr("tests.support.stages.picture_jobs.known_faces", None)
    monkeypatch.setattr("stages.face.landmarker.Landmarker.person_mask", lambda *_: np.zeros(shape, np.float32))
    # When another background is asked for / Then that is said; without, the picture moves as one layer
    with pytest.raises(JobError) as told:
        prepared(tmp_path / "other", "blur")
    assert told.value.code == "background-inseparable"
    frames = leaning(prepared(tmp_path / "own"))
    assert (frames[1] != frames[2]).any()


def test_a_transparent_video_is_a_webm_whose_alpha_is_the_person(tmp_path: Path) -> None:
    # Given a transparent background
    ctx = prepared(tmp_path / "job", "transparent")
    say(ctx, [("ɑ", 0.1, 0.3)], 0.4)
    leaning(ctx)
    values = np.zeros((10, len(PARAMETERS)), np.float32)
    values[2:8, PARAMETERS.index("lean")] = 0.08
    MotionTrack(values, Fraction(25), 0).save(ctx.path("motion.npz"))
    # When it is encoded and decoded again
    facts = stages.encode.run(ctx)
    command = [
        ffmpeg_path(),
        "-v",
        "error",
        "-c:v",
        "libvpx-vp9",
        "-i",
        str(ctx.path("video.webm")),
        "-pix_fmt",
        "bgra",
    ]
    raw = subprocess.run([*command, "-f", "rawvideo", "pipe:1"], capture_output=True, check=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 384, 384, 4)
    # Then every frame shows the face, and nothing beside it
    assert len(frames) == 10
    assert facts["encoder"] == "libvpx-vp9"
    assert not ctx.path("video.mp4").exists()
    assert (frames[:, 192, 192, 3] > 250).all()
    assert (frames[:, 4, 4, 3] < 5).all()
    # And at rest, before the old background again, it is the portrait: colours are full ones, at the hair's edge too
    alpha = frames[0, ..., 3:] / 255.0
    plate = np.asarray(matte_of(ctx).plate, np.float64)
    again = frames[0, ..., :3] * alpha + plate[..., ::-1] * (1.0 - alpha)
    off = np.abs(again - cv2.cvtColor(portrait_of(ctx), cv2.COLOR_RGB2BGR)).mean(axis=2)
    assert off[192, 192] < 6
    assert off[(alpha[..., 0] > 0.2) & (alpha[..., 0] < 0.8)].mean() < 10


@pytest.mark.parametrize("wrong", ["#12345", "greenish", "/etc/passwd.png", "../up.png"])
def test_a_wrong_background_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match="background"):
        Manifest.model_validate({"text": "Hi.", "image": "a.png", "background": wrong})


def test_the_background_is_one_of_the_jobs_files() -> None:
    files = Manifest.model_validate({"text": "Hi.", "image": "a.png", "background": "beach.jpg"}).companions()
    assert files == {"image": "a.png", "background": "beach.jpg"}
    assert Manifest.model_validate({"text": "Hi.", "image": "a.png", "background": "blur"}).companions() == {
        "image": "a.png"
    }
