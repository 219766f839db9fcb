"""Pictures made to do harm end in a picture or in a code, in bounded memory; never in anything else."""

from __future__ import annotations

import io
import random
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stages.face
from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages import kept_in_memory
from stages.context import Context
from stages.face import decode
from stages.face.decode import LEAST_SIDE_PX, MOST_NARROW, MOST_SCANS, read_picture
from stages.kept_in_memory import KeptValue
from tests.conftest import PORTRAIT, ROOT
from tests.support.endurance import FULL, repeats
from tests.support.stages.picture_jobs import encoded, job

pytestmark = pytest.mark.usefixtures("models")

MAX_PIXELS = Settings().stages.face.max_pixels
#: What a stage may say of a picture.
CODES = {"image-empty", "image-unreadable", "image-truncated", "image-too-large", "image-too-small", "image-too-narrow"}
#: Damages of each kind of file. They are drawn anew from one seed, so that a failure can be met again.
MUTATIONS = repeats("AVATAR_MUTATIONS", 15, 60)


def drawing(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A small picture with something in it."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    rgb = np.stack([x * 255 // size[0], y * 255 // size[1], (x * y) % 256], axis=-1).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(((x * y) % 65536).astype(np.uint16))
    if mode in ("I", "F"):
        return Image.fromarray((x * y).astype(np.int32 if mode == "I" else np.float32))
    return Image.fromarray(rgb).convert(mode)


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (96, 64), **options: object) -> bytes:
    file = io.BytesIO()
    drawing(mode, size).save(file, kind, **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    file = io.BytesIO()
    frames = [drawing(), drawing(size=(96, 64)).rotate(90), drawing("L").convert("RGB")]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=40)
    return file.getvalue()


def exif(entries: int = 3) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = 6
    for number in range(entries):
        tags[0x9000 + number] = "x" * 40
    return tags.tobytes()


