"""The steps of the face stage: decode, detect, check, crop and scale, measure, build the rig."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from daemon.system.fs import artifact, dump_json
from stages.context import Context
from stages.face import backdrop, decode, mesh, output_frame
from stages.face.acceptance import check_face, choose_face
from stages.face.detect import Face, find_faces
from stages.face.landmarker import shared_landmarker
from stages.face.pose import Pose
from stages.face.rig.rig import load_rig
from stages.facts import FaceFacts

_VERSION = 1
_SMALL_OUTPUT_PX = 96
#: Work for the rig per pixel of the video, relative to decoding a pixel: a rig of 4096 × 4096 took 150 s on a busy machine.
_RIG_WORK = 20


def measure_face(ctx: Context) -> FaceFacts:
    """Read `source.image`; write `portrait.png` and `face.json`, and, for kinds of job that draw, the rig and the background.

    Returns:
        Facts for the status: engine, faces found, size, confidence and pose of the face, size of the video.

    Raises:
        JobError: the picture cannot be read, its face cannot be animated, or the background cannot be used.
    """
    cv2.setNumThreads(1)
    limits = ctx.settings.stages.face
    source, scale = decode.read_picture(ctx.source("image"), limits.max_pixels, ctx.allow_pixels)
    height, width = source.shape[:2]
    ctx.progress(0.2)
    faces = find_faces(source, shared_landmarker())
    face = choose_face(faces, ctx.manifest.face, width, height)
    pose = check_face(face, scale, width, height, limits)
    ctx.progress(0.5)
    frame = _output_frame(ctx, face, width, height)
    ctx.allow_pixels(_RIG_WORK * frame.width * frame.height / 1e6)
    portrait = frame.render(source)
    measured = Face(face.score, np.round(frame.to_output(face.landmarks), 2))  # as face.json will say
    _add_warnings(ctx, measured, len(faces))
    record = _record(measured, pose, portrait, face.size_px * scale, len(faces))
    _write_picture(ctx, portrait)
    with artifact(ctx.path("face.json")) as path:
        path.write_bytes(dump_json(record))
    ctx.progress(0.7)
    if ctx.manifest.kind_of_job.draws:
        rig = load_rig(ctx.settings.paths.cache, portrait, measured.landmarks)
        backdrop.prepare_backdrop(ctx, bool(rig.matte), frame.width, frame.height)
    return {
        "engine": "mediapipe",
        "faces_found": len(faces),
        "face_px": round(face.size_px * scale),
        "confidence": round(face.score, 3),
        "pose": record["pose"],
        "width": frame.width,
        "height": frame.height,
    }


def _output_frame(ctx: Context, face: Face, width: int, height: int) -> output_frame.OutputFrame:
    size = output_frame.parse_pair(ctx.manifest.size, "x")
    aspect = output_frame.parse_pair(ctx.manifest.aspect, ":")
    frame = output_frame.choose_output_frame(
        (width, height), face.center, size, aspect, ctx.settings.stages.face.max_side_px
    )
    return frame.halved() if ctx.manifest.quality == "draft" else frame


def _add_warnings(ctx: Context, face: Face, count: int) -> None:
    if count > 1 and ctx.manifest.face == "largest":
        ctx.warnings.append(
            f"The picture shows {count} faces; the most prominent one is used. Set `face` to choose another."
        )
    if face.box[2] < _SMALL_OUTPUT_PX and ctx.manifest.quality != "draft":
        ctx.warnings.append(
            f"The face is only {face.box[2]:.0f} px wide in the video; crop the picture closer for a sharper mouth."
        )
    if max(mesh.lid_openness(face.landmarks)) < mesh.CLOSED_EYE:
        ctx.warnings.append("The eyes are closed in the picture, so the video has no blinks.")


def _record(face: Face, pose: Pose, portrait: npt.NDArray[np.uint8], face_px: float, count: int) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "width": portrait.shape[1],
        "height": portrait.shape[0],
        "box": [round(side, 1) for side in face.box],
        "confidence": round(face.score, 3),
        "pose": {"yaw": round(pose.yaw, 1), "pitch": round(pose.pitch, 1), "roll": round(pose.roll, 1)},
        "landmarks": [[round(float(value), 2) for value in point] for point in face.landmarks],
        "face_px": round(face_px, 1),
        "faces_found": count,
        "checks": {
            "eyes_open": [round(openness, 3) for openness in mesh.lid_openness(face.landmarks)],
            "lip_gap": round(mesh.lip_gap(face.landmarks), 3),
        },
    }


def _write_picture(ctx: Context, portrait: npt.NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(".png", cv2.cvtColor(portrait, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
    with artifact(ctx.path("portrait.png")) as path:
        path.write_bytes(encoded.tobytes())
