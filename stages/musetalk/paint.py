"""Paints the mouth of every frame with MuseTalk, for the lipsync stage."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from torch import Tensor

from daemon.errors import MachineError
from stages.context import Context, Facts
from stages.gpu.device import empty_cache
from stages.lipsync import painted_mouth
from stages.lipsync.audio_features import READINGS_PER_S, AudioFeatures
from stages.lipsync.engines.musetalk import model_name, model_title
from stages.model_memory import measured
from stages.musetalk.audio import SpeechReader
from stages.musetalk.device import choose_placement
from stages.musetalk.painter import Painter
from stages.musetalk.portrait import PortraitCache

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: The painted mouth is visible from `_BEFORE_S` before a sound to `_AFTER_S` after it, and fades in and out over `_FADE_S`. s
_BEFORE_S, _AFTER_S, _FADE_S = 0.12, 0.20, 0.12
#: Time for each step until the first frames, after which the time limit follows the estimate: the files may lie on a slow disk,
#: and on a GPU the norms' kernels are compiled and the convolutions' tried out. Where that is done again in mid-video, it has as
#: long. s
_START_S = 300.0


@dataclass(frozen=True)
class _LoadedEngine:
    """The loaded engine and the settings that it was loaded for; it stays until other settings are used or it is unloaded."""

    key: tuple[object, ...]
    painter: Painter
    portraits: PortraitCache
    seconds: float
    memory: dict[str, int]


_loaded_engine: _LoadedEngine | None = None


def paint_mouths(ctx: Context, audio: AudioFeatures, frames: int) -> Facts:
    """Paint the mouths of `frames` frames, write `mouth.raw` and `mouth.npz`, and return facts for the status.

    Raises:
        JobError: `face-cut-off`.
        MachineError: `model-missing`, `model-damaged`, `model-foreign`, `gpu-memory`, `gpu-lost`, `disk-full`, or
            `engine-too-slow`: painting takes longer than the setting `patience` accepts.
        UnknownError: `patch-broken`, `portrait-unreadable` or `speech-unreadable`.
    """
    ctx.allow_seconds(_START_S)
    engine = _load_engine(ctx)
    painter, fps = engine.painter, ctx.manifest.frame_rate
    with painter.norm_in_use():
        portrait = engine.portraits.for_job(ctx)
        if portrait.warning:
            ctx.warnings.append(portrait.warning)
        before = painter.repainted
        watched = _PaintingProgress(ctx, painter, frames, float(audio.duration))
        size = painter.pass_size(portrait.latents)
        tokens = watched.begun(painter.audio_encoder.tokens(SpeechReader(ctx.path("speech.wav")), frames, fps, size))
        partial = ctx.settings.stages.lipsync.musetalk.partial_rows
        first_row = painted_mouth.first_row(portrait.where) if partial else 0
        patches = painter.patches(portrait.latents, tokens, first_row, lambda: ctx.allow_seconds(_START_S))
        painted = watched.done(patches)
        painted_mouth.save_painted_mouths(ctx.job_dir, portrait.where, patch_strength(audio, frames, fps), painted)
    repainted = painter.repainted - before
    if repainted:
        ctx.warnings.append(f"{repainted} frames were painted incorrectly, and were painted again in float32.")
    if painter.placement.device.type == "cpu":
        ctx.warnings.append(
            f"MuseTalk ran on the CPU and took {watched.per_frame_s:.2f} s per frame; a GPU takes milliseconds."
        )
    return {
        "model": model_title(ctx.settings),
        "device": painter.placement.description,
        "recorded": painter.recorded,
        "norm": painter.norm,
        "batch": painter.batch,
        "load_s": round(engine.seconds, 2),
        "frames_per_s": round(1 / max(watched.per_frame_s, 1e-9), 1),
        "repainted": repainted,
        **{f"{name}_at_load": value for name, value in engine.memory.items()},
        **painter.memory(),
    }


def patch_strength(audio: AudioFeatures, frames: int, fps: Fraction) -> FloatArray:
    """Compute the opacity of each frame's patch, 0 to 1, float32 [frames]; 0 in silence, where the portrait's mouth is better.

    The first and the last frame are the portrait itself, as with every engine, so that clips can be joined.
    """
    before, after, fade = (round(seconds * READINGS_PER_S) for seconds in (_BEFORE_S, _AFTER_S, _FADE_S))
    heard = np.pad((audio.loudness > 0).astype(np.float32), (after + fade, before + fade))
    near = np.convolve(heard, np.ones(before + after + 1), "valid") > 0
    eased = np.convolve(near.astype(np.float32), np.ones(2 * fade + 1) / (2 * fade + 1), "valid")
    times = np.arange(frames) / float(fps)
    shown = np.interp(times, np.arange(len(eased)) / READINGS_PER_S, eased) if len(eased) else np.zeros(frames)
    edge = np.minimum(times, float(audio.duration) - times) / _FADE_S
    values: FloatArray = np.clip(np.minimum(shown, edge), 0, 1).astype(np.float32)
    values[:1] = values[-1:] = 0
    return values


def unload() -> Facts:
    """Unload the engine. Returns the memory held and free afterwards, empty if nothing was loaded."""
    global _loaded_engine
    if _loaded_engine is None:
        return {}
    painter, _loaded_engine = _loaded_engine.painter, None
    return {"model": "musetalk", **painter.unload()}


def _load_engine(ctx: Context) -> _LoadedEngine:
    global _loaded_engine
    settings, root = ctx.settings.stages.lipsync.musetalk, ctx.settings.paths.models
    key = (settings, root)
    if _loaded_engine is None or _loaded_engine.key != key:
        unload()
        started = time.monotonic()
        name = model_name(ctx.settings)
        placement = choose_placement(settings.precision)
        if placement.device.type == "cuda":
            # What other networks of this process have used is neither free to the driver nor a part of this one's memory.
            empty_cache()
        with measured(model_title(ctx.settings), ctx.report_model, least_s=0.0):
            painter = Painter.load(
                name, root, placement, settings.memory_mb, settings.batch,
                fused_norm=settings.fused_norm, cache=ctx.settings.paths.cache,
                preparing=lambda: ctx.allow_seconds(_START_S),
            )  # fmt: skip
        seconds = time.monotonic() - started
        _loaded_engine = _LoadedEngine(key, painter, PortraitCache(painter, settings, root), seconds, painter.memory())
    return _loaded_engine


class _PaintingProgress:
    """Reports progress and remaining time, and raises an error if painting is slower than the settings accept.

    Preparing a pass does not count: with a small batch, the first frames would look a hundred times slower than the others.
    """

    def __init__(self, ctx: Context, painter: Painter, frames: int, duration: float) -> None:
        self._ctx, self._painter, self._frames, self._duration = ctx, painter, frames, duration
        self._started, self._begun = self._worked_s(), 0
        self.per_frame_s = 0.0

    def _worked_s(self) -> float:
        return time.monotonic() - self._painter.preparing_s

    def begun(self, tokens: Iterable[Tensor]) -> Iterator[Tensor]:
        """Count the frames whose painting has begun: one group more than is done; on a CPU that group is finished, too."""
        for group in tokens:
            self._begun += len(group)
            yield group

    def done(self, groups: Iterable[Picture]) -> Iterator[Picture]:
        """Count the painted frames, and report progress after each group."""
        finished = 0
        for group in groups:
            yield group
            first, finished = not finished, finished + len(group)
            self.per_frame_s = (self._worked_s() - self._started) / self._begun
            if first:
                self._check()
            self._ctx.progress(0.1 + 0.9 * finished / self._frames)
            self._ctx.report_seconds_left(self.per_frame_s * (self._frames - finished))

    def _check(self) -> None:
        """Estimate the time for all frames, after the first group.

        Raises:
            MachineError: `engine-too-slow`.
        """
        whole = self.per_frame_s * self._frames
        each = whole / max(self._duration, 1.0)
        if each > self._ctx.settings.stages.lipsync.musetalk.patience:
            raise MachineError(
                "engine-too-slow",
                f"Painting takes {self.per_frame_s:.1f} s per frame on this machine: {whole / 60:.0f} minutes for this speech.",
                "Use a GPU, set `stages.lipsync.engine: warp`, or raise `stages.lipsync.musetalk.patience` "
                f"above {math.ceil(each)}.",
            )
