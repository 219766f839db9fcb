"""The lipsync stage's work with MuseTalk: look at the portrait once, listen, paint every frame's mouth."""

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
from stages.lipsync import painted_mouth
from stages.lipsync.audio_features import RATE as READINGS
from stages.lipsync.audio_features import AudioFeatures
from stages.lipsync.engines.musetalk import model_name
from stages.musetalk.audio import Speech
from stages.musetalk.device import choose_place
from stages.musetalk.painter import Painter
from stages.musetalk.portrait import Portraits

FloatArray = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: The painted mouth shows from this long before a sound until this long after it, and comes and goes over `_FADE_S`. s
_BEFORE_S, _AFTER_S, _FADE_S = 0.12, 0.20, 0.12


@dataclass(frozen=True)
class _Loaded:
    """The engine that is loaded, and for what; it stays until another is asked for or the process ends."""

    key: tuple[object, ...]
    painter: Painter
    portraits: Portraits
    seconds: float
    memory: dict[str, int]


_loaded: _Loaded | None = None


def paint_mouths(ctx: Context, audio: AudioFeatures, frames: int) -> Facts:
    """Write `mouth.raw` and `mouth.npz`.

    Raises:
        JobError: `face-cut-off`.
        MachineError: model files or memory are missing, the GPU is lost, or the machine is slower than is accepted.
    """
    engine = _engine(ctx)
    painter, fps = engine.painter, ctx.manifest.frame_rate
    portrait = engine.portraits.of(ctx)
    if portrait.remark:
        ctx.warnings.append(portrait.remark)
    before = painter.repainted
    watched = _Watch(ctx, frames, float(audio.duration))
    tokens = watched.begun(painter.ear.tokens(Speech(ctx.path("speech.wav")), frames, fps, painter.batch))
    painted = watched.done(painter.patches(portrait.latents, tokens))
    painted_mouth.save_painted_mouths(ctx.job_dir, portrait.where, strength(audio, frames, fps), painted)
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
        "recorded": painter.recorded,
        "batch": painter.batch,
        "load_s": round(engine.seconds, 2),
        "frames_per_s": round(1 / max(watched.per_frame_s, 1e-9), 1),
        "repainted": repainted,
        **{f"{name}_at_load": value for name, value in engine.memory.items()},
        **painter.memory(),
    }


def strength(audio: AudioFeatures, frames: int, fps: Fraction) -> FloatArray:
    """How far each frame's patch shows, 0 to 1: not in silence, where the portrait's own mouth is the better one.

    The first and the last frame are the portrait itself, as with every engine, so that clips can be joined.
    """
    before, after, fade = (round(seconds * READINGS) for seconds in (_BEFORE_S, _AFTER_S, _FADE_S))
    heard = np.pad((audio.loudness > 0).astype(np.float32), (after + fade, before + fade))
    near = np.convolve(heard, np.ones(before + after + 1), "valid") > 0
    eased = np.convolve(near.astype(np.float32), np.ones(2 * fade + 1) / (2 * fade + 1), "valid")
    times = np.arange(frames) / float(fps)
    shown = np.interp(times, np.arange(len(eased)) / READINGS, eased) if len(eased) else np.zeros(frames)
    edge = np.minimum(times, float(audio.duration) - times) / _FADE_S
    values: FloatArray = np.clip(np.minimum(shown, edge), 0, 1).astype(np.float32)
    values[:1] = values[-1:] = 0
    return values


def unload() -> Facts:
    """Give the loaded engine's memory back; says what is held and free afterwards, empty where nothing was loaded."""
    global _loaded
    if _loaded is None:
        return {}
    painter, _loaded = _loaded.painter, None
    return {"model": "musetalk", **painter.unload()}


def _engine(ctx: Context) -> _Loaded:
    global _loaded
    wish, root = ctx.settings.stages.lipsync.musetalk, ctx.settings.paths.models
    key = (wish, root)
    if _loaded is None or _loaded.key != key:
        unload()
        started = time.monotonic()
        name = model_name(ctx.settings)
        painter = Painter.load(name, root, choose_place(wish.precision), wish.memory_mb, wish.batch)
        seconds = time.monotonic() - started
        ctx.report_model_loaded(f"MuseTalk {wish.version}", seconds)
        _loaded = _Loaded(key, painter, Portraits(painter, wish, root), seconds, painter.memory())
    return _loaded


class _Watch:
    """Reports progress and the time that is left, and refuses what is slower than the settings accept."""

    def __init__(self, ctx: Context, frames: int, duration: float) -> None:
        self._ctx, self._frames, self._duration = ctx, frames, duration
        self._started, self._begun = time.monotonic(), 0
        self.per_frame_s = 0.0

    def begun(self, tokens: Iterable[Tensor]) -> Iterator[Tensor]:
        """Count what is being painted: one group more than what is done, and on a processor it is finished, too."""
        for group in tokens:
            self._begun += len(group)
            yield group

    def done(self, groups: Iterable[Picture]) -> Iterator[Picture]:
        finished = 0
        for group in groups:
            yield group
            first, finished = not finished, finished + len(group)
            self.per_frame_s = (time.monotonic() - self._started) / self._begun
            if first:
                self._check()
            self._ctx.progress(0.1 + 0.9 * finished / self._frames)
            self._ctx.report_seconds_left(self.per_frame_s * (self._frames - finished))

    def _check(self) -> None:
        """Known after the first group: what the whole takes."""
        whole = self.per_frame_s * self._frames
        each = whole / max(self._duration, 1.0)
        if each > self._ctx.settings.stages.lipsync.musetalk.patience:
            raise MachineError(
                "engine-too-slow",
                f"Painting takes {self.per_frame_s:.1f} s for each frame here, {whole / 60:.0f} minutes for this speech.",
                "Use a GPU, set `stages.lipsync.engine: warp`, or raise `stages.lipsync.musetalk.patience` "
                f"above {math.ceil(each)}.",
            )
