"""The skin of a closed lid: it has the light, the tint and the grain of the skin around the eye."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.context import Context
from stages.encode.blinks import BlinkPainter
from stages.face import mesh
from stages.face.eye_outline import EyeOutline
from stages.face.mesh import FloatArray
from stages.face.rig.colours import FaceColours
from stages.face.rig.eyes.lids import Lid, paint_lid
from stages.face.sampling import blur
from tests.support.stages.picture_jobs import face_of, portrait_of

pytestmark = pytest.mark.usefixtures("models")

Picture = npt.NDArray[np.uint8]


def outlines(ctx: Context) -> list[EyeOutline]:
    landmarks = np.array(face_of(ctx)["landmarks"], np.float32)
    return [EyeOutline.of(landmarks, side) for side in (0, 1)]


def lid_of(portrait: Picture, landmarks: FloatArray, side: int) -> Lid:
    """The lid of an eye in an RGB portrait."""
    return paint_lid(portrait, landmarks, side, FaceColours.of(portrait, landmarks))


def over_the_eye(lid: Lid) -> npt.NDArray[np.bool_]:
    """The pixels of a lid's box that it hides when it is shut, without its edges."""
    return (lid.below > 0.2 * lid.opening) & (lid.below < 0.7 * lid.opening) & (lid.taper > 0.9)


def test_a_lid_lies_in_the_shade_of_its_socket(ready: Context) -> None:
    # Given eyes in bright light, and the same in the deep shade of a brow, between a bright brow and bright cheeks
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        _, down = eye.local((0, 0, portrait.shape[1], portrait.shape[0]))
        away = np.abs(down / eye.width + 0.04)
        shade = 1 - 0.4 * np.clip((0.42 - away) / 0.1, 0, 1)
        shaded = np.asarray(portrait * shade[..., None], np.uint8)
        # When their lids are prepared
        bright, dark = (lid_of(picture, landmarks, side) for picture in (portrait, shaded))
        # Then a lid in the shade is darker, too, by half of what the skin around it is at least
        over = over_the_eye(bright)
        lit = dark.skin[over].mean() / bright.skin[over].mean()
        assert 0.55 < lit < 0.81


def test_a_lid_has_the_colours_of_a_socket_that_is_painted_dark(ready: Context) -> None:
    # Given eyes in a dark and brown socket, as in paintings: forehead and cheeks around it are bright
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    brown = np.array([0.62, 0.50, 0.42])
    for side, eye in enumerate(outlines(ready)):
        _, down = eye.local((0, 0, portrait.shape[1], portrait.shape[0]))
        near = np.clip((0.58 - np.abs(down / eye.width - 0.06)) / 0.04, 0, 1)[..., None]
        painted = np.asarray(portrait * (1 - near * (1 - brown)), np.uint8)
        # When their lids are prepared
        usual, dark = (lid_of(picture, landmarks, side) for picture in (portrait, painted))
        # Then each colour is nearly as much darker than before as that of the socket is, so that the lid is as brown
        over = over_the_eye(usual)
        lit = dark.skin[over].mean(axis=0) / usual.skin[over].mean(axis=0)
        assert (lit / brown).max() < 1.22
        assert np.ptp(lit / brown) < 0.055


def test_a_lid_is_as_red_as_skin_that_is_as_bright(ready: Context) -> None:
    # Given eyes between a brow in shade and bright cheeks, in a face whose skin is the redder the darker it is, as skin is
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        _, down = eye.local((0, 0, portrait.shape[1], portrait.shape[0]))
        shade = (1 - 0.6 * np.clip(0.5 - down / eye.width, 0, 1))[..., None]
        redder = np.array([0.75, 1.05, 1.2])
        painted = np.asarray(portrait * shade**redder, np.uint8)
        # When their lids are prepared
        usual, lid = (lid_of(picture, landmarks, side) for picture in (portrait, painted))
        # Then a lid has lost as much of each colour as skin has that lost as much light
        over = over_the_eye(usual)
        lost = np.log(lid.skin[over].mean(axis=0) / usual.skin[over].mean(axis=0))
        assert lost.mean() < -0.15
        assert np.abs(lost / lost.mean() - redder / redder.mean()).max() < 0.055


