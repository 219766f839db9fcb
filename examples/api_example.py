"""Hands in a job by HTTP, follows it and fetches its result.

`python examples/api_example.py [http://127.0.0.1:8000 [API-KEY]]` needs nothing but Python. The server is started by
`avatar server start`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin


def call(url: str, key: str, body: bytes | None = None, **headers: str) -> tuple[bytes, str]:
    """Send a request; returns the body of the answer, and its `Location`."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, {**given, **({"Authorization": f"Bearer {key}"} if key else {})})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read(), urljoin(answer.url, answer.headers.get("Location", ""))


def main() -> int:
    """Hand in the job, and say what the server refuses; returns the exit code."""
    parser = argparse.ArgumentParser(description="Hands in a job by HTTP, follows it and fetches its result.")
    parser.add_argument("server", nargs="?", default="http://127.0.0.1:8000", help="address of the server")
    parser.add_argument("key", nargs="?", default="", help="API key, where the server asks for one")
    given = parser.parse_args()
    if not given.server.startswith(("http://", "https://")):
        parser.error(f"{given.server} is no address such as http://127.0.0.1:8000")
    try:
        return make_video(given.server.rstrip("/"), given.key)
    except urllib.error.HTTPError as exc:
        if exc.headers.get_content_type() != "application/problem+json":
            print(exc, file=sys.stderr)
            return 1
        problem = json.loads(exc.read())
        print(f"{problem['code']}: {problem['detail']} {problem['hint']}", file=sys.stderr)
    except urllib.error.URLError as exc:
        print(f"{given.server}: {exc.reason}. `avatar server start` starts the server.", file=sys.stderr)
    return 1


def make_video(base: str, key: str) -> int:
    """Hand in the job, follow it and fetch the video; returns the exit code."""
    portrait = Path(__file__).parent / "portrait.png"
    # The portrait first, then as many jobs with it as are wanted.
    told, _ = call(f"{base}/uploads?filename=portrait.png", key, portrait.read_bytes())
    manifest = {"text": "Hello there.", "image": json.loads(told)["ref"], "quality": "draft"}
    # The key makes it safe to send this again: the same key with the same body is the same job.
    _, job = call(
        f"{base}/jobs",
        key,
        json.dumps(manifest).encode(),
        Content_Type="application/json",
        Idempotency_Key="api-example-1",
    )
    while True:
        status: dict[str, Any] = json.loads(call(job, key)[0])
        print(status["state"], status.get("stage") or "", f"{status['progress']:.0%}")
        if status["state"] in ("done", "failed", "cancelled"):
            break
        time.sleep(1)
    if status["state"] != "done":
        print(status["error"]["message"], status["error"]["hint"])
        return 1
    video = Path("api-example.mp4")
    video.write_bytes(call(urljoin(job, status["links"]["result"]), key)[0])
    print(video)
    return 0


if __name__ == "__main__":
    sys.exit(main())
