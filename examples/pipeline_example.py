"""Makes one video in the foreground, without a service: `python examples/pipeline_example.py [OUT.mp4]`.

Ctrl-C ends it; called again, it goes on where it was.
"""

from __future__ import annotations

import sys
from pathlib import Path

from daemon.client import JobStatus, render


def show(status: JobStatus) -> None:
    """Print one line for each change."""
    print(f"{status.state:8} {status.stage or '':8} {status.progress:4.0%}")


def main() -> int:
    """Make the video; returns the exit code."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "hello.mp4")
    portrait = Path(__file__).parent / "portrait.png"
    result = render("Hello there.", portrait, out, quality="draft", progress=show)
    if result.error is not None:
        print(f"{result.error.code}: {result.error.message} {result.error.hint}", file=sys.stderr)
        return 1
    print(result.output, "by the stages", ", ".join(result.stages_completed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
