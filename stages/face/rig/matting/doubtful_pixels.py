"""The pixels of a portrait of which the segmentation leaves open whether they are the person: what is known of them."""

from __future__ import annotations

import cv2
import numpy as np

from stages.face.mesh import FloatArray
from stages.face.rig.matting.colour_mixture import Colours
from stages.face.rig.matting.matte import Picture
from stages.face.rig.matting.person_regions import PersonRegions
from stages.face.sampling import sample


class DoubtfulPixels:
    """One portrait, its small version and regions, and the pixels of the portrait about which there is doubt.

    Attributes:
        portrait, small, regions: as given.
        rows, columns: places of the pixels, [n] each.
        own: their colours, [3, n].
        side: shorter side of the portrait, px.
    """

    def __init__(self, portrait: Picture, small: FloatArray, regions: PersonRegions, to_small: FloatArray) -> None:
        self.portrait, self.small, self.regions = portrait, small, regions
        height, width = portrait.shape[:2]
        grown = cv2.dilate(regions.doubtful.astype(np.uint8), np.ones((3, 3), np.uint8))
        doubtful = cv2.resize(grown, (width, height), interpolation=cv2.INTER_NEAREST)
        self.rows, self.columns = np.nonzero(doubtful)
        places = np.stack([self.columns, self.rows], axis=-1).astype(np.float32)
        self._places = (places + np.float32(0.5)) * to_small - np.float32(0.5)
        self.own = np.ascontiguousarray(portrait[self.rows, self.columns].T, np.float32)
        self.side = min(height, width)

    def at(self, field: FloatArray) -> FloatArray:
        """A field of the small picture at the doubtful pixels of the portrait: [n], or [channels, n]."""
        count = len(self._places)
        rows = -(-count // 256)
        places = np.resize(self._places, (rows * 256, 2)).reshape(rows, 256, 2)
        found = sample(np.ascontiguousarray(field), places)
        flat = found.reshape(rows * 256, -1)[:count]
        return flat[:, 0] if field.ndim == 2 else np.ascontiguousarray(flat.T)

    def colours(self, model: tuple[FloatArray, FloatArray]) -> Colours:
        """Colours and variances of the small picture at these pixels."""
        return Colours(self.at(model[0]), self.at(model[1]))

    def opened(self, alpha: FloatArray, strand: float) -> FloatArray:
        """Alpha without what is narrower than `strand`, a fraction of the shorter side."""
        whole = np.zeros(self.portrait.shape[:2], np.float32)
        whole[self.rows, self.columns] = alpha
        width = 2 * round(strand * self.side / 2) + 1
        kernel = np.ones((width, width), np.uint8)
        return np.asarray(cv2.morphologyEx(whole, cv2.MORPH_OPEN, kernel)[self.rows, self.columns], np.float32)
