"""Falls of hair: locks of many strands that gather towards their tips, wave, and catch the light where they bend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curves import CX, Array, normals_of
from .strands import SAMPLES, Family, Guides, Mane, guide_surface

T = np.linspace(0, 1, SAMPLES, dtype=np.float32)  # along a strand, root to tip
GATHER = (T**2.2)[:, None]  # how far a strand has moved towards the middle of its lock
ROOT = np.exp(-T / 0.03)  # what happens only at the parting


@dataclass(frozen=True)
class Style:
    """How one fall of hair behaves."""

    locks: int
    per_lock: int
    wave: float  # picture units to either side
    turns: float  # waves along the length
    gain: float  # overall light
    phase: float = 0.0  # where in a wave the fall begins, in turns
    ragged: float = 0.05  # how much shorter the shortest lock is, as a share of the length


@dataclass(frozen=True)
class Lock:
    """One bundle of strands; ``centre`` is its place in the family, 0..1."""

    centre: float
    phase: float
    tone: float
    spread: float
    length: float
    gloss_at: float
    gloss: float

    @staticmethod
    def in_style(centre: float, style: Style, rng: np.random.Generator) -> Lock:
        return Lock(
            centre,
            phase=style.phase + 1.1 * centre + rng.uniform(-0.08, 0.08),
            tone=rng.normal(0, 0.032),
            spread=1.1 / style.locks * rng.uniform(1.0, 1.7),
            length=1 - style.ragged * rng.uniform(0, 1),
            gloss_at=0.20 + 0.03 * np.sin(centre * 6) + rng.normal(0, 0.016),
            gloss=rng.uniform(0.6, 1.1),
        )


def swing_of(lock: Lock, offset: float, style: Style) -> Array:
    return np.asarray(2 * np.pi * (style.turns * T + lock.phase + 0.03 * offset), np.float32)


def strand_path(family: Family, lock: Lock, offset: float, style: Style, rng: np.random.Generator) -> Array:
    """``offset`` says where in the lock the strand lies: 0 its middle, about 1 its edge."""
    u0, u1 = lock.centre + offset * lock.spread, lock.centre + offset * lock.spread * 0.5
    path = np.asarray(family(u0) * (1 - GATHER) + family(u1) * GATHER, np.float32)
    amount = style.wave * np.clip((T - 0.22) / 0.5, 0, 1) ** 1.2 * (1 - 0.5 * lock.centre)
    sideways = amount * np.sin(swing_of(lock, offset, style)) + rng.normal(0, 2.0) * T
    path += normals_of(path) * sideways[:, None].astype(np.float32)
    path[:, 0] += rng.normal(0, 3.4) * ROOT  # roots are not sown along a line
    return path


def strand_light(lock: Lock, offset: float, style: Style, rng: np.random.Generator) -> Array:
    """Round locks, a broken band of gloss over the crown, smaller ones where a wave turns to the lamp."""
    roundness = 1 - 0.8 * offset**2
    gloss_at = lock.gloss_at + rng.normal(0, 0.028)
    gloss = lock.gloss * np.exp(-(((T - gloss_at) / rng.uniform(0.06, 0.12)) ** 2))
    bend = np.cos(swing_of(lock, offset, style) + 0.6 + rng.normal(0, 0.4))
    bends = np.clip(bend, 0, 1) ** 2 * np.clip((T - 0.28) / 0.3, 0, 1)
    light = 0.29 + lock.tone + 0.05 * roundness + (0.44 * gloss + 0.26 * bends) * (0.45 + 0.55 * roundness)
    rim = 0.12 * max(0.0, lock.centre + offset * lock.spread - 0.85) / 0.15
    return np.asarray((light + rim) * style.gain + rng.normal(0, 0.055) - 0.06 * ROOT - 0.07 * T, np.float32)


def draw_fall(mane: Mane, guides: Guides, style: Style, rng: np.random.Generator) -> None:
    """Hang locks between the guides, the last guide's first, so that the first guide's lie on top."""
    family = guide_surface(guides)
    for centre in ((np.arange(style.locks) + 0.5) / style.locks)[::-1]:
        lock = Lock.in_style(float(centre), style, rng)
        for _ in range(style.per_lock):
            offset = float(np.clip(rng.normal(0, 0.55), -1.2, 1.2))
            path = strand_path(family, lock, offset, style, rng)
            light = strand_light(lock, offset, style, rng)
            end = int(SAMPLES * lock.length) - int(rng.integers(0, 11))
            width = 3 if rng.uniform() < 0.35 else 2
            mane.strand(path[:end], light[:end], width, int(rng.integers(0, 2)))


def draw_flyaways(mane: Mane, guides: Guides, count: int, rng: np.random.Generator) -> None:
    """Loose hairs that leave the outline and come back, or do not; without them it looks cut with scissors."""
    family = guide_surface(guides)
    for _ in range(count):
        inner = family(float(rng.uniform(0.92, 1.0)))
        start, long = int(rng.integers(4, 74)), int(rng.integers(14, 34))
        along = np.clip((np.arange(SAMPLES) - start) / long, 0, 1)
        away = rng.uniform(3, 13) * np.sin(np.pi * along * rng.uniform(0.5, 1.0)) ** 1.5
        out = normals_of(inner)
        out *= np.where((inner[:, :1] > CX) == (out[:, :1] > 0), 1, -1).astype(np.float32)
        path = np.asarray(inner + out * away[:, None], np.float32)[start : start + long]
        light = np.full(len(path), rng.uniform(0.36, 0.6), np.float32)
        mane.strand(path, light, 1)


def draw_loose(mane: Mane, guide: Guides, count: int, rng: np.random.Generator) -> None:
    """A thin lock that has come away: a few strands that start together, drift apart and end at different places."""
    family = guide_surface(guide)
    for _ in range(count):
        u = float(np.clip(rng.normal(0.5, 0.22), 0, 1))
        path = family(u) + normals_of(family(u)) * (rng.normal(0, 2.6) * T**1.5)[:, None]
        light = 0.42 + rng.normal(0, 0.07) + 0.22 * np.exp(-(((T - 0.35) / 0.14) ** 2)) - 0.05 * T
        end = SAMPLES - int(rng.integers(0, 34))
        mane.strand(np.asarray(path[:end], np.float32), light.astype(np.float32)[:end], 1 + int(rng.uniform() < 0.4))
