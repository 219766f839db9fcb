"""The rig: all data about a portrait that is the same in every frame, computed once and cached by content."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, ResultError
from daemon.system.memory import release_free_memory
from stages.face.cache import cache_file, read_arrays
from stages.face.eyes import Eyes, judge_eyes
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import FloatArray
from stages.face.rig.colours import FaceColours
from stages.face.rig.creases import Crease, find_creases
from stages.face.rig.expressions.fields import ExpressionFields
from stages.face.rig.eyes.eyeball import Eyeball, find_eyeball
from stages.face.rig.eyes.lids import Lid, paint_lid
from stages.face.rig.face_frame import FaceFrame
from stages.face.rig.glasses import find_glasses
from stages.face.rig.grid import CellBlock
from stages.face.rig.head import HeadFields
from stages.face.rig.head_bounds import Zoom, bound_fields, hide_border
from stages.face.rig.lipline import lip_curves
from stages.face.rig.matting.bystander import find_skin
from stages.face.rig.matting.extend import Inner, extend
from stages.face.rig.matting.found_person import FoundPerson
from stages.face.rig.matting.hairline import crown_above, forehead_colour
from stages.face.rig.matting.matte import Matte
from stages.face.rig.matting.split_person import find_person, split_person
from stages.face.rig.mouth_interior import MouthInterior, paint_mouth_interior
from stages.face.sampling import blur, from_half, to_half
from stages.kept_in_memory import free_kept

#: Increase it whenever the built data change: cached rigs are then rebuilt.
VERSION = 70
#: Grid step of the fields in px (finest, coarsest), and cells per face width: small faces get a finer grid.
_FINEST, _COARSEST, _CELLS_PER_FACE = 2, 4, 60
#: Area that the head's fields cover, in face widths to each side and face heights above and below the chin. Nothing moves
#: farther out, and in some pictures the face is a small part.
_ASIDE, _ABOVE, _BELOW = 2.3, 2.75, 2.3
#: The same for the expressions.
_FACE_ASIDE, _FACE_ABOVE, _FACE_BELOW = 0.95, 1.3, 0.7


@dataclass(frozen=True)
class Rig:
    """The data with which a portrait is animated.

    Attributes:
        step: px per grid cell, see `CellBlock`.
        face_names, face_cells: names of the expression parameters, and the block that their fields cover.
        lower, upper: displacement of each layer at full strength, px, float32 [expressions, rows, columns, 2].
        head_names, head_cells, head: the same for the head's fields, which both layers share; includes `face_cells`.
        zoom: how much larger the portrait is shown while the head moves.
        curve_upper, curve_lower: the lips' edges, px, [n, 2].
        frame: the face's coordinates.
        tones: colours measured from the portrait.
        oral: the painted inside of the mouth.
        matte: person and background; empty if the picture cannot be split.
        crease: the shadow of the folds beside the mouth.
        lids: what closes the eyes; empty if they are closed in the picture, or the mesh does not fit them.
        eyeballs: what turns the eyes; empty like `lids`.
    """

    step: int
    face_names: tuple[str, ...]
    face_cells: CellBlock
    lower: FloatArray
    upper: FloatArray
    head_names: tuple[str, ...]
    head_cells: CellBlock
    head: FloatArray
    zoom: Zoom
    curve_upper: FloatArray
    curve_lower: FloatArray
    frame: FaceFrame
    tones: FaceColours
    oral: MouthInterior
    matte: Matte
    crease: Crease
    lids: tuple[Lid, ...]
    eyeballs: tuple[Eyeball, ...]


def build_rig(
    portrait: npt.NDArray[np.uint8],
    landmarks: FloatArray,
    inner: Inner | None = None,
    person: FoundPerson | None = None,
    known: Matte | None = None,
) -> Rig:
    """Build the rig of an RGB portrait, uint8 [height, width, 3], with landmarks [478, 3] px. Takes tenths of a second.

    `inner` is where the picture lies in a portrait that was extended, and `known` its matte, where that was made to extend it.
    `person` is the person as found in the whole picture; None where only the portrait is there to find the person in.
    """
    free_kept()
    size = portrait.shape[1], portrait.shape[0]
    # The matte takes as long as all the rest: where two cores are free, both are made at the same time.
    with ThreadPoolExecutor(1) as other:
        if known is None:
            if person is None:
                person = person_in(*_picture(portrait, landmarks, inner))
            promised = other.submit(_split, portrait, landmarks, person, inner)
        frame = FaceFrame.of(landmarks)
        step = int(np.clip(frame.face_width // _CELLS_PER_FACE, _FINEST, _COARSEST))
        curves = lip_curves(portrait, landmarks, frame)
        tones = FaceColours.of(portrait, landmarks)
        face_cells = _block(frame, step, size, _FACE_ASIDE, _FACE_ABOVE, _FACE_BELOW)
        head_cells = _block(frame, step, size, _ASIDE, _ABOVE, _BELOW).union(face_cells)
        rim = find_glasses(portrait, landmarks, frame)
        below = size[1] - float(frame.picture(np.array([0.0, frame.chin]))[1])
        oral = paint_mouth_interior(portrait, frame, landmarks, curves, tones)
        points = face_cells.points(step)
        expressions = ExpressionFields(frame, landmarks, curves, points, rim, below, oral.hair_beside).all()
        lower = _to_picture([blur(field.lower, 1.2) for field in expressions.values()], frame)
        upper = _to_picture([blur(field.upper, 1.2) for field in expressions.values()], frame)
        crease = find_creases(landmarks, size)
        eyes = (0, 1) if judge_eyes(portrait, landmarks) is Eyes.OPEN else ()
        lids = tuple(paint_lid(portrait, landmarks, side, tones) for side in eyes)
        eyeballs = tuple(find_eyeball(portrait, landmarks, side) for side in eyes)
        matte = promised.result() if known is None else known
    release_free_memory()  # the matte frees about 70 MB, which would count beside what the head needs
    head_names, head, zoom = build_head(frame, landmarks, size, head_cells, step, matte, rim is not None)
    return Rig(
        step=step,
        face_names=tuple(expressions),
        face_cells=face_cells,
        lower=lower,
        upper=upper,
        head_names=head_names,
        head_cells=head_cells,
        head=head,
        zoom=zoom,
        curve_upper=curves[0],
        curve_lower=curves[1],
        frame=frame,
        tones=tones,
        oral=oral,
        matte=matte,
        crease=crease,
        lids=lids,
        eyeballs=eyeballs,
    )


def person_in(picture: npt.NDArray[np.uint8], landmarks: FloatArray) -> FoundPerson:
    """Find the person in an RGB picture with landmarks [478, 3] px."""
    return find_person(picture, landmarks, shared_landmarker().person_mask(picture))


def _picture(
    portrait: npt.NDArray[np.uint8], landmarks: FloatArray, inner: Inner | None
) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """The portrait without what was added, and the landmarks in it."""
    if inner is None:
        return portrait, landmarks
    return inner.cut(portrait), landmarks - np.array([inner.left, inner.top, 0], np.float32)


def _split(portrait: npt.NDArray[np.uint8], landmarks: FloatArray, person: FoundPerson, inner: Inner | None) -> Matte:
    """Split the picture; in a portrait that was extended, the matte and the background go on as they did there."""
    picture, within = _picture(portrait, landmarks, inner)
    split = split_person(picture, within, person)
    if inner is None:
        return split
    margins, skin = inner.margins((portrait.shape[1], portrait.shape[0])), forehead_colour(picture, within)
    bare, others = find_skin(picture, within, skin)
    return extend(picture, split, margins, skin, others, crown_above(within), bare)[1]


def build_head(
    frame: FaceFrame,
    landmarks: FloatArray,
    size: tuple[int, int],
    cells: CellBlock,
    step: int,
    matte: Matte,
    glasses: bool = False,
) -> tuple[tuple[str, ...], FloatArray, Zoom]:
    """Build the head's fields, bounded for this portrait, with their names and the zoom that hides the figure's border.

    Args:
        frame, landmarks: the face, px.
        size: the picture's width and height, px.
        cells: the block that the fields cover.
        step: px per cell.
        matte: the person; empty if the picture cannot be split.
        glasses: whether glasses may be worn.

    Returns:
        The names, [k]; displacements for 1 degree or 1 face width, px, float32 [k, rows, columns, 2]; the zoom.
    """
    points = cells.points(step)
    made = HeadFields(frame, landmarks, size, points, bool(matte), glasses).all()
    names, fields = tuple(made), _to_picture(list(made.values()), frame)
    if not matte:
        return names, bound_fields(names, fields, np.ones(cells.shape, bool), step), Zoom()
    x, y = (
        np.minimum(np.round(line), end - 1).astype(int)
        for line, end in ((points[0, :, 0], size[0]), (points[:, 0, 1], size[1]))
    )
    figure = matte.alpha[np.ix_(y, x)] > 127
    fields = bound_fields(names, fields, figure, step)
    middle = float(frame.origin[0]), float(frame.origin[1])
    return names, *hide_border(names, fields, figure, cells, step, size, middle)


def _block(frame: FaceFrame, step: int, size: tuple[int, int], aside: float, above: float, below: float) -> CellBlock:
    """The block that covers so many face widths to each side and face heights above and below the chin."""
    x, y = aside * frame.face_width, np.array([-above, below]) * frame.face_height + frame.chin
    corners = frame.picture(np.array([[-x, y[0]], [x, y[0]], [-x, y[1]], [x, y[1]]]))
    return CellBlock.around(corners.min(axis=0), corners.max(axis=0), step, size)


def _to_picture(parts: list[npt.NDArray[np.float64]], frame: FaceFrame) -> FloatArray:
    """Turn displacements from face directions to picture directions; invisibly small ones become 0."""
    axes = np.stack([frame.across, frame.down], axis=1)
    # Both in OpenCV: numpy takes ten times as long to round to half precision, and to multiply by so small a matrix.
    turned = np.stack([cv2.transform(part.astype(np.float32), axes) for part in parts])
    turned = from_half(to_half(np.asarray(turned, np.float32)))
    turned[np.abs(turned) < 0.02] = 0.0
    return turned


def rig_path(
    cache: Path,
    portrait: npt.NDArray[np.uint8],
    landmarks: FloatArray,
    inner: Inner | None = None,
    person: FoundPerson | None = None,
) -> Path:
    """Return the path of a portrait's rig in the cache folder; arguments as of `load_rig`."""
    digest = hashlib.sha256(portrait.tobytes() + landmarks.tobytes() + repr((portrait.shape, inner)).encode())
    if person is not None:
        digest.update(person.content())
    return cache / "rigs" / f"{digest.hexdigest()[:32]}-v{VERSION}.npz"