GOOD: dict[str, Callable[[], bytes]] = {
    "png": lambda: saved("PNG", exif=exif()),
    "png palette": lambda: saved("PNG", "P", transparency=3),
    "png 16 bit": lambda: saved("PNG", "I;16"),
    "png alpha": lambda: saved("PNG", "RGBA"),
    "png 1 bit": lambda: saved("PNG", "1"),
    "apng": lambda: animated("PNG"),
    "jpeg": lambda: saved("JPEG", exif=exif()),
    "jpeg cmyk": lambda: saved("JPEG", "CMYK"),
    "jpeg progressive": lambda: saved("JPEG", "L", progressive=True),
    "webp": lambda: saved("WEBP", exif=exif()),
    "webp lossless": lambda: saved("WEBP", "RGBA", lossless=True),
    "webp animated": lambda: animated("WEBP"),
    "tiff": lambda: saved("TIFF"),
    "tiff deflate": lambda: saved("TIFF", "RGBA", compression="tiff_deflate"),
    "tiff float": lambda: saved("TIFF", "F"),
    "tiff lab": lambda: saved("TIFF", "LAB"),
    "tiff jpeg": lambda: saved("TIFF", compression="jpeg"),
    "gif": lambda: saved("GIF", "P"),
    "gif animated": lambda: animated("GIF"),
    "bmp": lambda: saved("BMP"),
    "bmp palette": lambda: saved("BMP", "P"),
}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """What transfers, disks and people do to a file."""
    at, length = chance.randrange(len(data)), chance.choice((1, 2, 4, 16, 200))
    match chance.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[at + length :]
        case 2:
            return data[:at] + data[at : at + length] * 3 + data[at:]
        case 3:
            return data[:at] + bytes(chance.randrange(256) for _ in range(length)) + data[at + length :]
        case 4:  # a number somewhere in the header becomes enormous, or none
            at = chance.randrange(min(len(data), 120))
            return data[:at] + chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4))) + data[at + 4 :]
        case _:
            at = chance.randrange(min(len(data), 300))
            return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def outcome(path: Path) -> str:
    """`picture`, or the code."""
    try:
        picture, scale = read_picture(path, MAX_PIXELS)
    except JobError as exc:
        return exc.code
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert scale >= 1
    return "picture"


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_is_read_and_every_damage_ends_in_a_picture_or_a_code(tmp_path: Path, kind: str) -> None:
    # Given a good file of a kind
    data, path = GOOD[kind](), tmp_path / "source.image"
    path.write_bytes(data)
    assert outcome(path) == "picture"
    # When it is damaged in many ways / Then each time there is a picture, or a code that says what is wrong
    chance = random.Random(kind)
    outcomes = set()
    for number in range(MUTATIONS):
        path.write_bytes(damaged(data, chance))
        outcomes.add(found := outcome(path))
        assert found in {*CODES, "picture"}, f"damage {number}: {found}"
    assert outcomes - {"picture"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def tiff_bomb(path: Path) -> None:
    """A few kilobytes that unpack to nearly all the pixels that are allowed, as floating-point numbers."""
    side = int(LARGEST**0.5) - 8
    Image.fromarray(np.zeros((side, side), np.float32)).save(path, "TIFF", compression="tiff_deflate")


PIXELS = zlib.compress(bytes(200))
IMPOSTERS: dict[str, bytes] = {
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat script": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "ffmetadata": b";FFMETADATA1\ntitle=x\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) run\n",
    "imagemagick script": b'push graphic-context\nimage over 0,0 0,0 "|touch x"\n',
    "html": b"<!DOCTYPE html><img src=x>",
    "zip": b"PK\x03\x04" + bytes(100),
    "pdf": b"%PDF-1.7\n" + bytes(100),
    "ppm": b"P6 4 4 255 " + bytes(48),
    "icns": b"icns\0\0\0\x10" + bytes(100),
    "psd": b"8BPS\0\x01" + bytes(100),
    "fits": b"SIMPLE  =                    T" + b" " * 3000,
    "terminal": b"\x1b]0;pwned\x07\x1b[2J" * 10,
    "enormous png": png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(1000)))),
    "negative png": png(2**32 - 1, 2**31, chunk(b"IDAT", b"")),
    "no pixels": png(0, 0, chunk(b"IDAT", b"")),
    "no data": png(100, 100),
    "text bomb": png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80 * 2**20))), chunk(b"IDAT", PIXELS)),
    "many chunks": png(8, 8, *[chunk(b"tEXt", b"k\0" + b"v" * 100)] * 5000, chunk(b"IDAT", PIXELS)),
    "webp size": b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff",
    "gif size": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(20),
    "bmp size": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    "tiff loop": b"II*\0\x08\0\0\0\x01\0\x00\x01\x03\0\x01\0\0\0\x10\0\0\0\x08\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSTERS)
def test_what_is_no_picture_is_refused_for_what_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / "source.image"
    path.write_bytes(IMPOSTERS[name])
    assert outcome(path) in CODES | ({"picture"} if name == "many chunks" else set())


@pytest.mark.parametrize("name", ["html", "zip", "svg"])
def test_a_file_that_is_two_kinds_at_once_is_only_ever_a_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / "source.image"
    path.write_bytes(saved("PNG") + IMPOSTERS[name])
    assert outcome(path) == "picture"


