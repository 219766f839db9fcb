"""Decodes only the lower rows of pictures, from the first row that is shown.

From the first doubling of the size on, each layer computes the rows that the shown ones depend on. Its norms need the whole map's
statistics: those of the rows above are kept from one picture of the same portrait that was decoded as a whole. If that is the
picture itself, the rows are the same as in the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from stages.musetalk.networks.group_norm import GroupNorm, KeptRows, measure_rows
from stages.musetalk.networks.layers import Resnet
from stages.musetalk.networks.vae import Vae

#: Rows at the cut that each ResNet needs above those that it computes: one for each of its convolutions.
_RESNET_ROWS = 2


@dataclass
class _Walk:
    """One walk through the layers below the cut.

    Attributes:
        whole: whether the maps are whole, and the statistics of their upper rows are measured; else they begin at `row`.
        kept: statistics of the upper rows for each norm in order: those to count in.
        row: the first row of the present layer's map that is needed.
        measured: statistics of the upper rows for each norm, where the maps are whole.
    """

    whole: bool
    kept: Iterator[KeptRows]
    row: int
    measured: list[KeptRows] = field(default_factory=list)

    def below(self, x: Tensor, rows: int) -> Tensor:
        """Leave out as many rows at the top, which are not needed or know nothing of those above them."""
        return x if self.whole else x[:, :, rows:]

    def norm(self, norm: GroupNorm, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Normalize, and apply SiLU."""
        if self.whole:
            self.measured.append(measure_rows(x[:, :, : self.row], norm.num_groups, shift))
        return norm.channels_last(x, shift, silu=True, kept=None if self.whole else next(self.kept))

    def resnet(self, layer: Resnet, x: Tensor, surplus: int) -> Tensor:
        """Apply a ResNet to a map of which `surplus` rows at the top are not needed."""
        hidden = self.norm(layer.norm1, self.below(x, surplus))
        hidden = functional.conv2d(hidden, layer.conv1.weight, None, padding=1)
        self.row += 1
        hidden = self.norm(layer.norm2, self.below(hidden, 1), layer.conv1.bias)
        hidden = layer.conv2(hidden)
        self.row += 1
        return self.below(layer.conv_shortcut(x), surplus + _RESNET_ROWS) + self.below(hidden, 1)


class LowerRowsDecoder:
    """Decodes latents of one portrait to the lower rows of its pictures. `measure` comes before `decode`.

    Attributes:
        first_row: the first row of a picture that is decoded.
    """

    def __init__(self, vae: Vae, first_row: int) -> None:
        """Plan the rows of each layer for pictures from `first_row` on, which must leave something out.

        Raises:
            ValueError: nothing can be left out: see `can_leave_out`.
        """
        self.first_row = first_row
        self._vae, self._starts = vae, _starts(vae, first_row)
        if self._starts[0] < 1:
            raise ValueError(f"row {first_row} depends on the first rows of every layer")
        self._kept: list[KeptRows] = []

    @staticmethod
    def can_leave_out(vae: Vae, first_row: int) -> bool:
        """Tell whether some layer has rows that no row from `first_row` on depends on."""
        return _starts(vae, first_row)[0] >= 1

    def measure(self, latents: Tensor) -> None:
        """Decode a picture of the portrait as a whole, from latents [1, 4, h, w], and keep the statistics of its upper rows."""
        walk = _Walk(whole=True, kept=iter(()), row=0)
        self._walk(latents, walk)
        if not self._kept:
            self._kept = walk.measured
        for kept, measured in zip(self._kept, walk.measured, strict=True):
            kept.copy_(measured)

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents, [batch, 4, h, w], to the pictures' rows, [batch, 3, 8h - first_row, 8w], about -1 to 1."""
        return self._walk(latents, _Walk(whole=False, kept=iter(self._kept), row=0))

    def _walk(self, latents: Tensor, walk: _Walk) -> Tensor:
        decoder = self._vae.decoder
        x = decoder.mid_block(decoder.conv_in(self._vae.post_quant_conv(latents)))
        first, *levels = decoder.levels()
        for layer in first.resnets:
            x = layer(x)
        enlarge, walk.row = first.upsamplers, self._starts[0]
        # Contiguous: it is the smallest map, and a convolution would copy it to another layout.
        x = walk.below(x, walk.row).contiguous(memory_format=torch.channels_last)
        for level, start in zip(levels, self._starts[1:], strict=True):
            surplus = start - 2 * walk.row
            x, walk.row = enlarge[0](x), start
            for layer in level.resnets:
                assert isinstance(layer, Resnet)
                x = walk.resnet(layer, x, surplus)
                surplus = 0
            enlarge = level.upsamplers
        pictures = decoder.conv_out(walk.norm(decoder.conv_norm_out, x))
        rows: Tensor = walk.below(pictures, self.first_row - walk.row)
        return rows


def _starts(vae: Vae, first_row: int) -> list[int]:
    """First row needed of the map before the first doubling of the size, and after each."""
    _, *levels = vae.decoder.levels()
    row = first_row - 1  # the last convolution
    starts = []
    for level in reversed(levels):
        row -= _RESNET_ROWS * len(level.resnets)
        starts.append(row)
        row = (row - 1) // 2  # a row of even number comes from the row before it, too
    return [row, *reversed(starts)]
