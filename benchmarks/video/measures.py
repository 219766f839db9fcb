"""What a finished talking-head video is measured by, from its own frames and the times of what is said in it.

Lip, brow, silent-lip, sync and head figures are those of THEval (arXiv 2511.04520), computed anew from its definitions; its
values for real videos are in `REAL`, and a score is 1 - |figure - real| / real. Two stand-ins: speech and silence come from the
known times of the words and not from a voice detector, and the head's pose from the mesh and not from a network of its own.
Lips and head are counted in pixels there, of videos that show a head; so here they are measured on a head's crop of `CROP` face
widths, brought to `SMALL` for the lips and to `HEAD` for the head, and in a picture that shows less than that, on a face of the
same size: else a performance would score by how large the figure stands in its picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.encode.formats.mp4_probe import probe_mp4
from stages.face import mesh
from stages.face.pose import pose_of

FloatArray = npt.NDArray[np.float32]
Series = npt.NDArray[np.float64]

#: Mean over real videos (THEval's examples/gt_metrics.csv).
REAL = {"lip_dynamics": 1.7166, "head_motion": 18.4676, "brow": 0.006777, "silent_lip": 0.0263, "sync": 0.2528}
#: Side that frames are brought to for lips, px.
SMALL = 256
#: Side of a head's crop in widths of the face, as in portrait collections; what it is brought to for head motion, px.
CROP, HEAD = 2.2, 720
#: A pause shorter than this is no silence, s.
SILENCE_S = 0.3
#: Window of the loudness that the mouth's opening is compared with, s.
WINDOW_S = 0.05
#: Shifts at which the lag is looked for, in frames.
LAGS = range(-8, 9)

#: The mesh's points of the inner lips but for the corners, from left to right, one above the other.
UPPER_INNER = (191, 80, 81, 82, 13, 312, 311, 310)
LOWER_INNER = (95, 88, 178, 87, 14, 317, 402, 318)
_LIPS = tuple(sorted({*mesh.UPPER_LIP_OUTER, *mesh.LOWER_LIP_OUTER, *mesh.UPPER_LIP_INNER, *mesh.LOWER_LIP_INNER}))
_BROWS = ((46, 52, 53, 55, 63, 65, 66, 70, 105, 107), (276, 282, 283, 285, 293, 295, 296, 300, 334, 336))
_LIDS = tuple(tuple(sorted({*upper, *lower})) for upper, lower, _ in mesh.EYES)
_OPEN = frozenset("ɑæOAIWʌ")
CLOSED = frozenset("pbm")


@dataclass(frozen=True)
class Faces:
    """A video's faces: landmarks of every frame, [frames, 478, 3] px, of the frames as they are, and of a head's crop (always the
    same one) at the size of the face at which `side` px of the frame, `CROP` face widths, are `SMALL` px.
    """

    full: FloatArray
    small: FloatArray
    side: float
    fps: float


def faces_of(video: Path) -> Faces:
    """Follow the face through a video with mediapipe's mesh.

    Raises:
        ValueError: a frame shows no face.
    """
    stream = probe_mp4(video).stream("video")
    assert stream is not None
    return follow(frames_of(video), stream.samples / float(stream.duration))


def frames_of(video: Path) -> Iterator[npt.NDArray[Any]]:
    """Yield the frames of a video, BGR."""
    capture = cv2.VideoCapture(str(video))
    while True:
        more, frame = capture.read()
        if not more:
            break
        yield frame
    capture.release()


def follow(frames: Iterable[npt.NDArray[Any]], fps: float) -> Faces:
    """The same for frames in BGR.

    Raises:
        ValueError: a frame shows no face.
    """
    import mediapipe

    solutions: Any = mediapipe.solutions
    whole, cropped = (solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True) for _ in range(2))
    full: list[FloatArray] = []
    small: list[FloatArray] = []
    crop, side, size = (slice(0), slice(0)), 0.0, SMALL
    for frame in frames:
        full.append(_landmarks(whole, frame))
        if len(full) == 1:
            side = CROP * float(np.ptp(full[0][mesh.OVAL, 0]))
            crop = _crop(full[0], side, frame.shape[1], frame.shape[0])
            size = round(SMALL * (crop[0].stop - crop[0].start) / side)
        small.append(_landmarks(cropped, cv2.resize(frame[crop], (size, size), interpolation=cv2.INTER_AREA)))
    return Faces(np.stack(full), np.stack(small), side, fps)


def _landmarks(face_mesh: Any, frame: npt.NDArray[Any]) -> FloatArray:
    faces = face_mesh.process(np.ascontiguousarray(frame[..., ::-1])).multi_face_landmarks
    if not faces:
        raise ValueError("a frame shows no face")
    height, width = frame.shape[:2]
    points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float32)
    return points * np.array([width, height, width], np.float32)


def _crop(points: FloatArray, wanted: float, width: int, height: int) -> tuple[slice, slice]:
    """Return a square around the face of the wanted side, px, or as large as fits."""
    oval = points[mesh.OVAL, :2]
    side = int(min(wanted, width, height))
    middle = (oval.min(axis=0) + oval.max(axis=0)) / 2
    left, top = (int(np.clip(at - side / 2, 0, most - side)) for at, most in zip(middle, (width, height), strict=True))
    return slice(top, top + side), slice(left, left + side)


def score(name: str, value: float) -> float:
    """1 for the value of real videos, less the further from it."""
    return 1.0 - abs(value - REAL[name]) / REAL[name]


def lip_dynamics(faces: Faces) -> float:
    """Mean over all pairs of lip points of how much their distance varies, px at `SMALL`."""
    points = faces.small[:, _LIPS, :2]
    pairs = np.array(list(combinations(range(len(_LIPS)), 2)))
    distances = np.linalg.norm(points[:, pairs[:, 0]] - points[:, pairs[:, 1]], axis=-1)
    return float(distances.std(axis=0).mean())


def head_motion(faces: Faces) -> float:
    """Return how far and how unevenly the head turns (degrees), and how far the face travels (px of a head's crop of `HEAD`)."""
    poses = np.array([pose_of(points) for points in faces.full])
    spread = poses.std(axis=0).mean()
    unevenness = np.diff(poses, axis=0).var(axis=0).mean()
    oval = faces.full[:, mesh.OVAL, :2]
    middle = (oval.min(axis=1) + oval.max(axis=1)) / 2 * (HEAD / faces.side)
    return float(np.sqrt(spread * unevenness + middle.var(axis=0).mean()))


def brow(faces: Faces) -> float:
    """Mean change from frame to frame of the distance between brow and eye, in parts of the distance of the eyes."""
    eyes = [faces.full[:, points, :2].mean(axis=1) for points in _LIDS]
    scale = np.linalg.norm(eyes[0] - eyes[1], axis=1)
    changes = [
        np.abs(np.diff(np.linalg.norm(faces.full[:, points, :2].mean(axis=1) - eye, axis=1) / scale))
        for points, eye in zip(_BROWS, eyes, strict=True)
    ]
    return float(np.mean(changes))


def opening(points: FloatArray) -> Series:
    """Mean height of the gap between the inner lips in every frame, in parts of the distance of the outer eye corners."""
    heights = np.abs(points[:, UPPER_INNER, 1] - points[:, LOWER_INNER, 1]).mean(axis=1)
    return np.asarray(heights / outer_eyes(points), np.float64)


def outer_eyes(points: FloatArray) -> FloatArray:
    """Return the distance of the outer eye corners in every frame, px."""
    return np.asarray(np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=1))


