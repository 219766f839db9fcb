"""Makes one video in the foreground, without a service: `python examples/pipeline_example.py [OUT.mp4]`.

Ctrl-C ends it; called again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daemon.client import AvatarError, JobStatus, render


def show(status: JobStatus) -> None:
    """Print one line for each change."""
    print(f"{status.state:8} {status.stage or '':8} {status.progress:4.0%}")


def main() -> int:
    """Make the video; returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes one video in the foreground, without a service.")
    parser.add_argument("out", nargs="?", type=Path, default=Path("hello.mp4"), help="the file to write")
    out = parser.parse_args().out
    portrait = Path(__file__).parent / "portrait.png"
    try:
        result = render("Hello there.", portrait, out, quality="draft", progress=show)
    except (AvatarError, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    if result.error is not None:
        print(f"{result.error.code}: {result.error.message} {result.error.hint}", file=sys.stderr)
        return 1
    print(result.output, "by the stages", ", ".join(result.stages_completed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
