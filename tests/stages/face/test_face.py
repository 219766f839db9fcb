"""The face stage: what it promises about pictures of every kind, about which face, and about refusing."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

import stages.face
from daemon.config.stage_settings import FaceStage
from daemon.errors import JobError
from stages.face.acceptance import check_view
from stages.face.clarity import measure_clarity
from stages.face.detect import find_faces
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import CHEEKS, CHIN, FOREHEAD, LOWER_LIP_OUTER, UPPER_LIP_OUTER, FloatArray
from stages.face.pose import pose_of
from stages.face.rig.rig import VERSION, load_measured_rig
from tests.support.stages.picture_jobs import (
    astronaut,
    drawn,
    encoded,
    face_of,
    job,
    noise,
    portrait_of,
    smiling,
    two_faces,
)

pytestmark = pytest.mark.usefixtures("models")


def header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and has hardly any data: what a decompression bomb looks like from outside."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


BAD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "empty": (lambda: b"", "image-empty", "0 bytes"),
    "text": (lambda: b"Dear reader, this is no picture.\n" * 20, "image-unreadable", "text file"),
    "pdf": (lambda: b"%PDF-1.7\n" + bytes(range(256)), "image-unreadable", "PDF"),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(64), "image-unreadable", "HEIC"),
    "junk": (lambda: bytes(range(256)) * 8, "image-unreadable", "not a picture"),
    "half-png": (lambda: encoded(drawn())[:90_000], "image-truncated", "truncated"),
    "half-jpeg": (lambda: encoded(drawn(), "JPEG")[:20_000], "image-truncated", "truncated"),
    "bomb": (lambda: header_only(30_000, 30_000), "image-too-large", "900,000,000"),
    "noise": (lambda: encoded(noise()), "no-face", "No human face"),
    "far-away": (lambda: encoded(astronaut()), "face-too-small", "at least 128 px"),
    "leaning": (lambda: encoded(drawn().rotate(38, fillcolor=(200, 190, 180))), "face-tilted", "sideways"),
    "cut-off": (lambda: encoded(drawn().crop((0, 0, 640, 440))), "face-cut-off", "outside the picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_picture_that_cannot_be_used_is_refused_with_its_code_and_what_to_do(name: str, tmp_path: Path) -> None:
    # Given a file that is no usable portrait
    data, code, words = BAD[name]
    ctx = job(tmp_path / "job", data())
    # When the stage runs
    with pytest.raises(JobError) as caught:
        stages.face.run(ctx)
    # Then the error has the stable code, says what is wrong, and has a next step
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.hint
    assert not ctx.path("portrait.png").exists()


def covered(colour: tuple[int, int, int]) -> Image.Image:
    """The example portrait behind a cloth from the nose over mouth and chin."""
    picture = drawn().copy()
    points = np.array(read_landmarks())[[197, 101, 50, 123, 58, 172, 150, 152, 379, 397, 288, 352, 280, 330], :2]
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in points], fill=colour)
    return picture


@cache
def read_landmarks() -> FloatArray:
    (face,) = find_faces(np.asarray(drawn()), shared_landmarker())
    return face.landmarks


UNSEEN: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "white-mask": (lambda: covered((235, 238, 240)), "mouth-covered"),
    "black-mask": (lambda: covered((40, 38, 36)), "mouth-covered"),
    "skin-coloured-mask": (lambda: covered((215, 175, 150)), "mouth-covered"),
    "dark": (lambda: drawn().point(lambda value: value * 0.06), "face-dark"),
    "overexposed": (lambda: drawn().point(lambda value: value * 3), "face-overexposed"),
    "blurred": (lambda: drawn().filter(ImageFilter.GaussianBlur(10)), "face-blurred"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_face_that_cannot_be_seen_well_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    # Given a portrait that is usable but for one thing
    picture, code = UNSEEN[name]
    ctx = job(tmp_path / "job", picture())
    # When, then
    with pytest.raises(JobError) as caught:
        stages.face.run(ctx)
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("picture", "code", "word"),
    [
        (lambda: drawn().point(lambda value: value * 0.25), "face-dark", "dark"),
        (lambda: drawn(80).resize((640, 640), Image.Resampling.BICUBIC), "face-blurred", "detail"),
    ],
    ids=["dim", "enlarged"],
)
def test_a_face_that_could_be_seen_better_is_accepted_with_a_caution_and_its_code(
    picture: Callable[[], Image.Image], code: str, word: str, tmp_path: Path
) -> None:
    # Given a face in dim light, or one that was enlarged to eight times its size
    ctx = job(tmp_path / "job", picture(), kind="detect")
    # When, then
    facts = stages.face.run(ctx)
    assert facts["cautions"] == [code]
    assert word in ctx.warnings[0]
    assert facts["detail_px"] <= facts["face_px"]


@pytest.mark.parametrize(("quarters", "words"), [(1, "90° clockwise"), (2, "180°"), (3, "90° anticlockwise")])
def test_a_picture_that_lies_down_is_turned_and_the_status_says_so(quarters: int, words: str, tmp_path: Path) -> None:
    # Given a portrait whose pixels lie on their side or upside down
    ctx = job(tmp_path / "job", Image.fromarray(np.rot90(np.asarray(drawn()), quarters)), kind="detect")
    # When the stage runs
    facts = stages.face.run(ctx)
    # Then the portrait is upright, pixel by pixel, and both the code and the sentence are there
    assert (portrait_of(ctx) == np.asarray(drawn())).all()
    assert facts["cautions"] == ["picture-turned"]
    assert words in ctx.warnings[0]


def test_a_head_that_leans_stays_as_it_is(tmp_path: Path) -> None:
    # Given a head that leans to a shoulder by 25°
    leaning = drawn().rotate(25, fillcolor=(200, 190, 180))
    ctx = job(tmp_path / "job", leaning, kind="detect")
    # When, then
    facts = stages.face.run(ctx)
    assert facts["pose"]["roll"] == pytest.approx(-25, abs=3)
    assert facts["cautions"] == []
    assert (portrait_of(ctx) == np.asarray(leaning)).all()


def test_the_pitch_is_the_heads_and_not_the_expressions() -> None:
    # Given a face, the same face with a broad smile and a dropped chin, and the same head seen from 15° above and below
    calm = read_landmarks()
    smiling = calm.copy()
    lower = [*UPPER_LIP_OUTER, *LOWER_LIP_OUTER, CHIN, *CHEEKS]
    size = float(np.ptp(calm[:, 1]))
    smiling[lower] += np.random.default_rng(0).normal(0, 0.05 * size, (len(lower), 3)).astype(np.float32)
    smiling[CHIN] += np.array([0, 0.08, 0.15], np.float32) * size
    # When, then
    assert pose_of(smiling).pitch == pytest.approx(pose_of(calm).pitch, abs=0.1)
    for angle in (-15, 15):
        turned = np.radians(angle)
        nod = np.array([[1, 0, 0], [0, np.cos(turned), -np.sin(turned)], [0, np.sin(turned), np.cos(turned)]])
        seen = (calm @ nod.T).astype(np.float32)
        assert pose_of(seen).pitch - pose_of(calm).pitch == pytest.approx(angle, abs=5)


def see_through(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    picture.putalpha(255)
    return picture


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda picture: encoded(picture, "JPEG", quality=95),
    "webp": lambda picture: encoded(picture, "WEBP", quality=95),
    "tiff": lambda picture: encoded(picture, "TIFF"),
    "bmp": lambda picture: encoded(picture, "BMP"),
    "gif": lambda picture: encoded(picture, "GIF"),
    "alpha": lambda picture: encoded(see_through(picture)),
    "cmyk": lambda picture: encoded(picture.convert("CMYK"), "JPEG", quality=95),
    "palette": lambda picture: encoded(picture.quantize(256)),
    "sixteen-bit-grey": lambda picture: encoded(
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_the_same_rgb_portrait(kind: str, tmp_path: Path) -> None:
    # Given the same picture in another format or mode
    ctx = job(tmp_path / "job", KINDS[kind](drawn()), kind="detect")
    # When the stage runs
    stages.face.run(ctx)
    # Then its portrait is 8-bit RGB and looks the same
    expected = drawn().convert("L").convert("RGB") if "grey" in kind else drawn()
    shown = Image.open(ctx.path("portrait.png"))
    assert (shown.mode, shown.size) == ("RGB", (640, 640))
    assert np.asarray(ImageChops.difference(shown, expected)).mean() < 6


def test_transparency_is_shown_over_a_light_neutral(tmp_path: Path) -> None:
    # Given a portrait whose top left corner is fully transparent, over black
    picture = drawn().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 60, 60))
    ctx = job(tmp_path / "job", picture, kind="detect")
    # When the stage runs
    stages.face.run(ctx)
    # Then the corner is light grey, not black
    assert (portrait_of(ctx)[:50, :50] == 222).all()


def test_a_picture_that_was_stored_lying_down_comes_out_upright(tmp_path: Path) -> None:
    # Given a phone's picture: pixels on their side, and a note how to turn them (orientation 6)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = drawn().crop((0, 0, 640, 560)).transpose(Image.Transpose.ROTATE_90)
    ctx = job(tmp_path / "job", encoded(lying, "JPEG", exif=exif, quality=95), kind="detect")
    # When the stage runs
    stages.face.run(ctx)
    # Then the portrait has the upright size, and the chin is below the forehead
    record = face_of(ctx)
    assert (record["width"], record["height"]) == (640, 560)
    forehead, chin = record["landmarks"][FOREHEAD], record["landmarks"][CHIN]
    assert chin[1] - forehead[1] > 5 * abs(chin[0] - forehead[0])


@pytest.mark.parametrize(("choice", "left"), [("largest", True), ("0", True), ("1", False), ("center", False)])
def test_the_face_that_was_asked_for_is_taken(choice: str, left: bool, tmp_path: Path) -> None:
    # Given a picture of two people
    ctx = job(tmp_path / "job", two_faces(), kind="detect", face=choice, limits={"max_side_px": 1400})
    # When the stage runs
    facts = stages.face.run(ctx)
    # Then both were seen, and the right one was taken
    x, _, width, _ = face_of(ctx)["box"]
    assert facts["faces_found"] == 2
    assert (x + width / 2 < 650) is left


def test_a_face_that_is_not_there_is_named_with_how_many_there_are(tmp_path: Path) -> None:
    # Given two people, and a request for a third
    ctx = job(tmp_path / "job", two_faces(), kind="detect", face="2")
    # When, then
    with pytest.raises(JobError, match="shows 2") as caught:
        stages.face.run(ctx)
    assert caught.value.code == "face-index"


def test_detect_makes_no_rig(tmp_path: Path) -> None:
    # Given a job that only asks whether the picture will do
    ctx = job(tmp_path / "job", drawn(), kind="detect")
    # When, then
    stages.face.run(ctx)
    assert face_of(ctx)["confidence"] > 0.5
    assert not ctx.settings.paths.cache.exists()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def unknown_compression(data: bytes) -> bytes:
    """With a single byte changed: the first entry's compression method in the archive's directory."""
    at = data.index(b"PK\x01\x02") + 10
    return data[:at] + b"\x63" + data[at + 1 :]


def one_byte(data: bytes) -> bytes:
    """With a single byte of an array changed: only its checksum tells."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo("head.npy")
    at = entry.header_offset + entry.file_size
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def of_another(data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as rig:
        parts = {**rig, "of": np.array("0" * 32)}
    changed = io.BytesIO()
    np.savez(changed, **parts)
    return changed.getvalue()


def test_the_rig_is_kept_by_content_and_a_damaged_one_is_built_anew(tmp_path: Path) -> None:
    # Given a portrait whose rig was built
    ctx = job(tmp_path / "job", drawn(400))
    stages.face.run(ctx)
    (path,) = ctx.settings.paths.cache.rglob(f"*-v{VERSION}.npz")
    whole = path.read_bytes()
    for damage in (half, unknown_compression, one_byte, of_another):
        # When its file is damaged, and the rig is asked for again
        path.write_bytes(damage(whole))
        rig = load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx))
        # Then it is whole again, and the same in memory and on the disk: no video depends on which it was drawn from
        assert rig.lower.shape[0] == len(rig.face_names)
        again = load_measured_rig(ctx.settings.paths.cache, portrait_of(ctx), face_of(ctx))
        assert all((getattr(again, name) == getattr(rig, name)).all() for name in ("lower", "upper", "head"))
        assert (again.oral.skull == rig.oral.skull).all()
        assert len(path.read_bytes()) == len(whole)
        with np.load(path) as kept, np.load(io.BytesIO(whole)) as before:
            assert kept["of"] == path.stem
            assert (kept["head"] == before["head"]).all()


