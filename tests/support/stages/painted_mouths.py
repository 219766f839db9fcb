"""Painted mouths for the tests of frames: noise, where a lip-sync engine would paint a mouth."""

from __future__ import annotations

import numpy as np

from stages.context import Context
from stages.lipsync.painted_mouth import save_painted_mouths
from stages.musetalk import mask as region
from stages.musetalk.face_box import CHIN_MARGIN, portrait_box
from tests.support.stages.picture_jobs import face_of, portrait_of


def paint_mouths(ctx: Context, frames: int) -> None:
    """Write a mouth for each frame of a job whose face is measured: none in the first, faint in the second."""
    height, width, _ = portrait_of(ctx).shape
    landmarks = np.array(face_of(ctx)["landmarks"], np.float32)
    box = portrait_box(landmarks, (width, height), chin_margin=CHIN_MARGIN)
    labels = region.landmark_labels(landmarks, region.crop_square(box))
    where = region.cut_region(region.soft_mask(region.painted_part(labels), box), box, (width, height))
    patches = np.random.default_rng(0).integers(0, 256, (frames, 256, 256, 3)).astype(np.uint8)
    strength = np.array([0.0, 0.4, *[1.0] * (frames - 2)], np.float32)
    save_painted_mouths(ctx.job_dir, where, strength, [patches])
