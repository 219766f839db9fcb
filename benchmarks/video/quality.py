"""How good the warp engine's videos are.

    python -m benchmarks.video.quality PICTURES_OR_FOLDERS... [--random 3 --jobs 2 --out DIR]

Renders fixed sentences over every portrait with the real stages and measures the finished MP4s (`measures.py`: THEval's figures,
lag and closed lips; `drawn_gap.py`: lips as they were drawn; `mouth_pops.py`: sudden changes between the lips; `movement.py`:
turns, travel, gaps, gaze, blinks), and what the head's field does to them (`head_fields.py`). `OUT/results.md` has a table with
goals, means, the worst portraits and those that miss (also printed), `OUT/results.json` all figures, `OUT/index.html` the contact
sheets (`contact_sheets.py`). Refused portraits are listed with the reason.

`--random N` adds portraits of the package random-face, from today's seeds, so that nobody tuned to them. Measures have to prove
themselves, too: a control is judged by another text's sound, shifts that were put in have to be found, and of two made-up
movements over the same portrait the turn has to score above the slide.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.stage_runner import SEED, StageRunner
from benchmarks.video import drawn_gap, goals, head_fields, measures, mouth_pops, movement, seen_gap
from benchmarks.video.contact_sheets import Sheet, add_portrait_options, portraits, write_index
from benchmarks.video.goals import Figures
from daemon.errors import JobError
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.figure.prepared import PreparedFigure
from stages.encode.planes import PlanarFrame
from stages.face import mesh
from stages.face.rig.rig import load_measured_rig
from stages.lipsync.motion_track import PARAMETERS, MotionTrack

Picture = npt.NDArray[np.uint8]

SENTENCES = (
    "Maybe my map of the bay is big enough. People buy apples and bananas before they pay for them. "
    "Far away, calm fathers walk along the harbour, and nobody stops them.\n\n"
    "What a lovely idea! Every bright morning brings five fresh possibilities.",
    "Please put the paper by the window. A problem may become a promise, if both of us keep it open. "
    "Hot water, wild honey, a bottle of milk.\n\nWould you mind if I asked the mayor about the bomb?",
)
CLOSED = 0.03


def timing_of(ctx: Context) -> dict[str, Any]:
    """Return timing.json of a job (stages/tts/timing_file.py)."""
    found: dict[str, Any] = json.loads(ctx.path("timing.json").read_bytes())
    return found


def sound_of(ctx: Context) -> tuple[measures.Series, int]:
    """Return the speech of a job, [samples] from -1 to 1, and its rate in Hz."""
    with wave.open(str(ctx.path("speech.wav"))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.astype(np.float64) / 32768.0, file.getframerate()


def figures(ctx: Context, faces: measures.Faces, spoken: Context) -> Figures:
    """Return all figures of one video; `spoken` is the job whose sound and times it is judged by."""
    timing, (sound, rate) = timing_of(spoken), sound_of(spoken)
    read = [gap for _, gap in measures.closures(faces, timing["phones"])]
    gaps = seen_gap.closures(measures.frames_of(ctx.path("video.mp4")), faces, timing["phones"])
    shift, contrast = measures.lag(faces, timing["phones"])
    composer = drawn_gap.NotingComposer.for_job(ctx)
    distorted = head_fields.distortion(composer)
    silent = drawn_gap.silent_lips(composer, faces, timing["words"])
    return {
        "lip_dynamics": measures.lip_dynamics(faces),
        "silent_lip": silent.figure,
        "silent_seen": silent.seen,
        "brow": measures.brow(faces),
        "sync": measures.sync(faces, timing["words"], sound, rate),
        "head_motion": measures.head_motion(faces),
        "lag": shift,
        "contrast": contrast,
        "worst_gap": max(gaps),
        "mesh_gap": max(read),
        "drawn_gap": drawn_gap.worst_closure(composer, faces, timing["phones"]),
        "pop": mouth_pops.worst_pop(measures.frames_of(ctx.path("video.mp4")), faces).levels,
        "open_touches": float(sum(gap > CLOSED for gap in gaps)),
        "blinks": measures.blinks_per_minute(faces),
        **movement.movement(faces, timing["phones"]),
        "determinant": distorted.determinant,
        "least": distorted.least,
        "most": distorted.most,
    }


#: Figures whose worst value over the sentences counts: the function that finds it.
_WORST: dict[str, Callable[[list[float]], float]] = {
    "lag": lambda values: max(values, key=abs), "worst_gap": max, "mesh_gap": max, "drawn_gap": max, "pop": max, "gap_max": max,
    "blink": min, "jaw_speed": max, "determinant": min, "least": min, "most": max,
}  # fmt: skip


def mean(parts: list[Figures]) -> Figures:
    """Means, but the worst value of some."""
    found = {
        name: float(np.nanmean(values)) for name in parts[0] if not np.isnan(values := [p[name] for p in parts]).all()
    }
    return {**dict.fromkeys(parts[0], float("nan")), **found,
            **{name: float(worst([part[name] for part in parts])) for name, worst in _WORST.items()}}  # fmt: skip


def judge(picture: Path, size: int, out: Path, seed: int) -> tuple[Figures, Figures, list[str]] | str:
    """Mean figures over the sentences, those of the control, which is judged by the other sentence's sound, and the names of the
    contact sheets; or why there are none.
    """
    with tempfile.TemporaryDirectory() as scratch:
        runner = StageRunner(Path(scratch))
        try:
            jobs = [
                runner.make(f"{picture.stem}-{i}", picture, text=text, size=f"{size}x{size}", motion={"seed": seed + i})
                for i, text in enumerate(SENTENCES)
            ]
            faces = [measures.faces_of(ctx.path("video.mp4")) for ctx in jobs]
            sheets = Sheet(runner, picture, seed).write(out)
        except JobError as exc:
            return f"{picture.name}: refused, {exc.code}: {exc.message}"
        except ValueError as exc:
            return f"{picture.name}: cannot be measured, {exc}"
        own = [figures(ctx, seen, ctx) for ctx, seen in zip(jobs, faces, strict=True)]
        shuffled = [figures(ctx, seen, other) for ctx, seen, other in zip(jobs, faces, jobs[::-1], strict=True)]
        return goals.scored(mean(own)), goals.scored(mean(shuffled)), sheets


def same_bytes(runner: StageRunner, picture: Path) -> bool:
    """Return whether the same job gives the same file."""
    digests = set()
    for turn in range(2):
        ctx = runner.make(f"again-{turn}", picture, text="The same again, please.", size="512x512", motion={"seed": 1})
        digests.add(hashlib.sha256(ctx.path("video.mp4").read_bytes()).hexdigest())
    return len(digests) == 1


def moved_outside(runner: StageRunner, picture: Path) -> int:
    """Return pixels outside the face that ever change while the head is locked."""
    ctx = runner.make("locked", picture, ("face", "tts", "lipsync"), text=SENTENCES[0], size="512x512",
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


def known_shifts(runner: StageRunner, picture: Path) -> list[tuple[int, int]]:
    """(shift put in, lag found) for a good video whose frames are shifted on purpose."""
    ctx = runner.make("shifted", picture, text=SENTENCES[0], size="512x512", motion={"seed": SEED, "head": 0})
    faces = measures.faces_of(ctx.path("video.mp4"))
    phones = timing_of(ctx)["phones"]
    return [
        (by, measures.lag(replace(faces, full=np.roll(faces.full, by, axis=0)), phones)[0]) for by in (-4, -2, 0, 1, 3)
    ]


def made_up_heads(runner: StageRunner, picture: Path) -> dict[str, tuple[float, float]]:
    """Return the head's score, and THEval's, of a pure slide and of a pure turn over the same portrait.

    The slide travels as far and as fast as heads do, to give it what it can get. The turn is within the range of real videos.
    """
    ctx = runner.make("made-up", picture, ("face",), text=SENTENCES[0], size="512x512")
    portrait = cv2.imread(str(ctx.path("portrait.png")))
    assert portrait is not None
    record = json.loads(ctx.path("face.json").read_bytes())
    landmarks = np.array(record["landmarks"], np.float32)
    rig = load_measured_rig(runner.settings.paths.cache, np.ascontiguousarray(portrait[..., ::-1], np.uint8), record)
    figure = PreparedFigure(np.asarray(portrait, np.uint8), rig)
    eyes = [landmarks[list(upper), :2].mean(axis=0) for upper, _, _ in mesh.EYES]
    distance = float(np.linalg.norm(eyes[1] - eyes[0])) / rig.frame.face_width
    fps, time = 25, np.arange(150) / 25
    across, down = np.sin(2 * np.pi * 0.33 * time), np.sin(2 * np.pi * 0.5 * time)
    courses = {
        "slide": {"head_x": 0.085 * distance * across, "head_y": 0.09 * distance * down},
        "turn": {"head_yaw": 7 * across, "head_pitch": 9 * down},
    }
    found = {}
    for name, course in courses.items():
        values = np.zeros((len(time), len(PARAMETERS)), np.float32)
        for parameter, numbers in course.items():
            values[:, PARAMETERS.index(parameter)] = numbers
        composer = Composer(figure, MotionTrack(values, Fraction(fps), SEED))
        faces = measures.follow((frame.to_bgr() for frame in composer.frames()), fps)
        turned = movement.head_figures(movement.head_track(faces))
        theval = measures.score("head_motion", measures.head_motion(faces))
        found[name] = movement.head_score(turned), theval
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in turned.items()), flush=True)
    return found


def report(rows: dict[str, Figures], controls: dict[str, Figures], picture: Path) -> Iterator[str]:
    """Yield the lines of `results.md`."""
    yield goals.table(rows)
    yield f"\nhow much more open vowels are than P, B, M, of the outer eye corners' distance: {_mean_of(rows, 'contrast'):.3f}, "
    yield f"with another sound {_mean_of(controls, 'contrast'):.3f}; worst gap there {_mean_of(controls, 'worst_gap'):.3f}, "
    yield f"sync {_mean_of(controls, 'sync'):.2f}"
    with tempfile.TemporaryDirectory() as scratch:
        runner = StageRunner(Path(scratch))
        shifts = known_shifts(runner, picture)
        yield "\nlag found for shifts put in: " + ", ".join(f"{by:+d} → {found:+d}" for by, found in shifts)
        heads = made_up_heads(runner, picture)
        told = ", ".join(
            f"{name} {score:.2f} (THEval's pixel travel: {theval:.2f})" for name, (score, theval) in heads.items()
        )
        verdict = "the turn scores more" if heads["turn"][0] > heads["slide"][0] else "**THE SLIDE SCORES MORE**"
        yield f"\nhead's score of made-up movements: {told}: {verdict}"
        yield f"\npixels outside the face that change with the head locked: {moved_outside(runner, picture)}"
        yield f"\nsame job, same bytes: {same_bytes(runner, picture)}"
    yield "\n" + goals.each_portrait(rows)


def _mean_of(rows: dict[str, Figures], name: str) -> float:
    return float(np.nanmean([row[name] for row in rows.values()]))


def main() -> None:
    """Render and judge all portraits, write the results, and print those that miss a goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_portrait_options(parser)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    parser.add_argument("--size", type=int, default=720, help="side of the videos, px")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = portraits(args.places, args.portraits, args.random, args.seed, args.out, args.random_python)
    rows: dict[str, Figures] = {}
    controls: dict[str, Figures] = {}
    sheets: dict[str, list[str]] = {}
    refused: list[str] = []
    used: list[Path] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        work = partial(judge, size=args.size, out=args.out, seed=args.motion_seed)
        for picture, result in zip(pictures, pool.map(work, pictures), strict=True):
            if isinstance(result, str):
                refused.append(result)
                print(result, flush=True)
                continue
            rows[picture.stem], controls[picture.stem], sheets[picture.stem] = result
            used.append(picture)
            print(f"{picture.name}: done", flush=True)
            write_index(args.out, sheets, refused)
    if not used:
        raise SystemExit("no portrait was accepted")
    (args.out / "results.json").write_text(json.dumps({"own": rows, "control": controls, "refused": refused}, indent=1))
    with (args.out / "results.md").open("w", encoding="utf-8") as file:
        for line in chain(report(rows, controls, used[0]), refused):
            print(line, flush=True)
            print(line, file=file, flush=True)


if __name__ == "__main__":
    main()
