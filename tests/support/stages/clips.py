"""Small media files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stages.media.ffmpeg import ffmpeg_path


def make_clip(path: Path) -> Path:
    """Write an MP4 of one second, 192x108, 25 frames a second, with sound; returns its path."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=192x108:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1"]
    command = [ffmpeg_path(), "-v", "error", *source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-y", str(path)]
    subprocess.run(command, check=True)
    return path
