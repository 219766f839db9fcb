"""Reports on every face of a picture, for `kind: detect`: `face.json`, and `face.jpg` with the faces drawn in.

A face that cannot be animated is an answer here, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from daemon.errors import TRIED_AGAIN, JobError, UnknownError
from daemon.system.fs import artifact
from daemon.system.json_files import dump_lines
from stages.context import Context
from stages.face import mesh
from stages.face.acceptance import check_face, check_view, choose_face
from stages.face.clarity import measure_clarity
from stages.face.detect import Face
from stages.face.known import PictureOptions
from stages.face.measure import Found, Picture, find_in_file, measure_found, options_of
from stages.face.pose import pose_of
from stages.result_shapes import ReportedFace, Verdict

#: Longest side of the picture with the faces drawn in, px.
_SHOWN_PX = 1600
_JPEG_QUALITY = 88
#: RGB of a face that is accepted, and of one that is refused.
_GOOD, _BAD = (40, 190, 90), (225, 60, 50)


def report_faces(ctx: Context) -> Mapping[str, Any]:
    """Judge every face; write `face.json` and `face.jpg`, and `portrait.png` where the chosen face is accepted.

    Returns:
        Facts for the status: `VerdictFacts`, with `FaceFacts` where the chosen face is accepted.

    Raises:
        JobError: the picture cannot be read; `face-index`: the manifest chooses a face that is not there.
    """
    cv2.setNumThreads(1)
    options = options_of(ctx)
    found = find_in_file(ctx, ctx.source("image"), options.limits.max_pixels)
    height, width = found.picture.shape[:2]
    chosen = choose_face(found.faces, options.face, width, height) if found.faces else None
    faces = [_reported(face, face is chosen, found, options) for face in found.faces]
    record: dict[str, Any] = {"version": 1, "faces_found": len(faces)}
    facts: dict[str, Any] = {"engine": "mediapipe", "faces_found": len(faces)}
    verdict: Verdict
    try:
        measured, _, _ = measure_found(ctx, found, options)
    except JobError as refusal:  # no face at all, too
        verdict = _refused(refusal)
        ctx.warnings.extend(caution.sentence for caution in found.cautions)
        ctx.warnings.append(f"The picture cannot be animated ({refusal.code}): {refusal}")
    else:
        verdict = {"accepted": True, "cautions": measured.facts["cautions"]}
        record, facts = dict(measured.record), dict(measured.facts)
        del record["person"]  # of use only to a video
        ctx.warnings.extend(measured.warnings)
        with artifact(ctx.path("portrait.png")) as path:
            path.write_bytes(measured.portrait)
    size = {"width": round(width * found.scale), "height": round(height * found.scale)}
    record |= {"verdict": verdict, "picture": size, "faces": faces}
    with artifact(ctx.path("face.json")) as path:
        path.write_bytes(dump_lines(record))
    with artifact(ctx.path("face.jpg")) as path:
        path.write_bytes(_drawn(found, faces))
    return facts | {
        "verdict": verdict.get("code", "accepted"),
        "verdict_of": [face["verdict"].get("code", "accepted") for face in faces],
    }


def _refused(refusal: JobError) -> Verdict:
    return {"accepted": False, "code": refusal.code, "message": refusal.message, "hint": refusal.hint}


def _reported(face: Face, chosen: bool, found: Found, options: PictureOptions) -> ReportedFace:
    height, width = found.picture.shape[:2]
    pose = pose_of(face.landmarks)
    verdict: Verdict
    try:
        check_face(face, found.scale, width, height, options.limits)
        cautions = check_view(pose, measure_clarity(found.picture, face), options.limits)
        verdict = {"accepted": True, "cautions": [caution.code for caution in cautions]}
    except JobError as refusal:
        verdict = _refused(refusal)
    return {
        "chosen": chosen,
        "verdict": verdict,
        "box": [round(side * found.scale, 1) for side in face.box],
        "confidence": round(face.score, 3),
        "pose": {"yaw": round(pose.yaw, 1), "pitch": round(pose.pitch, 1), "roll": round(pose.roll, 1)},
        "face_px": round(face.size_px * found.scale, 1),
        "landmarks": [[round(float(value) * found.scale, 2) for value in point] for point in face.landmarks],
    }


def _drawn(found: Found, faces: list[ReportedFace]) -> bytes:
    """Return a JPEG of the picture with each face's box, outlines, number from the left, and verdict."""
    height, width = found.picture.shape[:2]
    factor = min(1.0, _SHOWN_PX / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    shown: Picture = np.ascontiguousarray(cv2.resize(found.picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    line = max(1, round(min(size) / 320))
    for number, face in enumerate(faces):
        colour = _GOOD if face["verdict"]["accepted"] else _BAD
        points = np.array(face["landmarks"], np.float32)[:, :2] * (factor / found.scale)
        for outline in (mesh.OVAL, mesh.UPPER_LIP_OUTER, mesh.LOWER_LIP_OUTER):
            cv2.polylines(shown, [np.round(points[list(outline)]).astype(np.int32)], outline is mesh.OVAL, colour, line)
        for x, y in points:
            cv2.circle(shown, (round(float(x)), round(float(y))), max(1, line // 2), colour, -1)
        left, top, wide, high = (round(side * factor / found.scale) for side in face["box"])
        cv2.rectangle(shown, (left, top), (left + wide, top + high), colour, 2 * line if face["chosen"] else line)
        words = f"{number} {face['verdict'].get('code', 'accepted')}"
        scale = max(0.4, min(size) / 900)
        place = max(0, left), max(round(30 * scale), top - 2 * line)
        cv2.putText(shown, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 3 * line, cv2.LINE_AA)
        cv2.putText(shown, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), line, cv2.LINE_AA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise UnknownError("poster-failed", "The picture with the faces could not be encoded.", TRIED_AGAIN)
    return bytes(data.tobytes())
