"""Tile frames of a video into one picture, to look at: sheet.py VIDEO OUT [--columns 5 --rows 2 --crop W:H:X:Y --width 240]."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from stages.encode.formats.mp4_probe import probe_mp4
from stages.media.ffmpeg import ffmpeg_path


def main() -> None:
    """Write one picture of frames that are spread evenly over a video.

    Raises:
        SystemExit: the file has no picture.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--crop", help="W:H:X:Y in px")
    parser.add_argument("--width", type=int, default=240)
    args = parser.parse_args()
    video = probe_mp4(args.video).stream("video")
    if video is None:
        raise SystemExit(f"{args.video} has no picture")
    step = max(1, video.samples // (args.columns * args.rows))
    crop = f"crop={args.crop}," if args.crop else ""
    look = f"select='not(mod(n,{step}))',{crop}scale={args.width}:-2:flags=lanczos,tile={args.columns}x{args.rows}"
    subprocess.run(
        [
            str(ffmpeg_path()),
            "-v",
            "error",
            "-y",
            "-i",
            str(args.video),
            "-vf",
            look,
            "-frames:v",
            "1",
            "-q:v",
            "3",
            str(args.out),
        ],
        check=True,
    )


if __name__ == "__main__":
    main()