def load_rig(
    cache: Path,
    portrait: npt.NDArray[np.uint8],
    landmarks: FloatArray,
    inner: Inner | None = None,
    person: FoundPerson | None = None,
    known: Matte | None = None,
) -> Rig:
    """Load the portrait's rig from the cache, or build it and save it there. A cache file that is damaged, or holds the rig of
    another portrait, is replaced.

    Args:
        cache: the cache folder.
        portrait: RGB uint8 [height, width, 3].
        landmarks: [478, 3] px.
        inner: where the picture lies in a portrait that was extended.
        person: what was found of the person in the whole picture; None where only the portrait is known.
        known: the portrait's matte, if it was made before.

    Raises:
        ResultError: `picture-invalid`: a computed field is not finite.
    """
    path = rig_path(cache, portrait, landmarks, inner, person)
    try:
        data = read_arrays(path)
        if str(data["of"]) == path.stem:
            return _unpack(data)
    except FileNotFoundError:
        pass
    except OSError:
        raise
    except (
        Exception
    ):  # a damaged archive makes zipfile and numpy raise nearly anything, NotImplementedError and TokenError too
        path.unlink(missing_ok=True)
    rig = build_rig(portrait, landmarks, inner, person, known)
    packed = {"of": np.array(path.stem), **_pack(rig)}
    if not all(np.isfinite(packed[name]).all() for name in _FIELDS):  # the cache would serve it to every later job
        raise ResultError("picture-invalid", "The portrait's rig contains values that are not finite.", TRIED_AGAIN)
    with cache_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **packed)
    return _unpack(packed)  # as every later job gets it: fields in half precision