def test_a_lid_is_not_grey_where_light_has_cut_the_skin_s_red_off(ready: Context) -> None:
    # Given a face in light so warm that its red is cut off everywhere
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready).copy()
    portrait[..., 0] = 255
    for side in range(2):
        # When its lids are prepared / Then a lid has the tint of the skin below it
        lid = lid_of(portrait, landmarks, side)
        (x, y), (rows, columns) = lid.origin, lid.below.shape
        beside = _within((lid.below - lid.opening) / lid.eye_width, 0.15, 0.3) & (lid.taper > 0.9)
        skin = portrait[y : y + rows, x : x + columns][beside].mean(axis=0)
        seen = np.minimum(lid.skin[over_the_eye(lid)].mean(axis=0), 255)
        assert np.ptp(np.log(seen / skin)) < 0.12


def _within(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.bool_]:
    return (values > low) & (values < high)


def test_a_crease_is_found_where_white_of_the_eye_lies_above_the_edge_of_the_mesh(ready: Context) -> None:
    # Given eyes with a crease, whose white reaches above the mesh's edge on the side of the nose, up to dark lashes
    landmarks, portrait = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        plain = lid_of(portrait, landmarks, side)
        (x, y), (rows, columns) = plain.origin, plain.below.shape
        height = -plain.below / eye.width
        bare = np.where((height > -0.02)[..., None], plain.skin, portrait[y : y + rows, x : x + columns])
        bare *= (1 - 0.2 * np.exp(-np.square((height - 0.2) / 0.02)))[..., None]
        bare[_within(height, -0.02, 0.03)] = (50, 40, 40)
        along = eye.local((x, y, x + columns, y + rows))[0] / eye.width
        inner = along > 0.55 if side == 0 else along < 0.45
        bare[inner & _within(height, -0.02, 0.06)] = (215, 205, 205)
        bare[inner & _within(height, 0.06, 0.09)] = (50, 40, 40)
        picture = portrait.copy()
        picture[y : y + rows, x : x + columns] = bare
        # When their lids are prepared
        lid = lid_of(picture, landmarks, side)
        # Then the crease is where it is drawn, and not at the lashes
        over = _within(along, 0.1, 0.9)
        assert np.abs(lid.fold[over] / eye.width - 0.2).max() < 0.05


def test_a_lid_has_grain_where_no_bare_skin_is_above_it_too(ready: Context) -> None:
    # Given a picture with grain, and a mesh whose brows are low over the eyes
    landmarks, plain = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    noise = blur(np.random.default_rng(4).normal(0, 14, plain.shape[:2]).astype(np.float32), 0.8)
    grainy = np.asarray(np.clip(plain + noise[..., None], 0, 255), np.uint8)
    for side, eye in enumerate(outlines(ready)):
        low = landmarks.copy()
        upper, brow = (list(mesh.EYES[side][part]) for part in (0, 2))
        low[brow, :2] = low[upper, :2].mean(axis=0) - 0.12 * eye.width * eye.down
        for points in (landmarks, low):
            # When its lid is prepared
            lid = lid_of(grainy, points, side)
            # Then it has nearly the picture's grain
            assert 0.5 < lid.grain[over_the_eye(lid)].std() / (noise - blur(noise, 2.5)).std() < 1.5


