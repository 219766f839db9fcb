"""How a face moves in a finished video: the head's turns and travel, the mouth's gaps and closures, gaze and blinks.

A head that turns shifts the nose against the ears, one that slides shifts all alike. So the pose is that of a rigid head, seen
from afar, whose nearly immovable points (nose, corners of the eyes, temples, forehead) fit best in every frame; its shape is the
mean of the video's own meshes. Lips, jaw, brows and lids are no part of it, and jitter of the mesh is smoothed away. The mesh
itself takes an open jaw and raised brows for a pitch of up to 2°, in real videos as in ours.
A track of the head over time is [frames]; "eye distance" is the mean distance of both eyes' middles in the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.video.measures import Faces, Series
from stages.face import mesh

#: Points that only the head moves, on both sides alike.
RIGID = (
    168,
    6,
    197,
    195,
    5,
    4,
    1,
    98,
    327,
    2,
    33,
    133,
    362,
    263,
    127,
    356,
    234,
    454,
    162,
    389,
    10,
    151,
    67,
    297,
    109,
    338,
)
#: Standard deviation of the Gaussian that smooths tracks of the head, s.
SMOOTH_S = 0.06
#: Lids further closed than this are a blink, in parts of their median; the iris is then not measured.
BLINKING = 0.75
#: A sound's lips close from the widest gap in the time before it; a gap below this was not open (of the mouth's width).
BEFORE_S, OPEN = 0.24, 0.1
_CLOSED = frozenset("pbm")

#: From and to, as in real talking videos; where FLOAT, a published neural method, lies below, from its value. The mouth's gaps,
#: the time of a closure and the jaw's speed are goals of our own. Degrees; mouth widths (gap), eye distances (travel, speed,
#: nose_chin, jaw_speed), eye widths (gaze), parts of the median lid (blink).
RANGES: dict[str, tuple[float, float]] = {
    "yaw_std": (1.3, 9.6),
    "yaw_range": (8.5, 43.0),
    "pitch_std": (3.2, 6.8),
    "pitch_range": (17.0, 27.0),
    "sideways_std": (0.041, 0.077),
    "vertical_std": (0.051, 0.081),
    "speed": (0.34, 0.48),
    "gap_p95": (0.30, 0.46),
    "gap_max": (0.45, 0.65),
    "nose_chin": (0.20, 0.27),
    "closing_ms": (60.0, 100.0),
    "jaw_speed": (0.0, 2.5),
    "gaze_std": (0.015, 0.094),
    "blink": (0.0, 0.24),
}
#: The figures that make up the head's score.
HEAD = ("yaw_std", "yaw_range", "pitch_std", "pitch_range", "sideways_std", "vertical_std", "speed")


@dataclass(frozen=True)
class HeadTrack:
    """The head over time, [frames] each: yaw, pitch and roll in degrees (> 0: to the picture's right, down, clockwise), x and y
    in eye distances.
    """

    yaw: Series
    pitch: Series
    roll: Series
    x: Series
    y: Series
    fps: float


def score(name: str, value: float) -> float:
    """1 within the range, less the further outside: the ratio of value and bound."""
    low, high = RANGES[name]
    if value < low:
        return value / low
    return 1.0 if value <= high else high / value


def head_score(figures: dict[str, float]) -> float:
    """Mean score of the head's figures: a head that slides without turning gets the points of turning in no way."""
    return float(np.mean([score(name, figures[name]) for name in HEAD]))


def movement(faces: Faces, phones: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return all figures of `RANGES`, and the head's score; nan where the video shows none (no P, B, M from open lips)."""
    found = {**head_figures(head_track(faces)), **mouth_figures(faces, phones), **eye_figures(faces)}
    return {**found, "head": head_score(found)}


def head_track(faces: Faces) -> HeadTrack:
    """Fit the rigid head to every frame."""
    points = faces.full[:, RIGID].astype(np.float64)
    distance = eye_distance(faces)
    shape = _mean_shape(points)
    centred = points[..., :2] - points[..., :2].mean(axis=1, keepdims=True)
    # Scaled orthographic: two rows for each frame, brought to the nearest scaled rotation.
    affine = np.einsum("pk,fpd->fdk", np.linalg.pinv(shape).T, centred)
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    rotation = u @ v
    depth = np.cross(rotation[:, 0], rotation[:, 1])
    yaw = np.degrees(np.arctan2(-depth[:, 0], depth[:, 2]))
    pitch = np.degrees(np.arcsin(np.clip(depth[:, 1], -1, 1)))
    roll = np.degrees(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]))
    place = points[..., :2].mean(axis=1) / distance
    turns = [smooth(track, faces.fps) for track in (-yaw, pitch, roll)]
    x, y = (smooth(place[:, axis], faces.fps) for axis in (0, 1))
    return HeadTrack(turns[0], turns[1], turns[2], x, y, faces.fps)


