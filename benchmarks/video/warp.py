"""What the warp engine's frames cost before encoding: `python -m benchmarks.video.warp [--sizes 512 720 1080] [--rounds 60]`.

With `--device cuda` (or `cpu`, torch's own) also what they cost with the figure sampled by torch there, in wall time.
With `--before TREE` the drawing of that checkout of this repository beside that of this one, by turns, and nothing else: issue 14
was written on commit d814779 (`git worktree add TREE d814779`).

Ours beside two others, measured by turns in one run, in CPU time of one thread: the same composer sampling BGRA by cubic
interpolation, as it did until 0.1.0, and the usual way, with the face as triangles between its landmarks, each with an affine map
of its own, drawn as a label for every pixel, and the picture sampled through the maps. "Sampling alone" is ours / cubic without
what both share: fields, eyes and mouth, which the same composer takes when it samples nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import PORTRAIT, ROOT
from benchmarks.programs import start_program
from benchmarks.stage_runner import StageRunner
from benchmarks.video.quality import SENTENCES
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.ffmpeg_command import FrameSource
from stages.encode.field_warp import FigureSampler
from stages.encode.planes import PlanarFrame
from stages.face.sampling import sample
from stages.lipsync.motion_track import MotionTrack

#: How many times as fast as cubic BGRA, and as commit d814779.
GOALS = {512: 2.5, 720: 3.0, 1080: 3.0}
#: Frames that a checkout draws before it is the other one's turn.
TURN = 12


class CubicBgra:
    """Samples the whole block of the figure as BGRA by cubic interpolation, and composes it over the background."""

    def __init__(self, composer: Composer) -> None:
        own = composer._sampler
        assert isinstance(own, FigureSampler)
        self._box, self._step = own.box, own._step
        self._figure = composer.figure
        self._background = np.ascontiguousarray(composer.background.frame.to_bgr()[self._box])
        rows, columns = self._box
        x, y = np.meshgrid(
            np.arange(columns.start, columns.stop, dtype=np.float32), np.arange(rows.start, rows.stop, dtype=np.float32)
        )
        self._points = np.dstack([x, y])

    def draw(self, backward: npt.NDArray[np.float32], frame: PlanarFrame) -> None:
        """Draw one frame, as the composer's own method does.

        Args:
            backward: where each node of the grid is sampled, as an offset in px, [rows, columns, 2].
            frame: the frame to be drawn into.
        """
        fine = cv2.resize(backward, None, fx=self._step, fy=self._step, interpolation=cv2.INTER_LINEAR)
        places = fine[: self._points.shape[0], : self._points.shape[1]] + self._points
        figure = sample(self._figure, places, cv2.INTER_CUBIC)
        through = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(figure, 3)), cv2.COLOR_GRAY2BGR)
        behind = cv2.multiply(self._background, through, scale=1 / 255)
        cv2.add(cv2.cvtColor(figure, cv2.COLOR_BGRA2BGR), behind)


class NoSampling:
    """Samples nothing, so that a frame costs only its fields, eyes and mouth, which both ways of sampling share."""

    def draw(self, backward: npt.NDArray[np.float32], frame: PlanarFrame) -> None:
        """Draw nothing; arguments as of the composer's own method."""


