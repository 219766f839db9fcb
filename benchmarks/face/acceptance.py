"""How the face stage judges good and damaged pictures: `python -m benchmarks.face.acceptance FOLDER [FOLDER ...] [--every 1]`.

Takes every portrait as it is and with each kind of damage, and prints for each kind how many pictures were accepted, accepted
with a caution, and refused, by code. Pictures that are refused as they are get listed and not damaged. Good portraits should all
be accepted, at most 5 % with a caution; damaged ones should be refused or cautioned, and turned ones accepted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

import stages.face
from benchmarks.stage_runner import SEED
from benchmarks.video.contact_sheets import PICTURES
from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.face import mesh
from stages.face.detect import find_faces
from stages.face.landmarker import shared_landmarker
from stages.face.mesh import FloatArray

Picture = npt.NDArray[np.uint8]
#: Damages a BGR picture, given the landmarks of its face, [478, 2] px.
Damage = Callable[[Picture, FloatArray], Picture]
_CAUTIONS_OF_GOOD = "as it is"


def _painted(
    picture: Picture, outline: npt.NDArray[np.float64], colour: tuple[float, float, float], grain: float
) -> Picture:
    """Fill a polygon with one colour, lit from the left, with soft edges and grain."""
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], (1.0,))
    size = float(np.ptp(outline, axis=0).max())
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(size / 150, 0.5)))[..., None]
    light = np.linspace(1.05, 0.85, picture.shape[1])[None, :, None]
    noise = np.random.default_rng(SEED).normal(0, grain, picture.shape[:2])[..., None]
    cover = np.clip(np.array(colour) * light + noise, 0, 255)
    return np.asarray(picture * (1 - soft) + cover * soft, np.uint8)


def _mask(colour: tuple[float, float, float]) -> Damage:
    """Return a cloth from the nose's bridge over cheeks and chin, with three folds."""

    def damage(picture: Picture, points: FloatArray) -> Picture:
        outline = points[[197, 101, 50, 123, 58, 172, 150, 152, 379, 397, 288, 352, 280, 330]].astype(np.float64)
        spoilt = _painted(picture, outline, colour, 3.0)
        left, right = (points[58] + points[123]) / 2, (points[288] + points[352]) / 2
        for fold in (0.0, 0.14, 0.28):
            down = (points[mesh.CHIN] - points[mesh.NOSE_TIP]) * fold
            line = np.round(np.stack([left + down, points[mesh.NOSE_BASE] + down, right + down])).astype(np.int32)
            width = max(1, round(float(np.ptp(points[:, 0])) / 150))
            cv2.polylines(spoilt, [line], False, tuple(0.85 * part for part in colour), width, cv2.LINE_AA)
        return spoilt

    return damage


def _microphone(picture: Picture, points: FloatArray) -> Picture:
    """Return a dark grid ball before the mouth, on a stick that leaves the picture below."""
    mouth, width = points[[13, 14]].mean(axis=0), float(np.ptp(points[:, 0]))
    stick = np.array([[-0.07, 0.0], [0.07, 0.0], [0.2, 3.0], [0.06, 3.0]]) * width + mouth
    spoilt = _painted(picture, stick, (35, 35, 38), 4.0)
    turn = np.linspace(0, 2 * np.pi, 60)
    ball = np.stack([np.cos(turn), 1.1 * np.sin(turn)], axis=1) * 0.27 * width + mouth
    spoilt = _painted(spoilt, ball, (60, 60, 64), 12.0)
    for part in np.linspace(-0.8, 0.8, 9):
        reach = np.sqrt(1 - part**2) * 0.27 * width
        across = np.array([[-reach, part * 0.27 * width], [reach, part * 0.27 * width]]) + mouth
        cv2.polylines(spoilt, [np.round(across).astype(np.int32)], False, (95, 95, 100), 1, cv2.LINE_AA)
    return spoilt


def _hand(picture: Picture, points: FloatArray) -> Picture:
    """Four fingers across the mouth, in the colour of the cheek, with dark gaps."""
    width = float(np.ptp(points[:, 0]))
    low, high = np.maximum(points[50] - 0.04 * width, 0), points[50] + 0.04 * width
    cheek = picture[int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1].reshape(-1, 3).mean(axis=0)
    mouth = points[[13, 14]].mean(axis=0)
    turn = np.linspace(0, 2 * np.pi, 60)
    spoilt = picture
    for finger in range(4):
        bow = np.stack([0.42 * np.cos(turn), 0.085 * np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.6], axis=1)
        bow[:, 1] += 0.15 * (finger - 1.5) + 0.15 * bow[:, 0]
        for reach, light in ((1.0, 0.6), (0.9, 0.97)):
            colour = tuple(float(part) * light for part in cheek)
            spoilt = _painted(spoilt, bow * reach * width + mouth, (colour[0], colour[1], colour[2]), 3.0)
    return spoilt


def _gain(factor: float) -> Damage:
    return lambda picture, _: np.clip(picture * factor, 0, 255).astype(np.uint8)