def _mean_shape(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean of meshes, [frames, points, 3], each turned, scaled and shifted onto the first: [points, 3], centred."""
    centred = points - points.mean(axis=1, keepdims=True)
    first = centred[0]
    u, sizes, v = np.linalg.svd(np.einsum("fpi,pj->fij", centred, first))
    sign = np.sign(np.linalg.det(u @ v))
    u[:, :, -1] *= sign[:, None]
    sizes[:, -1] *= sign
    scale = sizes.sum(axis=1) / (centred**2).sum(axis=(1, 2))
    return np.asarray((scale[:, None, None] * (centred @ (u @ v))).mean(axis=0))


def head_figures(track: HeadTrack) -> dict[str, float]:
    """Return how far the head turns (degrees), travels (eye distances) and how fast (eye distances a second)."""
    steps = np.hypot(np.diff(track.x), np.diff(track.y))
    return {
        "yaw_std": float(track.yaw.std()),
        "yaw_range": float(np.ptp(track.yaw)),
        "pitch_std": float(track.pitch.std()),
        "pitch_range": float(np.ptp(track.pitch)),
        "sideways_std": float(track.x.std()),
        "vertical_std": float(track.y.std()),
        "speed": float(steps.mean() * track.fps),
    }


def mouth_figures(faces: Faces, phones: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return how wide the mouth opens (mouth widths), how far the jaw moves (eye distances), and how fast lips and jaw do."""
    gaps = np.array([mesh.lip_gap(points) for points in faces.full])
    low = np.linalg.norm(faces.full[:, mesh.NOSE_BASE, :2] - faces.full[:, mesh.CHIN, :2], axis=1) / eye_distance(faces)
    return {
        "gap_p95": float(np.percentile(gaps, 95)),
        "gap_max": float(gaps.max()),
        "nose_chin": float(np.ptp(np.percentile(low, [2, 98]))),
        "closing_ms": closing_ms(gaps, faces.fps, phones),
        "jaw_speed": float(np.abs(np.diff(low)).max() * faces.fps),
    }


def closing_ms(gaps: Series, fps: float, phones: Sequence[dict[str, Any]]) -> float:
    """Median time in which lips that were open go through the middle 80 % of their way to P, B or M, brought to the whole way.

    Between frames the gap goes straight; so a lip that shuts from one frame to the next takes exactly the time of a frame.
    """
    found = []
    for phone in phones:
        if phone["phone"] not in _CLOSED:
            continue
        first, last = round((phone["start"] - BEFORE_S) * fps), round(phone["end"] * fps) + 1
        if first < 0 or last >= len(gaps):
            continue
        shut = first + int(gaps[first : last + 1].argmin())
        start = first + int(gaps[first : shut + 1].argmax())
        open_gap, closed_gap = gaps[start], gaps[shut]
        if open_gap < OPEN or shut == start:
            continue
        way = (open_gap - gaps[start : shut + 1]) / (open_gap - closed_gap)
        fine = np.linspace(0, len(way) - 1, 50 * (len(way) - 1) + 1)
        course = np.interp(fine, np.arange(len(way)), way)
        left, reached = fine[np.flatnonzero(course <= 0.1)[-1]], fine[np.flatnonzero(course >= 0.9)[0]]
        found.append(max(float(reached - left), 0.0) / 0.8 / fps * 1000)
    return float(np.median(found)) if found else float("nan")


def eye_figures(faces: Faces) -> dict[str, float]:
    """Return how much the irises move (eye widths, blinks left out), and the least opening of the lids (of its median)."""
    lids = np.array([np.mean(mesh.lid_openness(points)) for points in faces.full])
    lids /= np.median(lids)
    gaze = gaze_track(faces.full)[lids > BLINKING]
    return {"gaze_std": float(gaze.std()), "blink": float(lids.min())}


def gaze_track(points: npt.NDArray[np.float32]) -> Series:
    """Return how far the irises stand to the right of the middle between the eye's corners, in parts of its width, [frames]."""
    sides = []
    for (upper, _, _), iris in zip(mesh.EYES, (468, 473), strict=True):
        left, right = points[:, upper[0], :2], points[:, upper[-1], :2]
        across = right - left
        away = points[:, iris, :2] - (left + right) / 2
        sides.append((away * across).sum(axis=-1) / (across**2).sum(axis=-1))
    return np.asarray(np.mean(sides, axis=0), np.float64)


def eye_distance(faces: Faces) -> float:
    """Mean distance of the middles of both eyes, px."""
    middles = [faces.full[:, [upper[0], upper[-1]], :2].mean(axis=1) for upper, _, _ in mesh.EYES]
    return float(np.linalg.norm(middles[1] - middles[0], axis=1).mean())


def smooth(track: Series, fps: float) -> Series:
    """Take out the mesh's jitter: a Gaussian over time, with the ends held."""
    reach = max(1, round(3 * SMOOTH_S * fps))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (SMOOTH_S * fps)) ** 2)
    return np.convolve(np.pad(track, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
