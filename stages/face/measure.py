"""The steps of the face stage: decode, detect, check, crop and scale, measure, build the rig."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from daemon.system.fs import artifact
from daemon.system.json_files import dump_lines
from stages.context import Context
from stages.face import backdrop, decode, mesh, output_frame
from stages.face.acceptance import Caution, check_face, check_view, choose_face
from stages.face.avatars.create import check_avatar_request, save_avatar
from stages.face.avatars.known_avatar import avatar_facts, load_known_avatar, seed_rig
from stages.face.clarity import Clarity, measure_clarity
from stages.face.detect import Face, find_upright
from stages.face.eyes import Eyes, judge_eyes
from stages.face.known import Measured, PictureOptions, key_of, load_measured, save_measured
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import FloatArray
from stages.face.pose import Pose, pose_of
from stages.face.rig.matting.bystander import find_skin
from stages.face.rig.matting.extend import Inner, extend
from stages.face.rig.matting.found_person import FoundPerson
from stages.face.rig.matting.hairline import crown_above, forehead_colour
from stages.face.rig.matting.matte import Matte
from stages.face.rig.matting.plain_border import goes_on_unseen
from stages.face.rig.matting.split_person import split_person
from stages.face.rig.rig import Rig, load_rig, person_in, rig_path
from stages.face.sampling import decode_png, encode_png
from stages.facts import FaceFacts
from stages.kept_in_memory import free_kept

Picture = npt.NDArray[np.uint8]

_VERSION = 1
SMALL_OUTPUT_PX = 96
_REPAIRED = (
    "Part of the head was not recognised as part of the person and was added; look at the outline of the head. "
    "A picture in which the person stands out from the background helps."
)
_TOUCHED = Caution(
    "head-touched",
    "Another person's head touches the person's in the picture, so the cut-out may show some of their hair, or lack some of the "
    "person's. A picture of one person alone helps.",
)
_GUESSED = Caution(
    "outline-unclear",
    "The person hardly stands out from the picture's background, so parts of the cut-out's outline, such as hair and shoulders, "
    "are a guess; look at it. A background that differs from hair and clothes in brightness or colour helps.",
)
_NO_END = Caution(
    "picture-without-end",
    "The picture's file lacks its end mark: it was perhaps not copied completely, but nothing of the picture is missing.",
)
#: What leaves a picture's own background behind the person.
_OWN_BACKGROUNDS = ("keep", "blur")
#: Shorter side of the picture in which the person is found, px: the segmentation's is 256.
_LOOK_PX = 512
#: Work for the rig per pixel of the video, relative to decoding a pixel: a rig of 4096 × 4096 took 150 s on a busy machine.
_RIG_WORK = 20


def measure_face(ctx: Context) -> FaceFacts:
    """Read `source.image`; write `portrait.png` and `face.json`, and, for kinds of job that draw, the rig and the background.

    Returns:
        Facts for the status: engine, faces found, size, confidence and pose of the face, size of the video.

    Raises:
        JobError: the picture cannot be read, its face cannot be animated, or the background cannot be used; for `kind: avatar`
            also `consent-missing`, `profile-name`, `profile-expired`.
    """
    cv2.setNumThreads(1)
    kind, options = ctx.manifest.kind_of_job, options_of(ctx)
    if kind.makes_avatar:
        check_avatar_request(ctx)
    measured, portrait, matte = _known_or_new(ctx, options)
    with artifact(ctx.path("portrait.png")) as path:
        path.write_bytes(measured.portrait)
    with artifact(ctx.path("face.json")) as path:
        path.write_bytes(dump_lines(measured.record))
    ctx.warnings.extend(measured.warnings)
    ctx.progress(0.7)
    facts: FaceFacts = {**measured.facts, **avatar_facts(ctx)}  # type: ignore[typeddict-item]  # its keys are in the record
    if kind.animates:
        rig, rig_file = _rig(ctx, options, measured, portrait, matte)
        if rig.matte.repaired:
            ctx.warnings.append(_REPAIRED)
        if ctx.manifest.background != "keep":
            told = [one for one, holds in ((_TOUCHED, rig.matte.touched), (_GUESSED, rig.matte.guessed)) if holds]
            ctx.warnings.extend(one.sentence for one in told)
            facts["cautions"] = [*facts["cautions"], *(one.code for one in told)]
        backdrop.prepare_backdrop(ctx, bool(rig.matte))
    if kind.makes_avatar:
        small = replace(options, draft=True)
        draft, draft_portrait, draft_matte = _known_or_new(ctx, small)
        profile = save_avatar(
            ctx, options, [(measured, rig_file), (draft, _rig(ctx, small, draft, draft_portrait, draft_matte)[1])]
        )
        facts["profile"], facts["avatar"] = profile.id, profile.name
    return facts


def check_portrait(ctx: Context) -> None:
    """Check that `source.image` can be animated, and keep what was measured in it for `measure_face`.

    Raises:
        JobError: the picture cannot be read, or its face cannot be animated.
    """
    cv2.setNumThreads(1)
    _known_or_new(ctx, options_of(ctx))


def check_picture(ctx: Context) -> None:
    """Check that `source.image` shows a face that can be animated, without measuring it, which takes a tenth of a second.

    Raises:
        JobError: the picture cannot be read, or its face cannot be animated.
    """
    cv2.setNumThreads(1)
    options = options_of(ctx)
    if load_measured(ctx.settings.paths.cache, key_of(ctx.source("image"), options)) is None:
        _accepted(find_in_file(ctx, ctx.source("image"), options.limits.max_pixels), options)


def _rig(
    ctx: Context, options: PictureOptions, measured: Measured, portrait: Picture, matte: Matte | None
) -> tuple[Rig, Path]:
    """Return the rig of a portrait, and its file in the cache."""
    landmarks = np.array(measured.record["landmarks"], np.float32)
    inner, person = Inner.of_record(measured.record), FoundPerson.of_record(measured.record)
    cache = ctx.settings.paths.cache
    path = rig_path(cache, portrait, landmarks, inner, person)
    seed_rig(ctx, options, path)
    return load_rig(cache, portrait, landmarks, inner, person, matte), path


def _known_or_new(ctx: Context, options: PictureOptions) -> tuple[Measured, Picture, Matte | None]:
    """Take the result from the job's avatar profile or of an earlier job about the same picture; or measure the picture, and keep
    the result if a video may be made of it.

    Returns:
        The result, its portrait decoded, RGB uint8 [height, width, 3], and the portrait's matte, if it was made now.
    """
    if (kept := load_known_avatar(ctx, options)) is not None:
        _allow_drawing(ctx, kept.record["width"], kept.record["height"])
        return kept, decode_png(kept.portrait), None
    picture, cache = ctx.source("image"), ctx.settings.paths.cache
    key = key_of(picture, options)
    if (known := load_measured(cache, key)) is not None:
        _allow_drawing(ctx, known.record["width"], known.record["height"])
        return known, decode_png(known.portrait), None
    found = find_in_file(ctx, picture, options.limits.max_pixels)
    measured, portrait, matte = measure_found(ctx, found, options)
    # The picture is looked at again: it must not have changed between the key and the decoding.
    if ctx.manifest.kind_of_job.animates and key_of(picture, options) == key:
        save_measured(cache, key, measured)
    return measured, portrait, matte


def _allow_drawing(ctx: Context, width: int, height: int) -> None:
    ctx.allow_pixels(_RIG_WORK * width * height / 1e6)


@dataclass(frozen=True)
class Found:
    """The faces of a picture.

    Attributes:
        picture: upright, RGB uint8 [height, width, 3].
        scale: the file's pixels per pixel of it along a side.
        faces: from left to right, in px of it.
        cautions: about the file and how it lay.
    """

    picture: Picture
    scale: float
    faces: list[Face]
    cautions: list[Caution]


def find_in_file(ctx: Context, path: Path, max_pixels: int) -> Found:
    """Read a picture file, turn it upright and find its faces.

    Raises:
        JobError: the picture cannot be read.
    """
    free_kept()  # to measure a picture takes as much memory as to draw one
    cautions: list[Caution] = []
    source, scale = decode.read_picture(path, max_pixels, ctx.allow_pixels, lambda: cautions.append(_NO_END))
    ctx.progress(0.2)
    source, faces, quarters = find_upright(source, shared_landmarker())
    return Found(source, scale, faces, [*cautions, *_turned(quarters)])


def options_of(ctx: Context) -> PictureOptions:
    """Return all that the measurement of a job's picture depends on."""
    kind = ctx.manifest.kind_of_job
    return PictureOptions(
        ctx.manifest.face,
        ctx.manifest.size,
        ctx.manifest.aspect,
        ctx.manifest.fit,
        # Where these keys are not used, a warning says so.
        kind.animates and ctx.manifest.background not in _OWN_BACKGROUNDS,
        kind.draws and ctx.manifest.quality == "draft",
        ctx.settings.stages.face,
    )


