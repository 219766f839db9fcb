"""The rig: everything about a portrait that is the same in every frame, worked out once and kept by content."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.fs import artifact
from stages.face import mesh
from stages.face.expressions import Expressions
from stages.face.frame import FaceFrame
from stages.face.head import Head
from stages.face.lids import Lid, paint_lid
from stages.face.lipline import lip_curves
from stages.face.mesh import FloatArray
from stages.face.oral import Oral, paint_oral
from stages.face.sampling import blur
from stages.face.tones import Tones

#: Raise it whenever what is built here changes: rigs in the cache are then built anew.
VERSION = 7
#: Fields are kept at up to a quarter of the portrait's resolution, finer for small faces.
_COARSEST, _CELLS_PER_FACE = 4, 80


@dataclass(frozen=True)
class Rig:
    """A portrait ready to move.

    Attributes:
        step: px per grid cell; cell (r, c) stands for the portrait's point step * (c, r) + (step - 1) / 2.
        names: the parameters the fields belong to.
        lower, upper: displacement at full strength, px, float32 [len(names), rows, columns, 2].
        curve_upper, curve_lower: the lips' edges, px, [n, 2].
        frame, tones, oral, lids: see there; lids is empty where the eyes are closed in the picture.
    """

    step: int
    names: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    curve_upper: FloatArray
    curve_lower: FloatArray
    frame: FaceFrame
    tones: Tones
    oral: Oral
    lids: tuple[Lid, ...]


def build_rig(portrait: npt.NDArray[np.uint8], landmarks: FloatArray) -> Rig:
    """Build the rig of an RGB portrait; takes some tenths of a second."""
    height, width = portrait.shape[:2]
    frame = FaceFrame.of(landmarks)
    step = int(np.clip(frame.face_width // _CELLS_PER_FACE, 1, _COARSEST))
    points = _grid(width, height, step)
    curves = lip_curves(portrait, landmarks, frame)
    tones = Tones.of(portrait, landmarks)
    expressions = Expressions(frame, landmarks, curves, points).all()
    head = Head(frame, landmarks, (width, height), points).all()
    lower = [field.lower for field in expressions.values()] + list(head.values())
    upper = [field.upper for field in expressions.values()] + list(head.values())
    return Rig(
        step=step,
        names=(*expressions, *head),
        lower=_to_picture(lower, frame, len(expressions)),
        upper=_to_picture(upper, frame, len(expressions)),
        curve_upper=curves[0],
        curve_lower=curves[1],
        frame=frame,
        tones=tones,
        oral=paint_oral(portrait, frame, curves, tones),
        lids=_lids(portrait, landmarks, tones),
    )


def _grid(width: int, height: int, step: int) -> npt.NDArray[np.float64]:
    columns, rows = -(-width // step), -(-height // step)
    x, y = np.meshgrid(np.arange(columns) * step + (step - 1) / 2, np.arange(rows) * step + (step - 1) / 2)
    return np.stack([x, y], axis=-1)


def _to_picture(parts: list[npt.NDArray[np.float64]], frame: FaceFrame, expressions: int) -> FloatArray:
    """Face directions to picture directions; expressions are rounded off by a cell, and what is invisible becomes 0."""
    turned = [part @ np.stack([frame.across, frame.down]) for part in parts]
    smooth = [blur(part, 1.2) if i < expressions else part for i, part in enumerate(turned)]
    fields_: FloatArray = np.stack(smooth).astype(np.float16).astype(np.float32)
    fields_[np.abs(fields_) < 0.02] = 0.0
    return fields_


def _lids(portrait: npt.NDArray[np.uint8], landmarks: FloatArray, tones: Tones) -> tuple[Lid, ...]:
    if max(mesh.lids(landmarks)) < mesh.CLOSED_EYE:
        return ()
    return tuple(paint_lid(portrait, landmarks, side, tones) for side in (0, 1))


def load_rig(cache: Path, portrait: npt.NDArray[np.uint8], landmarks: FloatArray) -> Rig:
    """The portrait's rig, from the cache or built and put there. A damaged cache file is built anew."""
    digest = hashlib.sha256(portrait.tobytes() + landmarks.tobytes() + repr(portrait.shape).encode())
    path = cache / "rigs" / f"{digest.hexdigest()[:32]}-v{VERSION}.npz"
    try:
        with np.load(path, allow_pickle=False) as data:
            return _unpack(data)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
    rig = build_rig(portrait, landmarks)
    path.parent.mkdir(parents=True, exist_ok=True)
    with artifact(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **_pack(rig))
    return rig


_NESTED: dict[str, type[Any]] = {"frame": FaceFrame, "tones": Tones, "oral": Oral}


def _pack(rig: Rig) -> dict[str, Any]:
    """Arrays by dotted name; fields as half floats (1/100 px)."""
    flat: dict[str, Any] = {
        "step": rig.step, "names": np.array(rig.names), "lower": rig.lower.astype(np.float16),
        "upper": rig.upper.astype(np.float16), "curve_upper": rig.curve_upper, "curve_lower": rig.curve_lower,
        "lids": len(rig.lids),
    }  # fmt: skip
    parts = [(name, getattr(rig, name)) for name in _NESTED] + [(f"lid{i}", lid) for i, lid in enumerate(rig.lids)]
    for name, part in parts:
        flat.update({f"{name}.{field.name}": np.asarray(getattr(part, field.name)) for field in fields(part)})
    return flat


def _unpack(data: Any) -> Rig:
    def part(kind: type[Any], name: str) -> Any:
        return kind(**{field.name: _plain(data[f"{name}.{field.name}"]) for field in fields(kind)})

    return Rig(
        step=int(data["step"]),
        names=tuple(str(name) for name in data["names"]),
        lower=data["lower"].astype(np.float32),
        upper=data["upper"].astype(np.float32),
        curve_upper=data["curve_upper"],
        curve_lower=data["curve_lower"],
        lids=tuple(part(Lid, f"lid{i}") for i in range(int(data["lids"]))),
        **{name: part(kind, name) for name, kind in _NESTED.items()},
    )


def _plain(value: npt.NDArray[Any]) -> Any:
    """Numbers as numbers, pairs as tuples, the rest as arrays: as they were packed."""
    if value.ndim == 0:
        return value.item()
    return tuple(value.tolist()) if value.shape == (2,) and value.dtype != np.float64 else value