def unrest(gap: Series) -> float:
    """Median distance of the opening from its mean: over the frames of `silence`, THEval's figure of silent lips."""
    return float(np.median(np.abs(gap - gap.mean())))


def silence(words: list[dict[str, Any]], frames: int, fps: float) -> npt.NDArray[np.bool_]:
    """Return which frames lie in pauses of `SILENCE_S` and more."""
    silent = ~_spoken(words, frames, fps)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        if end - start < SILENCE_S * fps:
            silent[start:end] = False
    return silent


def _spoken(words: list[dict[str, Any]], frames: int, fps: float) -> npt.NDArray[np.bool_]:
    spoken = np.zeros(frames, bool)
    for word in words:
        spoken[int(word["start"] * fps) : int(word["end"] * fps) + 1] = True
    return spoken


def sync(faces: Faces, words: list[dict[str, Any]], sound: Series, rate: int) -> float:
    """Mean distance of opening and loudness while something is said, both brought to 0…1."""
    gap = opening(faces.full)
    count = round(WINDOW_S * rate)
    windows = sound[: len(sound) // count * count].reshape(-1, count)
    level = np.interp(
        np.arange(len(gap)) / faces.fps, np.arange(len(windows)) * WINDOW_S, np.sqrt((windows**2).mean(axis=1))
    )
    spoken = _spoken(words, len(gap), faces.fps)
    return float(np.abs(_unit(gap[spoken]) - _unit(level[spoken])).mean())


def _unit(values: Series) -> Series:
    return np.asarray((values - values.min()) / max(float(values.max() - values.min()), 1e-8))


def lag(faces: Faces, phones: list[dict[str, Any]]) -> tuple[int, float]:
    """The shift of the picture (frames, > 0: late) at which open vowels are most open beside P, B and M; and by how much then.

    Loudness is a weak judge of sync, phone times are not: this one finds shifts that were put in on purpose.
    """
    gap = opening(faces.full)
    time = np.arange(len(gap)) / faces.fps
    contrast = {}
    for shift in LAGS:
        means = []
        for kind in (_OPEN, CLOSED):
            at = [(p["start"] + p["end"]) / 2 + shift / faces.fps for p in phones if p["phone"] in kind]
            means.append(float(np.interp(at, time, gap).mean()) if at else 0.0)
        contrast[shift] = means[0] - means[1]
    best = max(contrast, key=lambda shift: contrast[shift])
    return best, contrast[best]


def closures(faces: Faces, phones: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """For each P, B and M the frame with the least gap of the lips while it sounds (a frame of grace), and that gap as the mesh
    reads it, in parts of the mouth's width.
    """
    gaps = np.array([mesh.lip_gap(points) for points in faces.full])
    found = []
    for phone in phones:
        if phone["phone"] in CLOSED:
            first, last = max(int(phone["start"] * faces.fps) - 1, 0), int(np.ceil(phone["end"] * faces.fps))
            if last < len(gaps):  # the control's sound may be longer
                least = first + int(gaps[first : last + 1].argmin())
                found.append((least, float(gaps[least])))
    return found


def blinks_per_minute(faces: Faces) -> float:
    """Return how often both lids shut."""
    lids = np.array([min(mesh.lid_openness(points)) for points in faces.full])
    shut = lids < 0.5 * np.median(lids)
    return float((np.diff(shut.astype(int)) == 1).sum() / (len(lids) / faces.fps) * 60)