def measure_found(ctx: Context, found: Found, options: PictureOptions) -> tuple[Measured, Picture, Matte | None]:
    """Measure the chosen face. All that the result depends on is in `options`, which `ctx` is not to be asked for.

    Raises:
        JobError: it cannot be animated.
    """
    source, scale, faces = found.picture, found.scale, found.faces
    height, width = source.shape[:2]
    face, pose, clarity, cautions = _accepted(found, options)
    ctx.progress(0.5)
    frame = _output_frame(options, face, width, height)
    drawn = (frame.video_width, frame.video_height) if frame.extended else (frame.width, frame.height)
    _allow_drawing(ctx, *drawn)
    portrait, landmarks = _shown(frame, source, face)
    inner: Inner | None = None
    matte: Matte | None = None
    whole_person = _find_person(source, face)
    person = _person_shown(frame, source, whole_person)
    if frame.extended:
        matte = split_person(portrait, landmarks, person)
        if not (options.cut_out or goes_on_unseen(portrait, matte, frame.margins)):
            whole, frame = frame, frame.bordered(output_frame.head_box(face.landmarks))
            if (frame.width, frame.height) != (whole.width, whole.height):
                (portrait, landmarks), matte = _shown(frame, source, face), None
                person = _person_shown(frame, source, whole_person)
    if frame.extended and matte is not None:
        inner = Inner(frame.left, frame.top, frame.left + frame.width, frame.top + frame.height)
        skin = forehead_colour(portrait, landmarks)
        bare, others = find_skin(portrait, landmarks, skin)
        portrait, matte = extend(portrait, matte, frame.margins, skin, others, crown_above(landmarks), bare)
        landmarks = np.round(landmarks + np.array([frame.left, frame.top, 0], np.float32), 2)
    measured = Face(face.score, landmarks, face.spread * np.float32(frame.width / frame.crop_width))
    eyes = judge_eyes(portrait, landmarks)
    cautions = [*found.cautions, *cautions, *_cautions(options, measured, len(faces), eyes)]
    record = _record(measured, pose, portrait, face.size_px * scale, len(faces), clarity)
    record["person"] = person.record()
    record["video"] = {"width": frame.video_width, "height": frame.video_height, "left": 0, "top": 0}
    if inner is None:
        record["video"] |= {"left": frame.left, "top": frame.top}
    else:
        record["inner"] = list(astuple(inner))
    facts: FaceFacts = {
        "engine": "mediapipe",
        "faces_found": len(faces),
        "face_px": round(face.size_px * scale),
        "detail_px": round(clarity.detail_px * scale),
        "confidence": round(face.score, 3),
        "pose": record["pose"],
        "eyes": eyes.value,
        "width": frame.video_width,
        "height": frame.video_height,
        "cautions": [caution.code for caution in cautions],
    }
    return Measured(record, facts, [caution.sentence for caution in cautions], encode_png(portrait)), portrait, matte


