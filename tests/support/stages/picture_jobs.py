"""Small jobs for the tests of the face stage, the lipsync stage and the composer."""

from __future__ import annotations

import importlib.util
import io
import json
import wave
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.planes import PlanarFrame
from stages.lipsync.motion_track import PARAMETERS, MotionTrack
from stages.tts.timing import Phone
from tests.support.stages.sound_jobs import save_timing

Picture = npt.NDArray[np.uint8]

PORTRAIT = Path(__file__).resolve().parents[3] / "examples" / "portrait.png"
RATE = 24_000
#: Largest difference in BGR that rounding in the planes makes.
ROUNDING = 8
#: A cache for all jobs of tests that take the face stage for granted, so that each picture is measured once; None for a cache of
#: each job's own.
known_faces: Path | None = None


def job(
    folder: Path, picture: Image.Image | bytes | None = None, limits: dict[str, Any] | None = None, **manifest: Any
) -> Context:
    """Return a job about a picture, with the cache beside it, or `known_faces`; `limits` are config.yaml's for the face stage."""
    folder.mkdir(parents=True, exist_ok=True)
    if picture is not None:
        (folder / "source.image").write_bytes(picture if isinstance(picture, bytes) else encoded(picture))
    settings = {
        "paths": {"cache": str(known_faces or folder.parent / "cache"), "avatars": str(folder.parent / "avatars")},
        "stages": {"face": limits or {}},
    }
    return Context(
        job_id="job-20260101T000000Z-abcdef12",
        name="hello",
        job_dir=folder,
        manifest=Manifest.model_validate({"text": "Hello.", "image": "portrait.png", **manifest}),
        settings=Settings.model_validate(settings),
    )


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of a picture file. `kind` and `options`: as Pillow's `save` takes them, but PNG is little compressed."""
    file = io.BytesIO()
    picture.save(file, kind, **({"compress_level": 1} if kind == "PNG" else {}), **options)
    return file.getvalue()


@cache
def drawn(side: int = 640) -> Image.Image:
    """Return the example portrait: drawn, closed lips."""
    return Image.open(PORTRAIT).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


@cache
def astronaut() -> Image.Image:
    """Return a photo in the public domain, 512 px, whose face is only about 95 px wide."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Image.open(Path(spec.origin).parent / "data" / "astronaut.png").convert("RGB")


@cache
def smiling() -> Image.Image:
    """Return the astronaut's face enlarged: a photo with a smile that shows the teeth."""
    return astronaut().crop((90, 10, 350, 270)).resize((640, 640), Image.Resampling.BICUBIC)


def noise() -> Image.Image:
    """Return a picture of nobody."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8))


def two_faces() -> Image.Image:
    """Return a larger face on the left, a smaller one on the right of the middle."""
    picture = Image.new("RGB", (1400, 640), (200, 195, 190))
    picture.paste(drawn(), (0, 0))
    picture.paste(drawn().resize((460, 460)), (660, 120))
    return picture


def face_of(ctx: Context) -> dict[str, Any]:
    """Return face.json of a job."""
    found: dict[str, Any] = json.loads(ctx.path("face.json").read_bytes())
    return found


def portrait_of(ctx: Context) -> Picture:
    """Return portrait.png of a job, [height, width, 3] in RGB."""
    return np.asarray(Image.open(ctx.path("portrait.png")))


def portrait_shown(ctx: Context) -> Picture:
    """Return the job's portrait as a frame shows it, with a colour for every four pixels: BGR."""
    return PlanarFrame.from_bgr(np.ascontiguousarray(portrait_of(ctx)[..., ::-1])).to_bgr()


def changed(frame: Picture, other: Picture) -> npt.NDArray[np.bool_]:
    """Where two BGR pictures differ by more than rounding in the planes, [height, width]."""
    return np.asarray(cv2.absdiff(frame, other).max(axis=-1) > ROUNDING)


def show(ctx: Context, *rows: dict[str, float]) -> list[Picture]:
    """Return frames of hand-made motion over the job's portrait."""
    values = np.zeros((len(rows), len(PARAMETERS)), np.float32)
    for index, row in enumerate(rows):
        for name, value in row.items():
            values[index, PARAMETERS.index(name)] = value
    MotionTrack(values, Fraction(25), 0).save(ctx.path("motion.npz"))
    return [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]


def say(ctx: Context, phones: list[tuple[str, float, float]], duration: float, method: str = "exact") -> None:
    """Give the job a voice: noise that is loud where a phone is, and the phones' times."""
    time = np.arange(round(duration * RATE)) / RATE
    voice = np.zeros_like(time)
    for _, start, end in phones:
        voice[slice(*np.searchsorted(time, (start, end)))] = 0.3
    voice *= np.random.default_rng(0).normal(size=len(time))
    write_sound(ctx.path("speech.wav"), voice)
    timed = tuple(Phone(phone, start, end, 0, 1) for phone, start, end in phones) if method != "energy" else ()
    save_timing(ctx, method=method, sample_rate=RATE, duration=duration, phones=timed)


def write_sound(path: Path, samples: npt.NDArray[np.float64]) -> None:
    """Samples in ±1 as a 16-bit mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def track_of(ctx: Context) -> MotionTrack:
    """Return the motion track of a job."""
    return MotionTrack.load(ctx.path("motion.npz"))
