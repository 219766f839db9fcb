"""The lipsync stage's work with MuseTalk: look at the portrait once, listen, paint every frame's mouth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import MachineError, UnknownError
from stages.context import Context, Facts
from stages.lipsync import patches
from stages.lipsync.engines import catalogue_name
from stages.lipsync.musetalk import box as boxes
from stages.lipsync.musetalk import region
from stages.lipsync.musetalk.device import choose_place
from stages.lipsync.musetalk.painter import Painter
from stages.lipsync.musetalk.paste import crop_face
from stages.lipsync.musetalk.speech import Speech
from stages.lipsync.sound import RATE as READINGS
from stages.lipsync.sound import Sound

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: The painted mouth shows from this long before a sound until this long after it, and comes and goes over `_FADE_S`. s
_BEFORE_S, _AFTER_S, _FADE_S = 0.12, 0.20, 0.12

#: The engine that is loaded, and for what; it stays until another is asked for or the process ends.
_loaded: tuple[tuple[object, ...], Painter] | None = None


def paint_mouths(ctx: Context, sound: Sound, frames: int) -> Facts:
    """Write `mouth.raw` and `mouth.npz`.

    Raises:
        JobError: `face-cut-off`.
        MachineError: model files or memory are missing, or the stage's time would not suffice.
    """
    started = time.monotonic()
    painter = _painter(ctx)
    load_s = time.monotonic() - started
    portrait, where = _face(ctx)
    latents = painter.latents(crop_face(portrait, where.box))
    speech, fps = Speech(ctx.path("speech.wav")), ctx.manifest.frame_rate
    before = painter.repainted
    groups = painter.patches(latents, painter.ear.tokens(speech, frames, fps, painter.batch))
    watched = _Watch(ctx, frames, float(sound.duration), started)
    patches.save(ctx.job_dir, where, strength(sound, frames, fps), watched.over(groups))
    repainted = painter.repainted - before
    if repainted:
        ctx.warnings.append(f"{repainted} frames came out broken and were painted again in float32.")
    if painter.place.device.type == "cpu":
        ctx.warnings.append(
            f"MuseTalk ran on the processor and took {watched.per_frame_s:.2f} s for each frame; a GPU takes milliseconds."
        )
    return {
        "model": f"MuseTalk {ctx.settings.stages.lipsync.musetalk.version}",
        "device": painter.place.words,
        "batch": painter.batch,
        "load_s": round(load_s, 2),
        "frames_per_s": round(1 / max(watched.per_frame_s, 1e-9), 1),
        "repainted": repainted,
        **painter.memory(),
    }


def strength(sound: Sound, frames: int, fps: Fraction) -> FloatArray:
    """How far each frame's patch shows, 0 to 1: not in silence, where the portrait's own mouth is the better one.

    The first and the last frame are the portrait itself, as with every engine, so that clips can be joined.
    """
    before, after, fade = (round(seconds * READINGS) for seconds in (_BEFORE_S, _AFTER_S, _FADE_S))
    heard = np.pad((sound.loudness > 0).astype(np.float32), (after + fade, before + fade))
    near = np.convolve(heard, np.ones(before + after + 1), "valid") > 0
    eased = np.convolve(near.astype(np.float32), np.ones(2 * fade + 1) / (2 * fade + 1), "valid")
    times = np.arange(frames) / float(fps)
    shown = np.interp(times, np.arange(len(eased)) / READINGS, eased) if len(eased) else np.zeros(frames)
    edge = np.minimum(times, float(sound.duration) - times) / _FADE_S
    values: FloatArray = np.clip(np.minimum(shown, edge), 0, 1).astype(np.float32)
    values[:1] = values[-1:] = 0
    return values


def unload() -> None:
    """Give the loaded engine's memory back."""
    global _loaded
    if _loaded is not None:
        _loaded[1].unload()
        _loaded = None


def _painter(ctx: Context) -> Painter:
    global _loaded
    wish, root = ctx.settings.stages.lipsync.musetalk, ctx.settings.paths.models
    key = (wish, root)
    if _loaded is None or _loaded[0] != key:
        unload()
        name = catalogue_name(ctx.settings.stages.lipsync)
        _loaded = key, Painter.load(name, root, choose_place(wish.precision), wish.memory_mb, wish.batch)
    return _loaded[1]


def _face(ctx: Context) -> tuple[Picture, region.Region]:
    picture = cv2.imread(str(ctx.path("portrait.png")), cv2.IMREAD_COLOR)
    if picture is None:
        raise UnknownError("portrait-unreadable", "portrait.png cannot be read.", "Retry the job.")
    portrait = np.asarray(picture, np.uint8)
    size = portrait.shape[1], portrait.shape[0]
    landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
    newer = ctx.settings.stages.lipsync.musetalk.version == "1.5"
    box = boxes.portrait_box(landmarks, size, chin_margin=boxes.CHIN_MARGIN if newer else 0.0)
    labels = region.landmark_labels(landmarks, region.square_of(box))
    part = region.shown(labels, "jaw" if newer else "raw")
    return portrait, region.region(region.soft_mask(part, box), box, size)


class _Watch:
    """Reports progress, and gives up early what the stage's time cannot hold."""

    def __init__(self, ctx: Context, frames: int, duration: float, started: float) -> None:
        limit = ctx.settings.lanes.timeout
        self._ctx, self._frames, self._duration = ctx, frames, duration
        self._until = started + limit.base_s + limit.per_audio_s * duration
        self.per_frame_s = 0.0

    def over(self, groups: Iterable[Picture]) -> Iterator[Picture]:
        done, started = 0, time.monotonic()
        for group in groups:
            yield group
            done += len(group)
            now = time.monotonic()
            self.per_frame_s = (now - started) / done
            self._ctx.progress(0.1 + 0.9 * done / self._frames)
            if now + self.per_frame_s * (self._frames - done) > self._until:
                self._give_up()

    def _give_up(self) -> None:
        whole = self.per_frame_s * self._frames
        raise MachineError(
            "engine-too-slow",
            f"Painting takes {self.per_frame_s:.1f} s for each frame here, {whole / 60:.0f} minutes for this speech; "
            "the stage is not given that long.",
            "Use a GPU, set `stages.lipsync.engine: warp`, or raise `lanes.timeout.per_audio_s` above "
            f"{whole / max(self._duration, 0.1):.0f}.",
        )
