"""Hands in two jobs to the service, follows them, and lists what there is: `python examples/queue_example.py [CONFIG.yaml]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daemon.client import AvatarError, Client


def main() -> int:
    """Make the jobs, and say what is refused; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Hands in two jobs to the service, follows them, and lists what there is."
    )
    parser.add_argument("config", nargs="?", help="its configuration; by default the one at the usual places")
    try:
        return make_jobs(Client(parser.parse_args().config))
    except AvatarError as exc:
        print(exc, file=sys.stderr)
        return 1


def make_jobs(client: Client) -> int:
    """Hand in the jobs and wait for them; returns the exit code."""
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
