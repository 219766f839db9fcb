"""Hands in a job by HTTP, follows it and fetches its result: `python examples/api_example.py [http://127.0.0.1:8000 [API-KEY]]`.

It needs nothing but Python. The server is started by `avatar server start`.
"""

from __future__ import annotations

import json
import sys
import time
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
    """Hand in the job; returns the exit code."""
    base = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")
    key = sys.argv[2] if len(sys.argv) > 2 else ""
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
