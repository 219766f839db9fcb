"""Prepares each portrait once: the position and mask of its mouth, and its latents."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from daemon.config.stage_settings import Musetalk
from daemon.errors import TRIED_AGAIN, UnknownError
from stages.context import Context
from stages.musetalk import face_box as boxes
from stages.musetalk import mask
from stages.musetalk.blend import crop_face
from stages.musetalk.networks import weights
from stages.musetalk.networks.face_parser import FaceParser, parse_labels
from stages.musetalk.painter import Painter

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

#: Maximum number of cached portraits; each takes less than 1 MB.
_REMEMBERED = 64


@dataclass(frozen=True)
class PreparedPortrait:
    """A portrait, prepared for painting.

    Attributes:
        where: box, region and mask.
        latents: [1, 8, 32, 32], on the network's device.
        warning: warning for the status; empty if there is none.
    """

    where: mask.MaskRegion
    latents: Tensor
    warning: str = ""


class PortraitCache:
    """Caches the prepared portraits of one loaded engine by content; the least recently used are dropped first."""

    def __init__(self, painter: Painter, settings: Musetalk, models: Path) -> None:
        self._painter, self._settings, self._models = painter, settings, models
        self._seen: OrderedDict[bytes, PreparedPortrait] = OrderedDict()

    def for_job(self, ctx: Context) -> PreparedPortrait:
        """Prepare the portrait of a job, or return the cached one.

        Raises:
            JobError: `face-cut-off`.
            UnknownError: `portrait-unreadable`: `portrait.png` is damaged; the face stage must run again.
            MachineError: `gpu-lost`, `gpu-memory`; for the face-parsing network also `model-missing`, `model-damaged`,
                `model-foreign`.
        """
        picture = ctx.path("portrait.png").read_bytes()
        landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
        key = hashlib.sha256(picture + landmarks.tobytes()).digest()
        if key not in self._seen:
            self._seen[key] = self._prepare(picture, landmarks)
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return self._seen[key]

    def _prepare(self, encoded: bytes, landmarks: FloatArray) -> PreparedPortrait:
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
        if decoded is None:
            raise UnknownError("portrait-unreadable", "portrait.png cannot be read.", TRIED_AGAIN)
        picture, size = np.asarray(decoded, np.uint8), (decoded.shape[1], decoded.shape[0])
        newer = self._settings.version == "1.5"
        box = boxes.portrait_box(
            landmarks,
            size,
            chin_margin=boxes.CHIN_MARGIN if newer else 0.0,
            shift=0 if newer else self._settings.bbox_shift,
        )
        part, warning = self._part(picture, landmarks, box)
        where = mask.cut_region(mask.soft_mask(part, box), box, size)
        return PreparedPortrait(where, self._painter.latents(crop_face(picture, box)), warning)

    def _part(self, picture: Picture, landmarks: FloatArray, box: boxes.Box) -> tuple[mask.Mask, str]:
        """Return the painted part of the crop square, and a warning or an empty string."""
        mode: mask.MaskMode = "jaw" if self._settings.version == "1.5" else "raw"
        square = mask.crop_square(box)
        if self._settings.mask == "parsing":
            part = mask.painted_part(parse_labels(self._parser, picture, square), mode)
            if part[mask.SIDE // 2 :].any():
                return part, ""
        warning = (
            "The face-parsing network found no mouth; the mask is made from the landmarks instead."
            if self._settings.mask == "parsing"
            else ""
        )
        return mask.painted_part(mask.landmark_labels(landmarks, square), mode), warning

    @functools.cached_property
    def _parser(self) -> FaceParser:
        return weights.load_parser(weights.model_paths("face-parsing", self._models)["parser"])
