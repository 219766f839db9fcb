"""Hands in two jobs to the service, follows them, and lists what there is: `python examples/queue_example.py [CONFIG.yaml]`."""

from __future__ import annotations

import sys
from pathlib import Path

from daemon.client import Client


def main() -> int:
    """Hand in the jobs; returns the exit code."""
    client = Client(sys.argv[1] if len(sys.argv) > 1 else None)
    portrait = Path(__file__).parent / "portrait.png"
    # The key makes it safe to run this again: the same key is the same job.
    video = client.submit(text="Hello there.", image=portrait, quality="draft", key="example-video")
    speech = client.submit({"kind": "speech", "text": "Good morning."}, key="example-speech")
    for status in video.events(timeout=3600):
        print(f"{video.name}: {status.state} {status.stage or ''} {status.progress:.0%}")
    results = [job.wait(timeout=3600) for job in (video, speech)]
    for result in results:
        print(result.output if result.success else f"{result.state}: {result.error}")
    for status in client.list(state="done", limit=10):
        print(status.job, status.name, status.finished)
    print(client.stats())
    return 0 if all(result.success for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
