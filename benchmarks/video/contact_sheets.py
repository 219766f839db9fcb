"""Contact sheets: `python -m benchmarks.video.contact_sheets PICTURES_OR_FOLDERS... [--out DIR --random 3 --seed 118]`.

Renders six seconds over every portrait with the real stages and cuts out what people look at, enlarged, each with its time in the
video: mouths (rest, widest open, P/B/M, round "oo"), eyes (mid-blink, shut, gaze to both sides), the head's extremes (yaw,
pitch, sideways), both borders at these extremes, and the same portrait as a vertical (9:16) and a wide video (16:9), and
cropped close to the face.
`OUT/index.html` shows all sheets in one page, with the refused portraits and the reason.

Moments are chosen by what the mesh sees in the finished video, and by the times of the sounds, not by names of parameters.
"""

from __future__ import annotations

import argparse
import html
import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.face import random_portraits
from benchmarks.stage_runner import SEED, StageRunner
from benchmarks.video import measures
from benchmarks.video.movement import gaze_track, head_track
from benchmarks.video.tiles import Box, Picture, around, border_strips, cut_out, message, pages, tile
from daemon.errors import JobError
from stages.encode.drawing_helper import DrawnFrames
from stages.encode.framing import frames_of_job
from stages.face import mesh

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
#: Open vowels, P, B, M, round vowels, a pause and a question in about six seconds.
TEXT = "Oh, far away, big blue apples by the moon! Maybe my father stopped the bomb. Would you go, too?"
#: Shorter side of the videos, and widths of the tiles (faces and whole pictures; lips and eyes; heads), px.
VIDEO, FACE, DETAIL, HEAD = 768, 384, 480, 520
#: The close crop's side in widths of the face; the shapes of the vertical and of the wide video.
CLOSE, TALL, WIDE = 1.3, "9:16", "16:9"
_CLOSED, _ROUND = frozenset("pbm"), ("u", "ʊ", "w", "O", "o")


@dataclass(frozen=True)
class Moment:
    """A frame to look at, and why."""

    name: str
    frame: int


@dataclass(frozen=True)
class Moments:
    """The frames to look at, by what is looked at."""

    mouth: tuple[Moment, ...]
    eyes: tuple[Moment, ...]
    head: tuple[Moment, ...]


def moments_of(faces: measures.Faces, phones: Sequence[dict[str, Any]]) -> Moments:
    """Find the telling frames of a video by its landmarks and the times of its sounds."""
    gaps = np.array([mesh.lip_gap(points) for points in faces.full])
    lids = np.array([min(mesh.lid_openness(points)) for points in faces.full])
    lids /= np.median(lids)
    head = head_track(faces)
    gaze = np.where(lids > 0.75, gaze_track(faces.full), 0.0)

    def during(phone: dict[str, Any]) -> npt.NDArray[np.int64]:
        first, last = (round(phone[key] * faces.fps) for key in ("start", "end"))
        return np.arange(min(first, len(gaps) - 1), min(max(last, first + 1), len(gaps)))

    def most(kinds: Iterable[str], sign: int) -> list[int]:
        """The frame of each such sound at which the lips are widest (sign 1) or least (-1) open, the widest sound first."""
        spans = [during(phone) for phone in phones if phone["phone"] in kinds]
        frames = [int(span[np.argmax(sign * gaps[span])]) for span in spans if len(span)]
        return sorted(frames, key=lambda frame: -gaps[frame])

    closed = most(_CLOSED, -1)
    rounds = [frame for kind in _ROUND for frame in most([kind], 1)]
    widest = int(gaps.argmax())
    mouth = [Moment("rest", 0), Moment("widest open", widest)]
    mouth += [Moment("P/B/M, most open", frame) for frame in closed[:1]]
    mouth += [Moment("P/B/M", frame) for frame in closed[-1:]]
    mouth += [Moment("round oo/w/oh", frame) for frame in rounds[:2]]
    shut = int(lids.argmin())
    closing = np.arange(max(shut - 6, 0), shut + 1)
    opening = np.arange(shut, min(shut + 9, len(lids)))
    middle = (1 + lids[shut]) / 2
    eyes = [
        Moment("rest", 0),
        Moment("lids closing, half", int(closing[np.abs(lids[closing] - middle).argmin()])),
        Moment("lids shut", shut),
        Moment("lids opening, half", int(opening[np.abs(lids[opening] - middle).argmin()])),
        Moment("gaze left", int(gaze.argmin())),
        Moment("gaze right", int(gaze.argmax())),
    ]
    heads = [
        Moment("turned left", int(head.yaw.argmin())),
        Moment("turned right", int(head.yaw.argmax())),
        Moment("looking up", int(head.pitch.argmin())),
        Moment("looking down", int(head.pitch.argmax())),
        Moment("leftmost", int(head.x.argmin())),
        Moment("rightmost", int(head.x.argmax())),
    ]
    return Moments(tuple(mouth), tuple(eyes), tuple(heads))