def exif_bomb() -> bytes:
    """Tags that point into each other, say that they are gigabytes long, and turn the picture by an angle that is none."""
    entry = (
        struct.pack("<HHII", 0x0112, 3, 1, 99)
        + struct.pack("<HHII", 0x8769, 4, 1, 8)
        + struct.pack("<HHII", 0x9286, 7, 2**31, 8)
    )
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 3) + entry + struct.pack("<I", 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "tags", [exif_bomb(), b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM", exif(600)], ids=range(5)
)
def test_tags_that_are_nonsense_do_not_spoil_the_picture(tmp_path: Path, kind: str, tags: bytes) -> None:
    path = tmp_path / "source.image"
    path.write_bytes(saved(kind, exif=tags))
    assert outcome(path) == "picture"


@pytest.mark.parametrize("profile", [b"", b"x" * 128, bytes(5000), b"\xff" * 200])
def test_a_colour_profile_that_is_none_is_left_out(tmp_path: Path, profile: bytes) -> None:
    path = tmp_path / "source.image"
    path.write_bytes(saved("PNG", icc_profile=profile))
    assert outcome(path) == "picture"


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "P"), ("PNG", "1"), ("PNG", "I;16"), ("PNG", "LA"), ("TIFF", "F"), ("TIFF", "CMYK")]
)
def test_a_large_picture_of_any_kind_of_pixels_is_scaled_down(tmp_path: Path, kind: str, mode: str) -> None:
    # Given pixels that cannot be averaged as they are (numbers in a palette, bits, 16-bit greys)
    path = tmp_path / "source.image"
    path.write_bytes(saved(kind, mode, size=(5000, 300)))
    picture, scale = read_picture(path, MAX_PIXELS)
    assert (picture.shape[1], scale) == (2500, 2.0)


def test_what_a_worker_keeps_is_freed_before_a_very_large_picture_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that keeps something of its last job
    monkeypatch.setattr(kept_in_memory, "is_short", lambda: False)
    monkeypatch.setattr(kept_in_memory, "_free", [])
    place, path = KeptValue[str, int](), tmp_path / "source.image"
    left = []
    for width in (4096, 4097):
        path.write_bytes(saved("PNG", "L", size=(width, 210)))
        place.keep("portrait", 1)
        # When it reads a picture for another purpose than a portrait, such as a background
        read_picture(path, MAX_PIXELS)
        left.append(place.take("portrait"))
    # Then that is freed before one that is scaled down only after it was read, which takes more memory than a video
    assert left == [1, None]


def many_scans(size: tuple[int, int], more: int) -> bytes:
    """A progressive JPEG whose last scan comes `more` times again: each is decoded, and none changes the picture."""
    data = saved("JPEG", size=size, progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * more + data[end:]


def test_a_jpeg_of_thousands_of_scans_is_refused_undecoded_and_one_of_many_is_read(tmp_path: Path) -> None:
    path = tmp_path / "source.image"
    # Given progressive JPEGs of few, many and thousands of scans / Then only the last is refused
    for more, expected in ((0, "picture"), (MOST_SCANS // 2, "picture"), (2000, "image-too-complex")):
        path.write_bytes(many_scans((96, 64), more))
        assert outcome(path) == expected
    # And scans of another picture do not count: a thumbnail before the pixels, or what phones append after the end
    tags = Image.Exif()
    tags[0x927C] = many_scans((16, 16), 300)
    path.write_bytes(saved("JPEG", exif=tags.tobytes()) + many_scans((96, 64), 2000))
    assert outcome(path) == "picture"


@pytest.mark.parametrize("where", ["header", "pixels"])
def test_a_picture_that_takes_too_much_work_is_given_up_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    # Given a file of some seconds' work, whose harm no check of its format finds
    path = tmp_path / "source.image"
    if where == "header":
        path.write_bytes(saved("JPEG")[:2] + b"\xff\xe0\0\2" * 3_000_000)
    else:
        path.write_bytes(many_scans((1600, 1600), 400))
        monkeypatch.setattr(decode, "count_scans", lambda path, most: 1)
    monkeypatch.setattr(decode, "CPU_S", 0.5)
    monkeypatch.setattr(decode, "CPU_PER_MPX_S", 0.0)
    # When it is read with little processor time / Then it ends with a code
    assert outcome(path) == "image-too-complex"
    # And nothing is left behind that would interrupt the next one
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("size", "code"),
    [
        ((1_000_000, 1), "image-too-small"),
        ((1, 1_000_000), "image-too-small"),
        ((LEAST_SIDE_PX - 1, 200), "image-too-small"),
        ((LEAST_SIDE_PX, MOST_NARROW * LEAST_SIDE_PX + 1), "image-too-narrow"),
        ((40_000, 1500), "image-too-narrow"),
        ((LEAST_SIDE_PX, LEAST_SIDE_PX), "no-face"),
        ((LEAST_SIDE_PX, MOST_NARROW * LEAST_SIDE_PX), "no-face"),
        ((MOST_NARROW * 333, 333), "no-face"),
    ],
)
def test_a_picture_of_any_shape_ends_in_a_code_of_the_job(tmp_path: Path, size: tuple[int, int], code: str) -> None:
    # Given a picture of an unlikely shape / When the stage runs / Then it is the job's fault, by a code that says why
    ctx = job(tmp_path / "job", encoded(Image.new("L", size, 90)), text="Hello.")
    with pytest.raises(JobError) as caught:
        stages.face.run(ctx)
    assert caught.value.code == code
    # And the same picture as a background ends in a picture, or in the same code
    assert outcome(ctx.path("source.image")) == ("picture" if code == "no-face" else code)


BOMBS: dict[str, Callable[[Path], None]] = {
    "tiff float": tiff_bomb,
    "png grey 16": lambda path: bomb(path, depth=16, colour=0, row=2),
    "png rgba": lambda path: bomb(path, depth=8, colour=6, row=4),
    "png palette": lambda path: bomb(path, depth=8, colour=3, row=1),
}
#: The most pixels of the largest picture: a quarter of what is allowed by itself takes a quarter of the time.
LARGEST = MAX_PIXELS if FULL else MAX_PIXELS // 4
#: Resident memory that the largest picture may take, whatever its pixels are, in MB: 14 bytes a pixel. (RGBA alone has four.)
MEMORY_MB = 100 + 14 * LARGEST / 1e6


def bomb(path: Path, depth: int, colour: int, row: int) -> None:
    """Nearly all the pixels that are allowed, in a file of some hundred kilobytes."""
    side = int(LARGEST**0.5) - 8
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 + side * row)) for _ in range(side)) + packer.flush()
    palette = (chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(256))) if colour == 3 else ()
    path.write_bytes(png(side, side, *palette, chunk(b"IDAT", packed), depth=depth, colour=colour))