def _shown(frame: output_frame.OutputFrame, source: Picture, face: Face) -> tuple[Picture, FloatArray]:
    """Return the part of the picture that a frame shows, and the face's landmarks in it, as `face.json` will say."""
    return frame.render(source), np.asarray(np.round(frame.to_output(face.landmarks), 2), np.float32)


def _find_person(source: Picture, face: Face) -> FoundPerson:
    """Find the person in the whole picture, of which every size of video shows a part."""
    height, width = source.shape[:2]
    scale = min(1.0, _LOOK_PX / min(height, width))
    size = round(width * scale), round(height * scale)
    picture = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
    to_picture = np.array([size[0] / width, size[1] / height, scale], np.float32)
    half = np.array([0.5, 0.5, 0], np.float32)
    return person_in(picture, np.asarray((face.landmarks + half) * to_picture - half, np.float32))


def _person_shown(frame: output_frame.OutputFrame, source: Picture, person: FoundPerson) -> FoundPerson:
    """Return what was found of the person in the part of the picture that a frame shows, as `face.json` will say."""
    part = frame.x, frame.y, frame.crop_width, frame.crop_height
    return person.in_part((source.shape[1], source.shape[0]), part).rounded()


def _accepted(found: Found, options: PictureOptions) -> tuple[Face, Pose, Clarity, list[Caution]]:
    """Return the chosen face, how it looks, and what may spoil it.

    Raises:
        JobError: it cannot be animated.
    """
    height, width = found.picture.shape[:2]
    face = choose_face(found.faces, options.face, width, height)
    check_face(face, found.scale, width, height, options.limits)
    pose, clarity = pose_of(face.landmarks), measure_clarity(found.picture, face)
    return face, pose, clarity, check_view(pose, clarity, options.limits)


