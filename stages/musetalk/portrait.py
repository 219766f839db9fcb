"""What is worked out once for each portrait: where its mouth is, under which mask, and what the network sees of it."""

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

from daemon.config.settings import Musetalk
from daemon.errors import UnknownError
from stages.context import Context
from stages.musetalk import face_box as boxes
from stages.musetalk import mask, weights
from stages.musetalk.blend import crop_face
from stages.musetalk.face_parser import FaceParser, parsed_labels
from stages.musetalk.painter import Painter

Picture = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

#: Portraits that are remembered; each takes under 1 MB.
_REMEMBERED = 64


@dataclass(frozen=True)
class Portrait:
    """A portrait, looked at.

    Attributes:
        where: box, region and mask.
        latents: [1, 8, 32, 32], where the network is.
        remark: what a person should know of it, or nothing.
    """

    where: mask.Region
    latents: Tensor
    remark: str = ""


class Portraits:
    """The portraits that one loaded engine has seen, by their content; the longest unused are forgotten first."""

    def __init__(self, painter: Painter, settings: Musetalk, models: Path) -> None:
        self._painter, self._settings, self._models = painter, settings, models
        self._seen: OrderedDict[bytes, Portrait] = OrderedDict()

    def of(self, ctx: Context) -> Portrait:
        """The portrait of a job.

        Raises:
            JobError: `face-cut-off`.
            UnknownError: `portrait.png` is damaged; the face stage must run again.
            MachineError: `model-missing` and the like, of the face-parsing network; `gpu-lost`, `gpu-memory`.
        """
        picture = ctx.path("portrait.png").read_bytes()
        landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
        key = hashlib.sha256(picture + landmarks.tobytes()).digest()
        if key not in self._seen:
            self._seen[key] = self._look(picture, landmarks)
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return self._seen[key]

    def _look(self, encoded: bytes, landmarks: FloatArray) -> Portrait:
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
        if decoded is None:
            raise UnknownError("portrait-unreadable", "portrait.png cannot be read.", "Retry the job.")
        picture, size = np.asarray(decoded, np.uint8), (decoded.shape[1], decoded.shape[0])
        newer = self._settings.version == "1.5"
        box = boxes.portrait_box(
            landmarks,
            size,
            chin_margin=boxes.CHIN_MARGIN if newer else 0.0,
            shift=0 if newer else self._settings.bbox_shift,
        )
        part, remark = self._part(picture, landmarks, box)
        where = mask.region(mask.soft_mask(part, box), box, size)
        return Portrait(where, self._painter.latents(crop_face(picture, box)), remark)

    def _part(self, picture: Picture, landmarks: FloatArray, box: boxes.Box) -> tuple[mask.Mask, str]:
        """What is painted of the crop square, and a remark."""
        mode: mask.Mode = "jaw" if self._settings.version == "1.5" else "raw"
        square = mask.square_of(box)
        if self._settings.mask == "parsing":
            part = mask.shown(parsed_labels(self._parser, picture, square), mode)
            if part[mask.SIDE // 2 :].any():
                return part, ""
        remark = (
            "The face-parsing network saw no mouth; the landmarks' was taken."
            if self._settings.mask == "parsing"
            else ""
        )
        return mask.shown(mask.landmark_labels(landmarks, square), mode), remark

    @functools.cached_property
    def _parser(self) -> FaceParser:
        return weights.load_parser(weights.model_paths("face-parsing", self._models)["parser"])