def test_the_largest_allowed_picture_takes_bounded_memory(tmp_path: Path) -> None:
    # Given small files that unpack to the most pixels there may be
    for number, make in enumerate(BOMBS.values()):
        make(path := tmp_path / f"{number}.image")
        assert path.stat().st_size < 2 * 2**20
    # When they are read in a process of their own, as the worker is, which tells its peak after each
    # (VmHWM, since ru_maxrss begins with what the process that started this one had)
    code = (
        "from pathlib import Path; from stages.face.decode import read_picture\n"
        f"for path in sorted(Path({str(tmp_path)!r}).glob('*.image')):\n"
        f"    read_picture(path, {LARGEST})\n"
        "    print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Then none takes more than its bounds
    peaks = dict(zip(BOMBS, (int(line) / 1000 for line in out.split()), strict=True))
    assert max(peaks.values()) < MEMORY_MB, peaks


def test_the_whole_stage_answers_damaged_portraits_with_a_face_or_a_code(tmp_path: Path) -> None:
    # Given a portrait that is damaged where a decoder goes on
    data = bytearray()
    file = io.BytesIO()
    Image.open(PORTRAIT).convert("RGB").resize((512, 512)).save(file, "JPEG")
    data[:] = file.getvalue()
    chance = random.Random(1)
    outcomes = set()
    for number in range(6):
        job = tmp_path / str(number)
        job.mkdir()
        broken = bytearray(data)
        for _ in range(number):
            broken[chance.randrange(700, len(broken))] = chance.randrange(256)
        (job / "source.image").write_bytes(bytes(broken))
        settings = Settings.parse({"paths": {"cache": str(tmp_path / "cache")}}, tmp_path / "config.yaml")
        manifest = Manifest(kind="detect", image="p.png")
        # Then the stage ends in a face, or with a code of the job's
        try:
            stages.face.run(Context(f"job-{number}", "n", job, manifest, settings))
            outcomes.add("face")
        except JobError as exc:
            outcomes.add(exc.code)
    assert "face" in outcomes
