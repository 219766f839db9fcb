"""What comes after the network, and the whole: mask, paste, motion and encoding of a 1920 × 1080 portrait, by the real stages."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import PORTRAIT
from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from stages import encode, face, tts
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.device.frames import DeviceFrames
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.framing import shared_frames_of_job
from stages.encode.video import write_video
from stages.lipsync import painted_mouth
from stages.lipsync.audio_features import measure_audio
from stages.lipsync.motion import make_motion_track
from stages.lipsync.painted_mouth import PaintedMouths
from stages.lipsync.registry import ENGINES
from stages.musetalk import face_box as boxes
from stages.musetalk import mask as region
from stages.musetalk import paint
from stages.musetalk.painter import Painter
from stages.musetalk.portrait import PortraitCache


@dataclass(frozen=True)
class Scene:
    """What is made: width and height of the picture, px, and what is spoken."""

    size: tuple[int, int]
    text: str


FULL_HD = Scene(
    (1920, 1080),
    "The quick brown fox jumps over the lazy dog, while a patient narrator explains what happens in every single frame. "
    "Then there is a pause, and the story goes on for a few more seconds. ",
)
SMALL = Scene((384, 288), "Hi. ")


def spoken(folder: Path, scene: Scene, sentences: int = 1, **manifest: Any) -> Context:
    """Return a job with its face found and its speech made."""
    folder.mkdir(parents=True)
    width, height = scene.size
    portrait = Image.open(PORTRAIT).convert("RGB").resize((height, height), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", scene.size, portrait.getpixel((2, 2)))
    whole.paste(portrait, ((width - height) // 2, 0))
    whole.save(folder / "source.image", "PNG")
    settings = {
        "paths": {"cache": str(folder.parent / "cache")},
        "stages": {"face": {"max_side_px": max(width, 512)}, "lipsync": {"engine": "musetalk"}},
    }
    ctx = Context(
        "job-20260101T000000Z-abcdef12",
        "bench",
        folder,
        Manifest.model_validate({"text": scene.text * sentences, "image": "portrait.png", **manifest}),
        Settings.model_validate(settings),
    )
    face.run(ctx)
    tts.run(ctx)
    return ctx


def after_network(folder: Path, scene: Scene) -> dict[str, Any]:
    """CPU milliseconds by part; for each frame where nothing else is said. Patches are noise: their cost is the same."""
    ctx = spoken(folder, scene)
    sound = measure_audio(ctx.path("speech.wav"))
    make_motion_track(ctx)
    landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
    box = boxes.portrait_box(landmarks, scene.size, chin_margin=boxes.CHIN_MARGIN)
    square = region.crop_square(box)

    def mask() -> region.MaskRegion:
        part = region.painted_part(region.landmark_labels(landmarks, square))
        return region.cut_region(region.soft_mask(part, box), box, scene.size)

    mask_ms, where = cpu_ms(mask)
    frames = -(-sound.duration.numerator * ctx.manifest.frame_rate // sound.duration.denominator)
    noise = np.random.default_rng(0).integers(0, 256, (8, 256, 256, 3)).astype(np.uint8)
    groups = (noise[: min(8, frames - first)] for first in range(0, frames, 8))
    save_ms, _ = cpu_ms(
        lambda: painted_mouth.save_painted_mouths(ctx.job_dir, where, np.ones(frames, np.float32), groups)
    )
    painted = PaintedMouths.load(ctx.job_dir)
    assert painted is not None
    picture = np.asarray(Image.open(ctx.path("portrait.png")))[..., ::-1].copy()

    def paste() -> None:
        for index in range(frames):
            painted.paint(index, picture)

    paste_ms, _ = cpu_ms(paste)
    compose_ms, _ = cpu_ms(lambda: sum(1 for _ in Composer.for_job(ctx).frames()))
    encode_ms, facts = cpu_ms(lambda: encode.run(ctx))
    still_ms, _ = cpu_ms(lambda: sum(1 for _ in Composer.for_job(plain(ctx, folder.parent / "plain")).frames()))
    return {
        "picture": f"{scene.size[0]}x{scene.size[1]}",
        "face_box_px": [box[2] - box[0], box[3] - box[1]],
        "frames": facts["frames"],
        "mask_once_ms": round(mask_ms, 1),
        "save_ms": round(save_ms / frames, 2),
        "paste_ms": round(paste_ms / frames, 2),
        "motion_and_paste_ms": round(compose_ms / frames, 2),
        "motion_alone_ms": round(still_ms / frames, 2),
        "all_with_x264_ms": round(encode_ms / frames, 2),
        "x264": facts["why"],
    }


def plain(ctx: Context, folder: Path) -> Context:
    """The same job without patches."""
    folder.mkdir()
    for name in ("portrait.png", "face.json", "motion.npz"):
        (folder / name).write_bytes(ctx.path(name).read_bytes())
    return Context(ctx.job_id, ctx.name, folder, ctx.manifest, ctx.settings)


def cpu_ms(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of a call, all threads and children, and its result."""
    before = _used()
    result = call()
    return (_used() - before) * 1000, result


def _used() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def end_to_end(folder: Path, painter: Painter, scene: Scene, sentences: int) -> dict[str, Any]:
    """Frames a second of the two stages, which run beside each other on a busy machine: painting, and drawing with x264, drawn by
    the processor and by the painter's device.
    """
    ctx = spoken(folder, scene, sentences)
    settings, root = ctx.settings.stages.lipsync.musetalk, ctx.settings.paths.models
    paint._loaded_engine = paint._LoadedEngine(
        (settings, root), painter, PortraitCache(painter, settings, root), 0.0, painter.memory()
    )
    started = time.monotonic()
    facts = make_motion_track(ctx, ENGINES["musetalk"])
    painted_s = time.monotonic() - started
    paint._loaded_engine = None
    frames = int(facts["frames"])
    return {
        "frames": frames,
        "lipsync_frames_per_s": round(frames / painted_s, 1),
        "painting_frames_per_s": facts["frames_per_s"],
        "drawn_by_the_processor": _encoded(ctx, lambda: _shared(ctx), frames, painted_s),
        "drawn_by_the_device": _encoded(ctx, lambda: _by_device(ctx, painter.placement.device), frames, painted_s),
        **{name: value for name, value in facts.items() if name.startswith("vram") or name == "recorded"},
    }


def _encoded(ctx: Context, make: Callable[[], FrameSource], frames: int, painted_s: float) -> dict[str, Any]:
    """Frames a second of the encode stage and of both stages one after the other, and the processor's time for each frame."""
    started = time.monotonic()
    used_ms, facts = cpu_ms(lambda: write_video(ctx, make()))
    encoded_s = time.monotonic() - started
    return {
        "encode_frames_per_s": round(frames / encoded_s, 1),
        "one_job_frames_per_s": round(frames / (painted_s + encoded_s), 1),
        "cpu_ms": round(used_ms / frames, 2),
        "encoder": facts["encoder"],
    }


def _shared(ctx: Context) -> FrameSource:
    return shared_frames_of_job(ctx).source


def _by_device(ctx: Context, device: torch.device) -> FrameSource:
    def failed(first: int) -> FrameSource:
        raise RuntimeError(f"the device failed at frame {first}: {', '.join(ctx.warnings)}")

    return DeviceFrames(Composer.for_job(ctx), str(device), str(device), failed, ctx.warnings.append)
