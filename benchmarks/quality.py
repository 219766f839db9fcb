"""How good the warp engine's videos are: `python -m benchmarks.quality PORTRAIT_FOLDER [--out DIR --size 720]`.

Renders fixed sentences over every portrait of a folder with the real stages and measures the finished MP4s (`measures.py`).
Writes a table beside the goals, a control with another text's sound, and for each portrait a contact sheet: rest, open vowels,
closed lips, mid-blink and the extremes of the head's motion. Portraits that are refused are listed with the reason. For a
measure of the lag to be believed it has to find shifts that are known: that is printed too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import measures
from benchmarks.room import SEED, Room
from daemon.errors import JobError
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.planes import PlanarFrame
from stages.face import mesh
from stages.lipsync.motion_track import MotionTrack

Picture = npt.NDArray[np.uint8]

SENTENCES = (
    "Maybe my map of the bay is big enough. People buy apples and bananas before they pay for them. "
    "Far away, calm fathers walk along the harbour, and nobody stops them.\n\n"
    "What a lovely idea! Every bright morning brings five fresh possibilities.",
    "Please put the paper by the window. A problem may become a promise, if both of us keep it open. "
    "Hot water, wild honey, a bottle of milk.\n\nWould you mind if I asked the mayor about the bomb?",
)
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
GOALS = {"lip_dynamics": 0.85, "silent_lip": 0.85, "brow": 0.85, "sync": 0.85, "head_motion": 0.7}
CLOSED = 0.03
SHEET_WIDTH = 300


def timing_of(ctx: Context) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ctx.path("timing.json").read_bytes())
    return found


def sound_of(ctx: Context) -> tuple[measures.Series, int]:
    with wave.open(str(ctx.path("speech.wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.astype(np.float64) / 32768.0, file.getframerate()


def figures(ctx: Context, faces: measures.Faces, spoken: Context) -> dict[str, float]:
    """All figures of one video; `spoken` is the job whose sound and times it is judged by."""
    timing, (sound, rate) = timing_of(spoken), sound_of(spoken)
    gaps = measures.closures(faces, timing["phones"])
    shift, contrast = measures.lag(faces, timing["phones"])
    return {
        "lip_dynamics": measures.lip_dynamics(faces),
        "silent_lip": measures.silent_lip(faces, timing["words"]),
        "brow": measures.brow(faces),
        "sync": measures.sync(faces, timing["words"], sound, rate),
        "head_motion": measures.head_motion(faces),
        "lag": shift,
        "contrast": contrast,
        "worst_gap": max(gaps),
        "open_touches": float(sum(gap > CLOSED for gap in gaps)),
        "blinks": measures.blinks_per_minute(faces),
    }


def judge(room: Room, picture: Path, size: int, out: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Mean figures over the sentences, and those of the control, which is judged by the other sentence's sound."""
    jobs = [
        room.make(f"{picture.stem}-{i}", picture, text=text, size=f"{size}x{size}", motion={"seed": SEED})
        for i, text in enumerate(SENTENCES)
    ]
    faces = [measures.faces_of(ctx.path("video.mp4")) for ctx in jobs]
    own = [figures(ctx, seen, ctx) for ctx, seen in zip(jobs, faces, strict=True)]
    shuffled = [figures(ctx, seen, other) for ctx, seen, other in zip(jobs, faces, jobs[::-1], strict=True)]
    cv2.imwrite(str(out / f"{picture.stem}.jpg"), contact_sheet(jobs[0], faces[0]), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return mean(own), mean(shuffled)


def mean(parts: list[dict[str, float]]) -> dict[str, float]:
    """Means, but the worst lag and the worst gap."""
    found = {name: float(np.nanmean([part[name] for part in parts])) for name in parts[0]}
    found["lag"] = max((part["lag"] for part in parts), key=abs)
    found["worst_gap"] = max(part["worst_gap"] for part in parts)
    return found


def contact_sheet(ctx: Context, faces: measures.Faces) -> Picture:
    """Twelve telling frames: rest, the widest open, the most closed, mid-blink, and the head's extremes."""
    track = MotionTrack.load(ctx.path("motion.npz"))
    gap, jaw = measures.opening(faces.full), track.column("jaw")
    lids, yaw, pitch = track.column("blink_left"), track.column("head_yaw"), track.column("head_pitch")
    wide = list(dict.fromkeys(int(start) for start in np.argsort(-gap)[:60:20]))
    half = int(np.abs(lids - 0.5).argmin())
    chosen = [0, *wide, int(jaw.argmax()), int(track.column("press").argmax()), int(track.column("pucker").argmax()),
              int(track.column("wide").argmax()), half, int(lids.argmax()), int(yaw.argmin()), int(yaw.argmax()),
              int(pitch.argmax())]  # fmt: skip
    frames = list(chosen_frames(ctx.path("video.mp4"), chosen[:12]))
    rows = [np.concatenate(frames[at : at + 6], axis=1) for at in range(0, 12, 6)]
    return np.concatenate(rows, axis=0)


def chosen_frames(video: Path, numbers: list[int]) -> Iterator[Picture]:
    capture = cv2.VideoCapture(str(video))
    wanted: dict[int, Picture] = {}
    for number in range(max(numbers) + 1):
        more, frame = capture.read()
        if not more:
            break
        if number in numbers:
            height = round(frame.shape[0] * SHEET_WIDTH / frame.shape[1])
            wanted[number] = np.asarray(
                cv2.resize(frame, (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8
            )
    capture.release()
    return iter([wanted[number] for number in numbers])


def same_bytes(room: Room, picture: Path) -> bool:
    """Whether the same job gives the same file."""
    digests = set()
    for turn in range(2):
        ctx = room.make(f"again-{turn}", picture, text="The same again, please.", size="512x512", motion={"seed": 1})
        digests.add(hashlib.sha256(ctx.path("video.mp4").read_bytes()).hexdigest())
    return len(digests) == 1


def moved_outside(room: Room, picture: Path) -> int:
    """Pixels outside the face that ever change while the head is locked."""
    ctx = room.make("locked", picture, ("face", "tts", "lipsync"), text=SENTENCES[0], size="512x512",
                    motion={"head": 0, "seed": 1})  # fmt: skip
    portrait = cv2.imread(str(ctx.path("portrait.png")))
    assert portrait is not None
    points = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"])[list(mesh.OVAL), :2]
    low, high = points.min(axis=0), points.max(axis=0)
    side = 0.12 * (high - low)
    outside = np.ones(portrait.shape[:2], bool)
    left, top = np.floor(low - side).astype(int)
    right, bottom = np.ceil(high + side * np.array([1, 3])).astype(int)
    outside[max(top, 0) : bottom, max(left, 0) : right] = False
    changed = np.zeros(portrait.shape[:2], bool)
    still = PlanarFrame.from_bgr(np.asarray(portrait, np.uint8)).y
    for frame in Composer.for_job(ctx).frames():
        changed |= cv2.absdiff(frame.y, still) > 1  # by more than rounding
    return int((changed & outside).sum())


def known_shifts(room: Room, picture: Path) -> list[tuple[int, int]]:
    """(shift put in, lag found) for a good video whose frames are shifted on purpose."""
    ctx = room.make("shifted", picture, text=SENTENCES[0], size="512x512", motion={"seed": SEED, "head": 0})
    faces = measures.faces_of(ctx.path("video.mp4"))
    phones = timing_of(ctx)["phones"]
    return [
        (by, measures.lag(replace(faces, full=np.roll(faces.full, by, axis=0)), phones)[0]) for by in (-4, -2, 0, 1, 3)
    ]


def table(rows: dict[str, dict[str, float]]) -> None:
    print(
        "\n| portrait | lips | silent | brow | sync | head | lag | worst P/B/M gap | open | blinks/min |\n"
        + "|---" * 10
        + "|"
    )
    for name, row in rows.items():
        cells = [f"{measures.score(key, row[key]):.2f} ({row[key]:.3g})" for key in GOALS]
        cells += [f"{row['lag']:+.0f}", f"{row['worst_gap']:.3f}", f"{row['open_touches']:.0f}", f"{row['blinks']:.0f}"]
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    parser.add_argument("--size", type=int, default=720, help="side of the videos, px")
    parser.add_argument("--portraits", nargs="*", help="only these, by the beginning of their names")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = sorted(path for path in args.folder.iterdir() if path.suffix.lower() in PICTURES)
    if args.portraits:
        pictures = [path for path in pictures if path.name.startswith(tuple(args.portraits))]
    with tempfile.TemporaryDirectory() as scratch:
        room = Room(Path(scratch))
        rows: dict[str, dict[str, float]] = {}
        controls: list[dict[str, float]] = []
        used: list[Path] = []
        for picture in pictures:
            try:
                rows[picture.stem], control = judge(room, picture, args.size, args.out)
            except JobError as exc:
                print(f"{picture.name}: refused, {exc.code}: {exc.message}", flush=True)
                continue
            controls.append(control)
            used.append(picture)
            print(f"{picture.name}: done", flush=True)
        if not used:
            raise SystemExit("no portrait was accepted")
        table({**rows, "**mean**": mean(list(rows.values())), "control: other sound": mean(controls),
               "goal": {**measures.REAL, "lag": 0, "worst_gap": CLOSED, "open_touches": 0, "blinks": 17}})  # fmt: skip
        print("\ngoals for the scores: " + ", ".join(f"{key} {goal}" for key, goal in GOALS.items()))
        print(f"how much more open vowels are than P, B, M: {mean(list(rows.values()))['contrast']:.3f}, "
              f"with another sound {mean(controls)['contrast']:.3f}")  # fmt: skip
        print(
            "lag found for shifts put in: "
            + ", ".join(f"{by:+d} → {found:+d}" for by, found in known_shifts(room, used[0]))
        )
        print(f"pixels outside the face that change with the head locked: {moved_outside(room, used[0])}")
        print(f"same job, same bytes: {same_bytes(room, used[0])}")


if __name__ == "__main__":
    main()