def test_time_is_asked_for_by_the_pixels_before_they_are_worked_on(tmp_path: Path) -> None:
    # Given a picture of 4 Mpx that breaks off, and a video of 1 Mpx
    asked: list[float] = []
    timeout = job(tmp_path / "job").settings.lanes.timeout
    broken = job(tmp_path / "broken", encoded(drawn().resize((2000, 2000)))[:50_000])
    # When it is read / Then its time was asked for, although it could not be decoded
    with pytest.raises(JobError):
        stages.face.run(replace(broken, allow_seconds=asked.append))
    assert asked == [pytest.approx(timeout.base_s + 4 * timeout.per_megapixel_s)]
    # And what is built for a large video is given more than for a small one
    large: list[float] = []
    small: list[float] = []
    stages.face.run(
        replace(job(tmp_path / "large", drawn(), kind="detect", size="1280x1280"), allow_seconds=large.append)
    )
    stages.face.run(
        replace(job(tmp_path / "small", drawn(), kind="detect", size="320x320"), allow_seconds=small.append)
    )
    assert large[0] == small[0]
    assert large[1] > small[1] > timeout.base_s


def test_a_lower_lip_paler_than_the_upper_one_is_no_cover() -> None:
    # Given the clarity of a good portrait whose lips differ in colour, as old people's often do
    face = find_faces(np.asarray(smiling()), shared_landmarker())[0]
    clear = replace(measure_clarity(np.asarray(smiling()), face), lips_differ=20.0)
    pose, limits = pose_of(face.landmarks), FaceStage()
    assert clear.lips_unsure < 2
    # When it is judged / Then nothing is said of the mouth; but where the mesh is not sure of the lips, something is
    assert "mouth-unclear" not in [caution.code for caution in check_view(pose, clear, limits)]
    covered = check_view(pose, replace(clear, lips_unsure=2.7), limits)
    assert "mouth-unclear" in [caution.code for caution in covered]