def _output_frame(options: PictureOptions, face: Face, width: int, height: int) -> output_frame.OutputFrame:
    size = output_frame.parse_pair(options.size, "x")
    aspect = output_frame.parse_pair(options.aspect, ":")
    frame = output_frame.choose_output_frame(
        (width, height), face.center, size, aspect, options.limits.max_side_px,
        options.fit, output_frame.head_box(face.landmarks), cut_out=options.cut_out,
    )  # fmt: skip
    return frame.halved() if options.draft else frame


def _turned(quarters: int) -> list[Caution]:
    if not quarters:
        return []
    how = {1: "90° anticlockwise", 2: "180°", 3: "90° clockwise"}[quarters]
    return [Caution("picture-turned", f"The face was not upright in the picture, so the picture was turned by {how}.")]


def _cautions(options: PictureOptions, face: Face, count: int, eyes: Eyes) -> list[Caution]:
    """`face` is in px of the video."""
    found = []
    if count > 1 and options.face == "largest":
        found.append(
            Caution(
                "several-faces",
                f"The picture shows {count} faces; the most prominent one is used. Set `face` to choose another.",
            )
        )
    if face.box[2] < SMALL_OUTPUT_PX and not options.draft:
        found.append(
            Caution(
                "face-small",
                f"The face is only {face.box[2]:.0f} px wide in the video; crop the picture closer for a sharper mouth.",
            )
        )
    if eyes is Eyes.CLOSED:
        found.append(Caution("eyes-closed", "The eyes are closed in the picture, so the video has no blinks."))
    if eyes is Eyes.UNSURE:
        found.append(
            Caution(
                "eyes-unsure",
                "The eyes cannot be made out (dark glasses, shadow, hair, or eyes drawn larger than a person's), so the video "
                "has no blinks, and the gaze stays as in the picture.",
            )
        )
    return found


def _record(face: Face, pose: Pose, portrait: Picture, face_px: float, count: int, clarity: Clarity) -> dict[str, Any]:
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
            **{name: round(value, 3) for name, value in asdict(clarity).items()},
        },
    }