class Sheet:
    """The sheets of one portrait."""

    def __init__(self, runner: StageRunner, picture: Path, seed: int) -> None:
        """Render the video.

        Raises:
            JobError: the picture is refused.
        """
        self._runner, self._picture, self._seed = runner, picture, seed
        # Its own size where that is small: the eye should see what people see.
        self.ctx = runner.make(f"{picture.stem}-sheet", picture, text=TEXT, size=_size(picture), motion={"seed": seed})
        self.faces = measures.faces_of(self.ctx.path("video.mp4"))
        self.phones = json.loads(self.ctx.path("timing.json").read_bytes())["phones"]
        self.moments = moments_of(self.faces, self.phones)
        wanted = {
            moment.frame for part in (self.moments.mouth, self.moments.eyes, self.moments.head) for moment in part
        }
        self._frames = chosen_frames(self.ctx.path("video.mp4"), wanted)

    def cut(self, moment: Moment, box: Box, width: int) -> Picture:
        """Part of a frame at a moment, `width` px wide, BGR; beyond the picture, its outermost pixels go on."""
        return cut_out(self._frames[moment.frame], box, width, cv2.BORDER_REPLICATE)

    def _caption(self, moment: Moment) -> str:
        return f"{moment.name}, {moment.frame / self.faces.fps:.2f} s"

    def mouth(self) -> list[Picture]:
        """Whole faces."""
        face = around(self.faces.full[0], mesh.OVAL, 1.15, 1.25)
        return pages([tile(self._frames[m.frame], face, FACE, self._caption(m)) for m in self.moments.mouth], 3)

    def lips(self) -> list[Picture]:
        """The same moments, the mouths enlarged."""
        return pages([self._detail(m, mesh.UPPER_LIP_OUTER + mesh.LOWER_LIP_OUTER, 1.5) for m in self.moments.mouth], 3)

    def eyes(self) -> list[Picture]:
        """Both eyes with the brows."""
        both = mesh.EYES[0][0] + mesh.EYES[1][0]
        return pages([self._detail(m, both, 1.35, 0.42) for m in self.moments.eyes], 3)

    def lids(self) -> list[Picture]:
        """The same moments, the wider eye enlarged."""
        eye = max((eye for eye, _, _ in mesh.EYES), key=lambda eye: float(np.ptp(self.faces.full[0, list(eye), 0])))
        return pages([self._detail(m, eye, 1.7) for m in self.moments.eyes], 3)

    def _detail(self, moment: Moment, points: Sequence[int], larger: float, shape: float = 0.75) -> Picture:
        box = around(self.faces.full[moment.frame], points, larger, shape)
        return tile(self._frames[moment.frame], box, DETAIL, self._caption(moment))

    def head(self) -> list[Picture]:
        """The head with its hair at the extremes of its movement."""
        box = around(self.faces.full[0], mesh.OVAL, 1.6, 1.0)
        return pages([tile(self._frames[m.frame], box, HEAD, self._caption(m)) for m in self.moments.head], 2)

    def borders(self) -> list[Picture]:
        """Strips along the left and the right border, at rest and at the head's extremes."""
        strips = []
        for moment in (Moment("rest", 0), *self.moments.head):
            strips += border_strips(self._frames[moment.frame], self._caption(moment))
        return pages(strips, 8)

    def variant(self, name: str, picture: Path, **manifest: Any) -> list[Picture]:
        """The same speech and movement over another crop: whole frames at rest, widest open and at the head's extremes."""
        try:
            ctx = self._runner.make(
                f"{self._picture.stem}-{name}", picture, ("face", "tts", "lipsync"), self.ctx, text=TEXT,
                motion={"seed": self._seed}, **manifest,
            )  # fmt: skip
        except JobError as exc:
            return [message(f"{name}: refused, {exc.code}: {exc.message}")]
        tiles: list[Picture] = []
        moments = (self.moments.mouth[0], self.moments.mouth[1], *self.moments.head)
        source = frames_of_job(ctx)
        for moment in moments:
            frame = drawn(source, moment.frame)
            height, width = frame.shape[:2]
            shown = FACE if height >= width else 2 * FACE  # as large as the other sheets show them
            tiles.append(tile(frame, (0.0, 0.0, width, height), shown, self._caption(moment)))
        return pages(tiles, 4 if height >= width else 2)

    def tall(self) -> list[Picture]:
        """A vertical video of the same picture."""
        return self.variant("tall", self._picture, aspect=TALL)

    def wide(self) -> list[Picture]:
        """A wide video of the same picture."""
        return self.variant("wide", self._picture, aspect=WIDE)

    def close(self) -> list[Picture]:
        """Cropped so that the face fills the picture, as in many profile pictures."""
        ctx = self._runner.make(f"{self._picture.stem}-native", self._picture, ("face",), text=TEXT)
        points = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
        portrait = cv2.imread(str(ctx.path("portrait.png")))
        assert portrait is not None
        left, top, right, bottom = around(points, mesh.OVAL, CLOSE, 1.0)
        shift = 0.1 * (bottom - top)  # more hair than neck
        rect = [max(0, round(side)) for side in (left, top - shift, right, bottom - shift)]
        path = self._runner.folder / f"{self._picture.stem}-close.png"
        cv2.imwrite(str(path), portrait[rect[1] : rect[3], rect[0] : rect[2]])
        return self.variant("close", path)

    def write(self, out: Path) -> list[str]:
        """Write all sheets as PNG; returns their names."""
        names = []
        for kind in ("mouth", "lips", "eyes", "lids", "head", "borders", "tall", "wide", "close"):
            for number, sheet in enumerate(getattr(self, kind)()):
                names.append(f"{self._picture.stem}-{kind}{number + 1 if number else ''}.png")
                cv2.imwrite(str(out / names[-1]), sheet, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return names


def _size(picture: Path) -> str | None:
    """`VIDEO` for the shorter side of a larger picture, in its own shape; None for smaller pictures."""
    read = cv2.imread(str(picture))
    if read is None or min(read.shape[:2]) <= VIDEO:
        return None
    height, width = read.shape[:2]
    scale = VIDEO / min(height, width)
    return f"{round(width * scale / 2) * 2}x{round(height * scale / 2) * 2}"


def chosen_frames(video: Path, numbers: Iterable[int]) -> dict[int, Picture]:
    """Frames of a video by number."""
    wanted = set(numbers)
    capture = cv2.VideoCapture(str(video))
    found: dict[int, Picture] = {}
    for number in range(max(wanted) + 1):
        more, frame = capture.read()
        if not more:
            break
        if number in wanted:
            found[number] = np.asarray(frame, np.uint8)
    capture.release()
    return found


def drawn(source: DrawnFrames, number: int) -> Picture:
    """Draw one frame, before encoding, BGR."""
    number = min(number, source.frame_count - 1)
    frame = source.still.copy()
    source.draw(number, frame)
    return np.asarray(frame.to_bgr(), np.uint8)


def portraits(
    places: Sequence[Path], beginnings: Sequence[str], random: int, seed: int | None, out: Path, python: Path | None
) -> list[Path]:
    """The pictures that are named, in folders or alone, and `random` new ones, written to `out`/random."""
    found = [one for place in places for one in (sorted(place.iterdir()) if place.is_dir() else [place])]
    pictures = [one for one in found if one.suffix.lower() in PICTURES]
    if beginnings:
        pictures = [one for one in pictures if one.name.startswith(tuple(beginnings))]
    if random:
        pictures += random_portraits.make(out / "random", random_portraits.seeds(random, seed), python)
    return pictures


def add_portrait_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose portraits."""
    parser.add_argument("places", type=Path, nargs="*", help="pictures, or folders of pictures")
    parser.add_argument("--portraits", nargs="*", default=[], help="only these, by the beginning of their names")
    parser.add_argument("--random", type=int, default=0, help="so many portraits more, made by the package random-face")
    parser.add_argument("--seed", type=int, help="seed of the first of them; default: from today's date")
    parser.add_argument("--random-python", type=Path, help="Python that has random-face; default: this one")
    parser.add_argument("--jobs", type=int, default=1, help="portraits at a time, each in a process")
    parser.add_argument("--motion-seed", type=int, default=SEED, help="seed of the movement")


def make_sheets(picture: Path, out: Path, seed: int) -> tuple[list[str], str]:
    """The names of a portrait's sheets, and what to tell."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sheet = Sheet(StageRunner(Path(scratch)), picture, seed)
        except (JobError, ValueError) as exc:
            return [], f"{picture.name}: refused, {getattr(exc, 'code', 'unmeasured')}: {exc}"
        ready = time.perf_counter()
        names = sheet.write(out)
    told = "".join(f"; {warning}" for warning in sheet.ctx.warnings)
    return (
        names,
        f"{picture.name}: {ready - start:.0f} s rendering and measuring, {time.perf_counter() - ready:.0f} s sheets{told}",
    )


def write_index(out: Path, sheets: dict[str, list[str]], notes: Iterable[str]) -> None:
    """Write `index.html`."""
    lines = ["<!doctype html><meta charset=utf-8><title>Contact sheets</title><style>img{max-width:100%}</style>"]
    lines += [f"<p>{html.escape(note)}</p>" for note in notes]
    for name, files in sheets.items():
        lines.append(f"<h2>{html.escape(name)}</h2>")
        lines += [f'<p><a href="{html.escape(file)}"><img src="{html.escape(file)}"></a></p>' for file in files]
    (out / "index.html").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Write the sheets of all portraits and their index, and print a line for each portrait."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_portrait_options(parser)
    parser.add_argument("--out", type=Path, default=Path("sheets"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = portraits(args.places, args.portraits, args.random, args.seed, args.out, args.random_python)
    sheets: dict[str, list[str]] = {}
    notes: list[str] = []
    work = partial(make_sheets, out=args.out, seed=args.motion_seed)
    with ProcessPoolExecutor(args.jobs) as pool:
        for picture, (names, note) in zip(pictures, pool.map(work, pictures), strict=True):
            sheets[picture.stem] = names
            notes.append(note)
            print(note, flush=True)
            write_index(args.out, sheets, notes)
    print(f"{args.out / 'index.html'} shows all of them")


if __name__ == "__main__":
    main()