def test_a_closing_lid_covers_a_thick_bundle_of_lashes(ready: Context) -> None:
    # Given eyes with a dark bundle of lashes that stands up from the outer part of the upper lid
    landmarks, plain = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        place = np.array([0.12 if side == 0 else 0.88]) * eye.width
        root = eye.corner + place * eye.across + eye.edges(place)[0] * eye.down
        lashes = plain.copy()
        tip = root - 0.12 * eye.width * eye.down
        ends = [tuple(int(value) for value in np.round(point)) for point in (root, tip)]
        cv2.line(lashes, ends[0], ends[1], (60, 40, 35), max(round(0.14 * eye.width), 3))
        lid = lid_of(lashes, landmarks, side)
        # When the eye is shut
        painter = BlinkPainter(lid)
        shown = np.dstack([lashes[..., ::-1], np.full(plain.shape[:2], 255, np.uint8)])[painter.slices]
        shut = painter.paint(np.ascontiguousarray(shown), 1.0)[..., 2::-1].astype(float)
        # Then nothing is left of the bundle
        dark = (lashes != plain).any(axis=2)[painter.slices]
        over = dark & (lid.below[_rows(lid, painter)] < -0.07 * eye.width)
        assert over.sum() > 20
        bare = lid.skin[_rows(lid, painter)]
        assert np.percentile(shut[over].mean(axis=-1) / bare[over].mean(axis=-1), 5) > 0.75


def test_a_rim_that_shines_in_places_is_as_thick_there(ready: Context) -> None:
    # Given eyes behind a straight rim of glasses, whose lower half shines in every other part of its length
    landmarks, plain = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        along, down = eye.local((0, 0, plain.shape[1], plain.shape[0]))
        upper_end = down - float(eye.edges(np.array([0.5 * eye.width]))[0][0]) + 0.22 * eye.width
        rim = _within(upper_end / eye.width, 0.0, 0.1) & _within(along / eye.width, -0.4, 1.4)
        shines = rim & (upper_end > 0.05 * eye.width) & (np.floor(along / (0.12 * eye.width)) % 3 == 0)
        picture = plain.copy()
        picture[rim], picture[shines] = (45, 35, 30), (235, 235, 240)
        # When its lid is prepared
        lid = lid_of(picture, landmarks, side)
        # Then all of the rim stays before it
        (x, y), (rows, columns) = lid.origin, lid.below.shape
        box = slice(y, y + rows), slice(x, x + columns)
        over = _within(along[box] / eye.width, 0.05, 0.95)
        assert (lid.rim[rim[box] & over] > 0.4).mean() > 0.97


def test_lashes_have_their_own_colour_and_not_that_of_a_dark_iris(ready: Context) -> None:
    # Given eyes whose iris is of the darkest blue, up to the lid's edge
    landmarks, picture = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready).copy()
    usual = [lid_of(picture, landmarks, side).lash_colour for side in (0, 1)]
    for eye in outlines(ready):
        along, down = eye.local((0, 0, picture.shape[1], picture.shape[0]))
        upper, lower = eye.edges(along)
        away = np.hypot(along - eye.iris[0], down - eye.iris[1])
        picture[(away < 0.95 * eye.radius) & (down > upper - 1) & (down < lower)] = (2, 2, 40)
    # When their lids are prepared / Then the lashes are not blue
    for side in (0, 1):
        assert np.abs(lid_of(picture, landmarks, side).lash_colour - usual[side]).max() < 8


def test_the_line_of_a_closed_lid_is_as_soft_as_the_picture(ready: Context) -> None:
    # Given a picture, and the same as soft as a painting that was enlarged
    landmarks, sharp = np.array(face_of(ready)["landmarks"], np.float32), portrait_of(ready)
    for side, eye in enumerate(outlines(ready)):
        soft = blur(sharp.astype(np.float32), 0.07 * eye.width).astype(np.uint8)
        # When its lid is prepared, and the line under it is compared
        steep = []
        for picture in (sharp, soft):
            lid = lid_of(picture, landmarks, side)
            under = lid.lashes[lid.offset :, lid.lashes.shape[1] // 2]
            steep.append(float(np.abs(np.diff(under)).max() / under.max()))
        # Then it fades over more pixels
        assert steep[1] < 0.7 * steep[0]


def _rows(lid: Lid, painter: BlinkPainter) -> slice:
    """The rows of a lid's box that its blinks change."""
    rows = painter.slices[0]
    return slice(rows.start - lid.origin[1], rows.stop - lid.origin[1])