def load_measured_rig(cache: Path, portrait: npt.NDArray[np.uint8], record: dict[str, Any]) -> Rig:
    """Load or build the rig of an RGB portrait, as `load_rig` does, by the content of its `face.json`."""
    landmarks = np.array(record["landmarks"], np.float32)
    return load_rig(cache, portrait, landmarks, Inner.of_record(record), FoundPerson.of_record(record))


_NESTED: dict[str, type[Any]] = {
    "frame": FaceFrame, "tones": FaceColours, "oral": MouthInterior, "matte": Matte, "crease": Crease,
    "face_cells": CellBlock, "head_cells": CellBlock, "zoom": Zoom,
}  # fmt: skip
_FIELDS = ("lower", "upper", "head")


def _pack(rig: Rig) -> dict[str, Any]:
    """The rig as arrays by dotted name; displacement fields are stored as half floats (1/100 px)."""
    flat: dict[str, Any] = {name: to_half(getattr(rig, name)) for name in _FIELDS}
    flat |= {
        name: np.array(getattr(rig, name))
        for name in ("step", "face_names", "head_names", "curve_upper", "curve_lower")
    }
    flat["lids"] = np.array(len(rig.lids))
    parts = [(name, getattr(rig, name)) for name in _NESTED] + [(f"lid{i}", lid) for i, lid in enumerate(rig.lids)]
    parts += [(f"eyeball{i}", eyeball) for i, eyeball in enumerate(rig.eyeballs)]
    for name, part in parts:
        flat.update({f"{name}.{field.name}": np.asarray(getattr(part, field.name)) for field in fields(part)})
    return flat


def _unpack(data: dict[str, npt.NDArray[Any]]) -> Rig:
    def part(kind: type[Any], name: str) -> Any:
        return kind(**{field.name: _plain(data[f"{name}.{field.name}"]) for field in fields(kind)})

    moved: dict[str, Any] = {name: from_half(data[name]) for name in _FIELDS}
    return Rig(
        step=int(data["step"]),
        face_names=tuple(str(name) for name in data["face_names"]),
        head_names=tuple(str(name) for name in data["head_names"]),
        curve_upper=data["curve_upper"],
        curve_lower=data["curve_lower"],
        lids=tuple(part(Lid, f"lid{i}") for i in range(int(data["lids"]))),
        eyeballs=tuple(part(Eyeball, f"eyeball{i}") for i in range(int(data["lids"]))),
        **moved,
        **{name: part(kind, name) for name, kind in _NESTED.items()},
    )


def _plain(value: npt.NDArray[Any]) -> Any:
    """Convert a loaded array to the type that was packed: a number, a pair as a tuple, or an array."""
    if value.ndim == 0:
        return value.item()
    return tuple(value.tolist()) if value.shape == (2,) and value.dtype != np.float64 else value
