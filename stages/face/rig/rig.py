"""The rig: everything about a portrait that is the same in every frame, worked out once and kept by content."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.errors import ResultError
from daemon.system.fs import artifact, make_folder, remove_other_permissions
from stages.face import mesh
from stages.face.landmarker import landmarker
from stages.face.mesh import FloatArray
from stages.face.rig.colours import Tones
from stages.face.rig.creases import Crease, creases_of
from stages.face.rig.expressions import Expressions
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.grid import Cells
from stages.face.rig.head import Head
from stages.face.rig.lids import Lid, paint_lid
from stages.face.rig.lipline import lip_curves
from stages.face.rig.matte import Matte, split
from stages.face.rig.mouth_interior import Oral, paint_oral
from stages.face.sampling import blur

#: Raise it whenever what is built here changes: rigs in the cache are then built anew.
VERSION = 6
#: Fields are kept at up to a quarter of the portrait's resolution, finer for small faces.
_FINEST, _COARSEST, _CELLS_PER_FACE = 2, 4, 80
#: What the head's fields cover, in face widths to each side and face heights above and below the chin; nothing moves
#: farther out. Faces are a small part of some pictures.
_ASIDE, _ABOVE, _BELOW = 2.3, 2.1, 2.2
#: The same for the expressions.
_FACE_ASIDE, _FACE_ABOVE, _FACE_BELOW = 0.95, 1.3, 0.7


@dataclass(frozen=True)
class Rig:
    """A portrait ready to move.

    Attributes:
        step: px per grid cell, see `Cells`.
        face_names, face_cells: the expressions' parameters, and the block their fields cover.
        lower, upper: displacement of either layer at full strength, px, float32 [expressions, rows, columns, 2].
        head_names, head_cells, head: the same for the head's fields, which both layers share. Covers `face_cells` too.
        curve_upper, curve_lower: the lips' edges, px, [n, 2].
        frame, tones, oral, matte, crease, lids: see there; lids is empty where the eyes are closed in the picture, matte where
            the picture cannot be split into person and background.
    """

    step: int
    face_names: tuple[str, ...]
    face_cells: Cells
    lower: FloatArray
    upper: FloatArray
    head_names: tuple[str, ...]
    head_cells: Cells
    head: FloatArray
    curve_upper: FloatArray
    curve_lower: FloatArray
    frame: FaceFrame
    tones: Tones
    oral: Oral
    matte: Matte
    crease: Crease
    lids: tuple[Lid, ...]


def build_rig(portrait: npt.NDArray[np.uint8], landmarks: FloatArray) -> Rig:
    """Build the rig of an RGB portrait; takes some tenths of a second."""
    size = portrait.shape[1], portrait.shape[0]
    frame = FaceFrame.of(landmarks)
    step = int(np.clip(frame.face_width // _CELLS_PER_FACE, _FINEST, _COARSEST))
    curves = lip_curves(portrait, landmarks, frame)
    tones = Tones.of(portrait, landmarks)
    face_cells = _block(frame, step, size, _FACE_ASIDE, _FACE_ABOVE, _FACE_BELOW)
    head_cells = _block(frame, step, size, _ASIDE, _ABOVE, _BELOW).union(face_cells)
    expressions = Expressions(frame, landmarks, curves, face_cells.points(step)).all()
    matte = split(portrait, landmarks, landmarker().person(portrait))
    head = Head(frame, landmarks, size, head_cells.points(step), bool(matte)).all()
    return Rig(
        step=step,
        face_names=tuple(expressions),
        face_cells=face_cells,
        lower=_to_picture([blur(field.lower, 1.2) for field in expressions.values()], frame),
        upper=_to_picture([blur(field.upper, 1.2) for field in expressions.values()], frame),
        head_names=tuple(head),
        head_cells=head_cells,
        head=_to_picture(list(head.values()), frame),
        curve_upper=curves[0],
        curve_lower=curves[1],
        frame=frame,
        tones=tones,
        oral=paint_oral(portrait, frame, curves, tones),
        matte=matte,
        crease=creases_of(landmarks, size),
        lids=_lids(portrait, landmarks, tones),
    )


def _block(frame: FaceFrame, step: int, size: tuple[int, int], aside: float, above: float, below: float) -> Cells:
    """The block of so many face widths to each side and face heights above and below the chin."""
    x, y = aside * frame.face_width, np.array([-above, below]) * frame.face_height + frame.chin
    corners = frame.picture(np.array([[-x, y[0]], [x, y[0]], [-x, y[1]], [x, y[1]]]))
    return Cells.around(corners.min(axis=0), corners.max(axis=0), step, size)


def _to_picture(parts: list[npt.NDArray[np.float64]], frame: FaceFrame) -> FloatArray:
    """Face directions to picture directions; what is invisible becomes 0."""
    turned: FloatArray = (np.stack(parts) @ np.stack([frame.across, frame.down])).astype(np.float16).astype(np.float32)
    turned[np.abs(turned) < 0.02] = 0.0
    return turned


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
    packed = _pack(rig)
    if not all(np.isfinite(packed[name]).all() for name in _FIELDS):  # it would be kept for every later job
        raise ResultError(
            "picture-invalid", "The portrait's rig holds values that are no numbers.", "It is tried again."
        )
    make_folder(path.parent)
    remove_other_permissions(path.parent)
    with artifact(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **packed)
    return rig


_NESTED: dict[str, type[Any]] = {
    "frame": FaceFrame, "tones": Tones, "oral": Oral, "matte": Matte, "crease": Crease, "face_cells": Cells, "head_cells": Cells
}  # fmt: skip
_FIELDS = ("lower", "upper", "head")


def _pack(rig: Rig) -> dict[str, Any]:
    """Arrays by dotted name; fields as half floats (1/100 px)."""
    flat: dict[str, Any] = {name: getattr(rig, name).astype(np.float16) for name in _FIELDS}
    flat |= {
        name: np.array(getattr(rig, name))
        for name in ("step", "face_names", "head_names", "curve_upper", "curve_lower")
    }
    flat["lids"] = len(rig.lids)
    parts = [(name, getattr(rig, name)) for name in _NESTED] + [(f"lid{i}", lid) for i, lid in enumerate(rig.lids)]
    for name, part in parts:
        flat.update({f"{name}.{field.name}": np.asarray(getattr(part, field.name)) for field in fields(part)})
    return flat


def _unpack(data: Any) -> Rig:
    def part(kind: type[Any], name: str) -> Any:
        return kind(**{field.name: _plain(data[f"{name}.{field.name}"]) for field in fields(kind)})

    return Rig(
        step=int(data["step"]),
        face_names=tuple(str(name) for name in data["face_names"]),
        head_names=tuple(str(name) for name in data["head_names"]),
        curve_upper=data["curve_upper"],
        curve_lower=data["curve_lower"],
        lids=tuple(part(Lid, f"lid{i}") for i in range(int(data["lids"]))),
        **{name: data[name].astype(np.float32) for name in _FIELDS},
        **{name: part(kind, name) for name, kind in _NESTED.items()},
    )


def _plain(value: npt.NDArray[Any]) -> Any:
    """Numbers as numbers, pairs as tuples, the rest as arrays: as they were packed."""
    if value.ndim == 0:
        return value.item()
    return tuple(value.tolist()) if value.shape == (2,) and value.dtype != np.float64 else value
