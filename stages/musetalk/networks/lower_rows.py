"""Decodes only the lower rows of some pictures of a video, from the first row that is shown.

Every second picture is decoded as a whole. Of a picture between two such ones, from the first doubling of the size on, each
layer computes the rows that the shown ones depend on. Its norms need the whole map's statistics: those of the rows above are the
mean of both neighbours'. Of a picture that is like its neighbours, the rows are the same as in the whole picture.
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
#: Least number of pictures of which one lies between two others.
_LEAST_PICTURES = 3


@dataclass
class _Walk:
    """One walk through the layers below the cut.

    Attributes:
        whole: whether the maps are whole, and the statistics of their upper rows are measured; else they begin at `row`.
        row: the first row of the present layer's map that is needed.
        kept: statistics of the upper rows for each norm in order: those to count in.
        measured: statistics of the upper rows for each norm, where the maps are whole.
    """

    whole: bool
    row: int
    kept: Iterator[KeptRows] = field(default_factory=lambda: iter(()))
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
    """Decodes latents of successive pictures of one portrait to the lower rows of the pictures.

    Attributes:
        first_row: the first row of a picture that is decoded.
    """

    def __init__(self, vae: Vae, first_row: int) -> None:
        """Plan the rows of each layer for pictures from `first_row` on.

        Raises:
            ValueError: nothing can be left out: see `can_leave_out`.
        """
        self.first_row = first_row
        self._vae, self._starts = vae, _starts(vae, first_row)
        if self._starts[0] < 1:
            raise ValueError(f"row {first_row} depends on the first rows of every layer")

    @staticmethod
    def can_leave_out(vae: Vae, first_row: int, pictures: int) -> bool:
        """Tell whether of so many pictures one has rows, in some layer, that no row from `first_row` on depends on."""
        return pictures >= _LEAST_PICTURES and _starts(vae, first_row)[0] >= 1

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents, [batch, 4, h, w], to the pictures' rows, [batch, 3, 8h - first_row, 8w], about -1 to 1.

        `batch` is at least 3. The first picture, every second one after it, and the last one are exact.
        """
        decoder, pictures = self._vae.decoder, len(latents)
        x = decoder.mid_block(decoder.conv_in(self._vae.post_quant_conv(latents)))
        for layer in decoder.levels()[0].resnets:
            x = layer(x)
        between = (pictures - 1) // 2
        exact = _Walk(whole=True, row=self._starts[0])
        ends = [x[::2]] if pictures % 2 else [x[::2], x[-1:]]
        shown = self._walk(torch.cat(ends), exact)
        kept = (rows.between_neighbours(between) for rows in exact.measured)
        others = self._walk(x[1 : 2 * between : 2], _Walk(whole=False, row=self._starts[0], kept=kept))
        made = torch.empty((pictures, *shown.shape[1:]), dtype=shown.dtype, device=shown.device)
        made[::2], made[-1:], made[1 : 2 * between : 2] = shown[: between + 1], shown[-1:], others
        return made

    def _walk(self, x: Tensor, walk: _Walk) -> Tensor:
        """Decode maps before the first doubling of the size, which are whole, to pictures from `first_row` on."""
        decoder = self._vae.decoder
        first, *levels = decoder.levels()
        # Contiguous: it is the smallest map, and a convolution would copy it to another layout.
        x, enlarge = walk.below(x, walk.row).contiguous(memory_format=torch.channels_last), first.upsamplers
        for level, start in zip(levels, self._starts[1:], strict=True):
            surplus = start - 2 * walk.row
            x, walk.row = enlarge[0](x), start
            for layer in level.resnets:
                assert isinstance(layer, Resnet)
                x = walk.resnet(layer, x, surplus)
                surplus = 0
            enlarge = level.upsamplers
        pictures = decoder.conv_out(walk.norm(decoder.conv_norm_out, x))
        return pictures[:, :, self.first_row :] if walk.whole else walk.below(pictures, self.first_row - walk.row)


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