def _blurred(face_part: float) -> Damage:
    """Gaussian blur; sigma as a part of the face's width."""
    return lambda picture, points: np.asarray(
        cv2.GaussianBlur(picture, (0, 0), face_part * float(np.ptp(points[:, 0]))), np.uint8
    )


def _enlarged(face_px: int) -> Damage:
    """Scaled so that the face is so many px wide, saved as a JPEG, and scaled up again."""

    def damage(picture: Picture, points: FloatArray) -> Picture:
        factor, (height, width) = face_px / float(np.ptp(points[:, 0])), picture.shape[:2]
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        small = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

    return damage


def _rotated(degrees: float) -> Damage:
    """Return the picture turned clockwise about the face; what was outside it is mirrored in."""

    def damage(picture: Picture, points: FloatArray) -> Picture:
        x, y = points.mean(axis=0)
        matrix = cv2.getRotationMatrix2D((float(x), float(y)), -degrees, 1.0)
        size = picture.shape[1], picture.shape[0]
        return np.asarray(
            cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
        )

    return damage


def _quarters(count: int) -> Damage:
    return lambda picture, _: np.ascontiguousarray(np.rot90(picture, count))


DAMAGES: dict[str, Damage] = {
    _CAUTIONS_OF_GOOD: lambda picture, _: picture,
    "mask, white": _mask((235, 238, 240)),
    "mask, blue": _mask((205, 180, 140)),
    "mask, black": _mask((38, 36, 35)),
    "mask, skin-coloured": _mask((140, 165, 200)),
    "mask, red": _mask((50, 45, 170)),
    "microphone": _microphone,
    "hand": _hand,
    "brightness 6 %": _gain(0.06),
    "brightness 20 %": _gain(0.2),
    "exposure × 3": _gain(3.0),
    "blur 1/30 of the face": _blurred(1 / 30),
    "blur 1/100 of the face": _blurred(1 / 100),
    "face of 50 px enlarged": _enlarged(50),
    "face of 80 px enlarged": _enlarged(80),
    "leaning 18°": _rotated(18),
    "leaning −27°": _rotated(-27),
    "lying on the left": _quarters(1),
    "lying on the right": _quarters(3),
    "upside down": _quarters(2),
}


def verdict(folder: Path, name: str, picture: Path) -> str:
    """Run the stage: "accepted", "cautioned: CODES", or "refused: CODE"."""
    paths = {part: str(folder / part) for part in ("inbox", "outbox", "spool", "cache")}
    settings = Settings.parse({"paths": paths}, folder / "config.yaml")
    job_dir = folder / name
    job_dir.mkdir(parents=True)
    (job_dir / "source.image").write_bytes(picture.read_bytes())
    manifest = Manifest.model_validate({"image": picture.name, "kind": "detect"})
    try:
        facts = stages.face.run(Context(f"job-20260101T000000Z-{SEED:08x}", name, job_dir, manifest, settings))
    except JobError as error:
        return f"refused: {error.code}"
    return f"cautioned: {', '.join(facts['cautions'])}" if facts["cautions"] else "accepted"


def main() -> None:
    """Judge every portrait, as it is and damaged, and print the counts of each kind of damage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1, help="damage only every n-th portrait")
    parser.add_argument(
        "--side", type=int, default=768, help="longest side of the pictures before they are damaged, px"
    )
    options = parser.parse_args()
    portraits = [
        path for folder in options.folders for path in sorted(folder.iterdir()) if path.suffix.lower() in PICTURES
    ]
    found: dict[str, Counter[str]] = {name: Counter() for name in DAMAGES}
    notes = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, path in enumerate(portraits):
            said = verdict(folder, f"good-{number}", path)
            found[_CAUTIONS_OF_GOOD][said] += 1
            if said != "accepted":
                notes.append(f"  {path.name}: {said}")
            if said.startswith("refused") or number % options.every:
                continue
            picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)
            factor = min(1.0, options.side / max(picture.shape[:2]))
            picture = np.asarray(
                cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
            )
            faces = find_faces(np.ascontiguousarray(picture[..., ::-1]), shared_landmarker())
            if not faces:
                continue
            points = max(faces, key=lambda face: face.size_px).landmarks[:, :2]
            for kind, damage in DAMAGES.items():
                if kind == _CAUTIONS_OF_GOOD:
                    continue
                spoilt = folder / f"{number}.png"
                cv2.imwrite(str(spoilt), damage(picture, points))
                found[kind][verdict(folder, f"{kind}-{number}".replace("/", " of "), spoilt)] += 1
    for kind, counts in found.items():
        total = max(sum(counts.values()), 1)
        shares = Counter(dict.fromkeys(("accepted", "cautioned", "refused"), 0))
        for said, count in counts.items():
            shares[said.partition(":")[0]] += count
        print(f"{kind:24}" + "".join(f"{part} {shares[part] / total:5.0%}  " for part in shares), end="")
        print("; ".join(f"{said} {count}" for said, count in counts.most_common() if said != "accepted"))
    print("\n".join(["Portraits that were refused or cautioned as they are:", *notes]))


if __name__ == "__main__":
    main()
