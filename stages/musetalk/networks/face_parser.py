"""The face-parsing network of the public implementation, which labels 19 classes. It is optional: its file must be chosen.

BiSeNet over a ResNet-18. Attribute names follow the keys of the file 79999_iter.pth. Its code was MIT; its training data,
CelebAMask-HQ, are for non-commercial use.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from stages.musetalk.face_box import Box
from stages.musetalk.mask import SIDE, Labels

_CLASSES = 19
#: ImageNet's, RGB.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Conv(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, before: int, after: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Basic(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self._strided = stride != 1

    def forward(self, x: Tensor) -> Tensor:
        changed = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu((self.downsample(x) if self._strided else x) + changed)


class _ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Basic(64, 64, 1), _Basic(64, 64, 1))
        self.layer2 = nn.Sequential(_Basic(64, 128, 2), _Basic(128, 128, 1))
        self.layer3 = nn.Sequential(_Basic(128, 256, 2), _Basic(256, 256, 1))
        self.layer4 = nn.Sequential(_Basic(256, 512, 2), _Basic(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at an 8th, a 16th and a 32nd of the size."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class _Refine(nn.Module):
    """A convolution whose channels are weighted by their mean over the whole picture."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = _Conv(before, after)
        self.conv_atten = nn.Conv2d(after, after, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        feature = self.conv(x)
        weight = torch.sigmoid(self.bn_atten(self.conv_atten(feature.mean((2, 3), keepdim=True))))
        return torch.mul(feature, weight)


class _Context(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = _ResNet18()
        self.arm16, self.arm32 = _Refine(256, 128), _Refine(512, 128)
        self.conv_head32, self.conv_head16 = _Conv(128, 128), _Conv(128, 128)
        self.conv_avg = _Conv(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth, sixteenth, coarsest = self.resnet(x)
        whole = self.conv_avg(coarsest.mean((2, 3), keepdim=True))
        x = self.conv_head32(functional.interpolate(self.arm32(coarsest) + whole, size=sixteenth.shape[2:]))
        x = self.conv_head16(functional.interpolate(self.arm16(sixteenth) + x, size=eighth.shape[2:]))
        return eighth, x


class _Fuse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convblk = _Conv(256, 256, 1)
        self.conv1, self.conv2 = nn.Conv2d(256, 64, 1, bias=False), nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        feature = self.convblk(torch.cat([fine, context], dim=1))
        weight = self.conv2(functional.relu(self.conv1(feature.mean((2, 3), keepdim=True))))
        return torch.add(feature * torch.sigmoid(weight), feature)


class _Out(nn.Module):
    def __init__(self, before: int, middle: int) -> None:
        super().__init__()
        self.conv = _Conv(before, middle)
        self.conv_out = nn.Conv2d(middle, _CLASSES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class FaceParser(nn.Module):
    """The face-parsing network. Two more heads are in its file, but are only needed for training."""

    def __init__(self) -> None:
        super().__init__()
        self.cp, self.ffm, self.conv_out = _Context(), _Fuse(), _Out(256, 256)
        self.conv_out16, self.conv_out32 = _Out(128, 64), _Out(128, 64)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute scores, [batch, 19, h, w], for pictures, [batch, 3, h, w], RGB with ImageNet's mean and deviation."""
        scores = self.conv_out(self.ffm(*self.cp(pictures)))
        return functional.interpolate(scores, size=pictures.shape[2:], mode="bilinear", align_corners=True)


@torch.inference_mode()
def parse_labels(parser: FaceParser, picture: npt.NDArray[np.uint8], square: Box) -> Labels:
    """Compute the label map, [512, 512], of a crop square of a BGR picture; pixels outside the picture are black."""
    whole = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    crop = whole.crop(square).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 255
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
    classes = parser((pixels - mean) / deviation)[0].argmax(dim=0)
    return np.asarray(classes.to(torch.uint8).numpy(), np.uint8)
