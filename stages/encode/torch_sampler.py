"""Draws the figure with torch, such as on a GPU: the same as `FigureSampler`, within 1 of 255.

The planes stay on the device. A frame sends its field, on the coarse grid, and the few boxes that were repainted, and gets its
finished planes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from daemon.config import Settings
from stages.encode.field_warp import quad_points
from stages.encode.figure_planes import FigurePlanes
from stages.encode.layers import Background
from stages.encode.planes import BLACK, NEUTRAL, PlanarFrame
from stages.face.rig.grid import CellBlock

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]

#: OpenCV rounds coordinates to so many parts of a sample.
_PARTS = 32


def samples_on_gpu(settings: Settings) -> bool:
    """Return whether frames are sampled on the GPU: the operator wants it, torch is installed, and it has a CUDA device."""
    if settings.stages.encode.sampler != "cuda":
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


class TorchSampler:
    """Draws the figure, displaced by a field, into the planes of a frame, like `FigureSampler`."""

    def __init__(
        self, planes: FigurePlanes, background: Background, cells: CellBlock, step: int, device: str = "cuda"
    ) -> None:
        """Bring the planes to the device. The block `cells` has bounds that are even or at the picture's border."""
        import torch

        self._torch, self._device = torch, torch.device(device)
        self._planes, self._step, self._transparent = planes, step, background.frame.transparent
        height, width = background.frame.height, background.frame.width
        self._left, self._top = cells.left * step, cells.top * step
        self._right, self._bottom = min(cells.right * step, width), min(cells.bottom * step, height)
        self._on_device = {id(plane): self._send(plane) for plane in (planes.luma, planes.alpha, planes.chroma)}
        still = background.frame
        self._still_y = self._send(still.y[self._top : self._bottom, self._left : self._right])
        halves = slice(self._top // 2, self._bottom // 2), slice(self._left // 2, self._right // 2)
        self._still_chroma = [self._send(plane[halves]) for plane in (still.cb, still.cr)]
        self._points = self._send(quad_points(planes, cells, step, pad=1))
        self._rows = self._between(self._bottom - self._top)
        self._columns = self._between(self._right - self._left)

    def _send(self, values: npt.NDArray[Any]) -> torch.Tensor:
        return self._torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def _between(self, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
        """For the middle of each quad along one side: the cell before it, in the padded grid, and the next one's share."""
        places = (np.arange(pixels // 2) * 2 + 1) / self._step + 0.5
        before = np.floor(places)
        return self._send(before.astype(np.int64)), self._send((places - before).astype(np.float32))

    def draw(self, backward: FloatArray, frame: PlanarFrame) -> None:
        """Draw the block, with its background, into `frame`; see `FigureSampler.draw`."""
        repainted = list(self._planes.repainted())
        for plane, box, _ in repainted:
            self._on_device[id(plane)][box] = self._send(plane[box])
        padded = cv2.copyMakeBorder(backward, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        coarse = self._points + self._send(padded) * self._planes.scale
        self._draw(self._enlarge(coarse), frame)
        for plane, box, before in reversed(repainted):
            self._on_device[id(plane)][box] = self._send(before)

    def _enlarge(self, coarse: torch.Tensor) -> torch.Tensor:
        """Interpolate the padded grid of points linearly, in OpenCV's order, to the quads."""
        before, share = self._columns
        wide = coarse[:, before] * (1 - share)[:, None] + coarse[:, before + 1] * share[:, None]
        before, share = self._rows
        return wide[before] * (1 - share)[:, None, None] + wide[before + 1] * share[:, None, None]

    def _draw(self, quads: torch.Tensor, frame: PlanarFrame) -> None:
        luma = self._unfold(self._sample(self._planes.luma, quads))
        alpha = self._unfold(self._sample(self._planes.alpha, quads))
        per_sample = 0.5 / self._planes.scale
        chroma = self._sample(self._planes.chroma, quads * per_sample)
        thin = chroma[..., 2]
        rows, columns = slice(self._top, self._bottom), slice(self._left, self._right)
        half_rows, half_columns = (slice(side.start // 2, side.stop // 2) for side in (rows, columns))
        if self._transparent:
            frame.y[rows, columns] = self._receive(
                (luma * 255 / alpha.clamp(min=1) * (alpha > 0)).round().clamp(min=BLACK)
            )
            frame.alpha[rows, columns] = self._receive(alpha)
        else:
            frame.y[rows, columns] = self._receive(luma + (self._still_y * (255 - alpha) / 255).round())
        for number, (still, target) in enumerate(zip(self._still_chroma, (frame.cb, frame.cr), strict=True)):
            values = chroma[..., number]
            if self._transparent:
                whole = (NEUTRAL + (values - NEUTRAL) * (255 / thin.clamp(min=1))).round()
                shown = self._torch.where(thin > 0, whole, self._torch.full_like(whole, NEUTRAL))
            else:
                offset = ((255 - thin) * (NEUTRAL / 255)).round()
                share = (still * (255 - thin) / 255).round() - offset + NEUTRAL
                shown = values + share.clamp(0, 255) - NEUTRAL
            target[half_rows, half_columns] = self._receive(shown)

    def _sample(self, plane: npt.NDArray[np.uint8], places: torch.Tensor) -> torch.Tensor:
        """Sample four channels linearly, with coordinates and rounding as OpenCV's; beyond the border, the border goes on."""
        source = self._on_device[id(plane)]
        height, width = source.shape[:2]
        (left, across), (top, down) = (self._split(side) for side in places.unbind(-1))
        rows = [(top + by).clamp(0, height - 1) for by in (0, 1)]
        columns = [(left + by).clamp(0, width - 1) for by in (0, 1)]
        total = self._torch.zeros((*left.shape, 4), dtype=self._torch.int32, device=self._device)
        for row, by_row in zip(rows, (_PARTS - down, down), strict=True):
            for column, by_column in zip(columns, (_PARTS - across, across), strict=True):
                total += source[row, column] * (by_row * by_column).to(self._torch.int32)[..., None]
        return (total + _PARTS * _PARTS // 2) // (_PARTS * _PARTS)

    def _split(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Whole samples and the rest in parts of one."""
        parts = (places * _PARTS).round().long()
        whole = self._torch.div(parts, _PARTS, rounding_mode="floor")
        return whole, parts - whole * _PARTS

    @staticmethod
    def _unfold(quads: torch.Tensor) -> torch.Tensor:
        rows, columns, _ = quads.shape
        return quads.reshape(rows, columns, 2, 2).permute(0, 2, 1, 3).reshape(2 * rows, 2 * columns)

    def _receive(self, values: torch.Tensor) -> npt.NDArray[np.uint8]:
        received: npt.NDArray[np.uint8] = values.clamp(0, 255).to(self._torch.uint8).cpu().numpy()
        return received
