"""The planes of a figure on a device: changed, and painted mouths pasted, as `FigurePlanes` and `PaintedMouths` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.encode.compose import Composer
from stages.encode.device import pixels
from stages.encode.figure_planes import NO_CHROMA, NOTHING, Box, Place, together
from stages.lipsync.painted_mouth import PaintedMouths
from stages.musetalk.blend import SIDE

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SentChanges:
    """The changes of a frame in memory that the device reads; see `FigureChanges`.

    Attributes:
        painted: boxes of the figure, and what is painted there.
        boxes: those to make anew in the planes.
        folds: how deep the folds beside the mouth are.
        patch: the rows of the painted mouth that are stored, uint8 [rows, 256, 3]; None for none.
        strength: its opacity.
    """

    painted: Sequence[tuple[Box, Tensor]]
    boxes: Sequence[Box]
    folds: float
    patch: Tensor | None
    strength: float


class DevicePlanes:
    """The planes of a composer's figure on a device.

    Attributes:
        quads: `luma` and `alpha` of `FigurePlanes` side by side, so that both are sampled at once, uint8 [height, width, 8].
        chroma: as in `FigurePlanes`.
    """

    def __init__(self, composer: Composer, device: torch.device) -> None:
        """Bring the planes to the device."""
        self._device, self._on_host = device, composer.planes
        self._figure = self._send(composer.figure)
        self._painted = self._figure.clone()
        planes, self._pixels = composer.planes, pixels.Pixels(device)
        self._values, self.chroma = self._send(planes.values), self._send(planes.chroma)
        self.quads = torch.cat([self._send(planes.luma), self._send(planes.alpha)], dim=-1)
        self._luma = self.quads[..., :4]
        sent = {id(planes.values): self._values, id(planes.luma): self._luma, id(planes.chroma): self.chroma}
        self._folds = [(sent[id(plane)], box, self._send(after)) for plane, box, _, after in composer.folds]
        self._mouths = None if composer.painted_mouths is None else _MouthPaste(composer.painted_mouths, device)
        self._kept: list[tuple[Tensor, Box, Tensor]] = []
        self._constants: dict[tuple[object, ...], Tensor | None] = {}

    def _send(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def change(self, changes: SentChanges) -> None:
        """Make the changes of a frame, until `restore`."""
        if changes.folds > 0:
            for plane, box, after in self._folds:
                self._set(plane, box, pixels.mix(after, plane[box], changes.folds))
        for box, colours in changes.painted:
            self._set(self._painted, box, colours.to(self._device, non_blocking=True))
        boxes = list(changes.boxes)
        if self._mouths is not None and changes.patch is not None:
            box = self._mouths.slices
            patch = changes.patch.to(self._device, non_blocking=True)
            self._set(self._painted, box, self._mouths.paste(patch, self._painted[box], changes.strength))
            boxes.append(box)
        for box in together(boxes):
            self._repaint(box)

    def restore(self) -> None:
        """Undo all changes since the last call."""
        for plane, box, before in reversed(self._kept):
            plane[box] = before
        self._kept.clear()

    def _set(self, plane: Tensor, box: Box, values: Tensor) -> None:
        self._kept.append((plane, box, plane[box].clone()))
        plane[box] = values

    def _repaint(self, box: Box) -> None:
        """Make the planes anew where a change of the figure in `box` reaches."""
        self._set(self._values, box, self._pixels.to_ycc(self._painted[box]))
        place = self._on_host.quads_place(box)
        samples = self._values[place.source][..., 0]
        scale = self._on_host.scale
        if scale == 2:
            samples = self._pixels.enlarge(samples)
        samples = self._with_margins(samples[place.used], place, NOTHING)
        apart = slice(None, -scale), slice(scale, None)
        self._set(self._luma, place.places, torch.stack([samples[y, x] for y in apart for x in apart], dim=-1))
        place = self._on_host.chroma_place(box)
        values = self._values[place.source]
        small = pixels.halve(torch.stack([values[..., channel] for channel in (1, 2, 3, 3)], dim=-1))[place.used]
        self._set(self.chroma, place.places, self._with_margins(small, place, NO_CHROMA))

    def _with_margins(self, samples: Tensor, place: Place, empty: Picture) -> Tensor:
        """Let samples go on beyond the picture's borders: see `FigurePlanes`."""
        sides = samples.shape[:2]
        for axis, margin in enumerate(place.margins):
            if any(margin):
                mirrored = self._constant(
                    ("mirrored", sides[axis], margin), partial(np.pad, np.arange(sides[axis]), margin, mode="reflect")
                )
                assert mirrored is not None
                samples = samples.index_select(axis, mirrored)
        for axis, (before, after) in enumerate(place.margins):
            for count, edge in ((before, 0), (after, -1)):
                share = self._share(axis, edge, place, sides[1 - axis]) if count else None
                if share is None:
                    continue
                strip = samples.narrow(axis, 0 if edge == 0 else samples.shape[axis] - count, count)
                along = [1] * samples.dim()
                along[1 - axis] = -1
                nothing = self._constant((samples.dim(),), partial(empty.astype, np.float32))
                assert nothing is not None
                strip.copy_(nothing + share.reshape(along) * (strip.float() - nothing) + 0.5)
        return samples

    def _share(self, axis: int, edge: int, place: Place, length: int) -> Tensor | None:
        part = place.part[1 - axis]
        key = "share", axis, edge, part.start, part.stop, length, place.margins[1 - axis]
        make = partial(self._on_host.margin_share, axis, edge, place.part, place.margins, length)
        return self._constant(key, make)

    def _constant(self, key: tuple[object, ...], make: Callable[[], npt.NDArray[Any] | None]) -> Tensor | None:
        """Return values that are brought to the device once: boxes are the same in most frames."""
        if key not in self._constants:
            made = make()
            self._constants[key] = None if made is None else self._send(made)
        return self._constants[key]


class _MouthPaste:
    """Pastes painted mouths on the device: see `stages.musetalk.blend`."""

    def __init__(self, mouths: PaintedMouths, device: torch.device) -> None:
        where = mouths.where
        self.slices = mouths.slices
        self._mask = torch.from_numpy(np.ascontiguousarray(where.mask)).to(device)
        x1, y1, x2, y2 = where.box
        left, top, right, bottom = where.roi
        self._rows, rows = _scaled((y1, y2), (top, bottom), mouths.row, device)
        self._columns, columns = _scaled((x1, x2), (left, right), 0, device)
        self._inside = rows, columns

    def paste(self, patch: Tensor, under: Tensor, strength: float) -> Tensor:
        """Return a box of the figure, uint8 [height, width, 4], with the stored rows of a patch mixed in."""
        mask = self._mask if strength >= 1 else (self._mask.double() * strength).round().to(torch.uint8)
        colours = under[..., :3]
        over = colours.clone()
        over[self._inside] = pixels.resize(patch, self._rows, self._columns)
        return torch.cat([pixels.mix_by_mask(over, colours, mask), under[..., 3:]], dim=-1)


def _scaled(
    box: tuple[int, int], roi: tuple[int, int], skipped: int, device: torch.device
) -> tuple[pixels.Enlargement, slice]:
    """Return how a patch is scaled to its box along one side, where the region shows it, and where that is in the region.

    `skipped`: the patch's first samples that are not stored.
    """
    part = slice(max(roi[0], box[0]), min(roi[1], box[1]))
    within = slice(part.start - box[0], part.stop - box[0])
    scaled = pixels.Enlargement(SIDE, box[1] - box[0], within, device, skipped)
    return scaled, slice(part.start - roi[0], part.stop - roi[0])