class Triangles:
    """The usual way: no hair, no background, no interior of the mouth; only the warp."""

    def __init__(self, portrait: npt.NDArray[np.uint8], landmarks: npt.NDArray[np.float32]) -> None:
        self._portrait = portrait
        height, width = portrait.shape[:2]
        edge = [(x, y) for x in (0, width // 2, width - 1) for y in (0, height // 2, height - 1)]
        inside = np.clip(landmarks[:468, :2], 1, [width - 2, height - 2])
        self._points = np.concatenate([inside, np.array(edge, np.float32)]).astype(np.float32)
        plan = cv2.Subdiv2D((0, 0, width, height))
        index = {}
        for number, point in enumerate(self._points):
            plan.insert((float(point[0]), float(point[1])))
            index[tuple(np.round(point, 2))] = number
        corners = np.round(np.asarray(plan.getTriangleList(), np.float32).reshape(-1, 3, 2), 2)
        found = [[index.get(tuple(corner), -1) for corner in triangle] for triangle in corners]
        self._triangles = np.array([triangle for triangle in found if min(triangle) >= 0])
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._homogeneous = np.dstack([x, y, np.ones_like(x)])

    def frame(self, shift: float) -> npt.NDArray[np.uint8]:
        """Return one frame with every landmark moved a little."""
        moved = self._points + np.float32(shift) * np.sin(self._points[::-1] / 40)
        moved[-9:] = self._points[-9:]
        labels = np.zeros(self._portrait.shape[:2], np.int32)
        maps = np.zeros((len(self._triangles) + 1, 2, 3), np.float32)
        maps[0] = [[1, 0, 0], [0, 1, 0]]
        for number, triangle in enumerate(self._triangles, start=1):
            maps[number] = cv2.getAffineTransform(moved[triangle], self._points[triangle])
            cv2.fillConvexPoly(labels, np.round(moved[triangle]).astype(np.int32), (number,))
        places = np.einsum("yxij,yxj->yxi", maps[labels], self._homogeneous)
        return np.asarray(sample(self._portrait, np.ascontiguousarray(places), cv2.INTER_CUBIC), np.uint8)


class CheckoutDrawing:
    """A process that draws frames of a checkout; see `frame_costs.py`. Use it as a context manager."""

    def __init__(self, tree: Path, portrait: Path) -> None:
        program = Path(__file__).with_name("frame_costs.py")
        # -P: or the program's own folder would come before the checkout.
        command = [sys.executable, "-P", program, portrait.resolve(), SENTENCES[0]]
        environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = start_program(command, cwd=tree, env=environment, **pipes)

    def __enter__(self) -> CheckoutDrawing:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def costs(self, size: int, count: int) -> list[float]:
        """Return the processor time of the next so many frames, s."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{size} {count}\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise SystemExit("The program that draws ended: its error is above.")
        times: list[float] = json.loads(line)
        return times


def beside(before: Path, portrait: Path, sizes: list[int], rounds: int) -> None:
    """Print the frames per second of another checkout and of this one, by turns."""
    print("\n| px | before, frames/s | now, frames/s | times as fast | goal | by the mean |\n" + "|---" * 6 + "|")
    with ExitStack() as stack:
        trees = [stack.enter_context(CheckoutDrawing(tree, portrait)) for tree in (before, ROOT)]
        for size in sizes:
            times: tuple[list[float], list[float]] = ([], [])
            for tree in trees:
                tree.costs(size, TURN)  # not counted: with the job that is drawn
            for number in range(-(-rounds // TURN)):
                for side in (0, 1) if number % 2 else (1, 0):
                    times[side].extend(trees[side].costs(size, TURN))
            (old, own), means = map(statistics.median, times), [*map(statistics.fmean, times)]
            goal = f"≥ {GOALS[size]:g}" if size in GOALS else ""
            print(
                f"| {size} | {1 / old:.0f} | {1 / own:.0f} | {old / own:.2f} | {goal} | {means[0] / means[1]:.2f} |",
                flush=True,
            )


def timed(step: Callable[[], object]) -> float:
    """Return the CPU time of a call in this thread, s."""
    started = time.thread_time()
    step()
    return time.thread_time() - started


def endless(composer: Composer) -> Iterator[PlanarFrame]:
    """Yield the frames of a job, again from the first after the last."""
    while True:
        yield from composer.frames()


def on_device(ctx: Context, device: str) -> Iterator[PlanarFrame]:
    """Yield the frames of a job whose figure torch samples."""
    from stages.encode.device.frames import DeviceFrames

    def failed(first: int) -> FrameSource:
        raise RuntimeError(f"the device failed at frame {first}: {', '.join(ctx.warnings)}")

    frames = DeviceFrames(Composer.for_job(ctx), device, device, failed, ctx.warnings.append)
    while True:
        yield from frames.frames()


def main() -> None:
    """Measure each size, and print the frames per second of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 720, 1080])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--portrait", type=Path, default=PORTRAIT)
    parser.add_argument("--device", help="torch's name of a device, such as cuda")
    parser.add_argument("--before", type=Path, metavar="TREE", help="compare with this checkout alone")
    args = parser.parse_args()
    if args.before:
        beside(args.before, args.portrait, args.sizes, args.rounds)
        return
    print(
        "\n| px | ours, frames/s | cubic BGRA | triangles | ours / cubic | goal | sampling alone | ours / triangles |\n"
        + "|---" * 8
        + "|"
    )
    with tempfile.TemporaryDirectory() as scratch:
        runner = StageRunner(Path(scratch))
        for size in args.sizes:
            ctx = runner.make(f"at-{size}", args.portrait, ("face", "tts", "lipsync"), text=SENTENCES[0],
                            size=f"{size}x{size}", motion={"seed": 1})  # fmt: skip
            portrait = cv2.imread(str(ctx.path("portrait.png")))
            assert portrait is not None
            landmarks = np.array(json.loads(ctx.path("face.json").read_bytes())["landmarks"], np.float32)
            usual = Triangles(np.asarray(portrait, np.uint8), landmarks)
            before = Composer.for_job(ctx)
            before._sampler = CubicBgra(before)  # type: ignore[assignment]
            rest = Composer.for_job(ctx)
            rest._sampler = NoSampling()  # type: ignore[assignment]
            ways = [endless(composer) for composer in (Composer.for_job(ctx), before, rest)]
            elsewhere = on_device(ctx, args.device) if args.device else None
            count = len(MotionTrack.load(ctx.path("motion.npz")).values)
            cv2.setNumThreads(1)
            times: tuple[list[float], ...] = ([], [], [], [])
            walls = []
            for number in range(min(args.rounds, count)):
                for spent, frames in zip(times, ways, strict=False):
                    spent.append(timed(frames.__next__))
                if elsewhere:
                    started = time.perf_counter()
                    next(elsewhere)
                    walls.append(time.perf_counter() - started)
                if number % 4 == 0:
                    times[3].append(timed(partial(usual.frame, 2.0)))
            own, cubic, shared, triangles = map(statistics.median, times)
            goal = f"≥ {GOALS[size]:g}" if size in GOALS else ""
            print(
                f"| {size} | {1 / own:.0f} | {1 / cubic:.0f} | {1 / triangles:.1f} | {cubic / own:.1f} | {goal} "
                f"| {(cubic - shared) / (own - shared):.1f} | {triangles / own:.0f} |",
                flush=True,
            )
            if walls:
                print(f"  torch on {args.device}: {1 / statistics.median(walls):.0f} frames/s", flush=True)


if __name__ == "__main__":
    main()
