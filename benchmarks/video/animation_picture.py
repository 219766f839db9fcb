"""Makes the picture of docs/animation.md: `python -m benchmarks.video.animation_picture [PICTURE] [--out docs/animation.jpg]`.

Shows moments of one video without captions: six faces (rest, widest open, P/B/M twice, round twice) above four heads (turned to
both sides, up and down). Run it after a change of the animation, and look at the result before it is committed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.stage_runner import SEED, StageRunner
from benchmarks.video.contact_sheets import Sheet
from benchmarks.video.tiles import Picture, around
from stages.face import mesh

#: Width of the picture, px; faces beside each other, and heads.
WIDTH, FACES, HEADS = 1800, 6, 4
_QUALITY = 82


def animation_picture(sheet: Sheet) -> Picture:
    """Lay the faces and the heads of a portrait in two rows, BGR uint8."""
    points = sheet.faces.full[0]
    face, head = around(points, mesh.OVAL, 1.15, 1.25), around(points, mesh.OVAL, 1.8, 1.0)
    rows = (
        [sheet.cut(moment, face, WIDTH // FACES) for moment in sheet.moments.mouth[:FACES]],
        [sheet.cut(moment, head, WIDTH // HEADS) for moment in sheet.moments.head[:HEADS]],
    )
    return np.vstack([np.hstack(row) for row in rows])


def main() -> None:
    """Render the video and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, nargs="?", default=Path("examples/portrait.png"))
    parser.add_argument("--out", type=Path, default=Path("docs/animation.jpg"))
    parser.add_argument("--motion-seed", type=int, default=SEED, help="seed of the movement")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        picture = animation_picture(Sheet(StageRunner(Path(scratch)), args.picture, args.motion_seed))
    cv2.imwrite(str(args.out), picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    print(f"{args.out}: {picture.shape[1]}x{picture.shape[0]} px, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
