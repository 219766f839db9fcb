"""Run by benchmarks/api/speech.py as a process of its own: asks for speech by OpenAI's own client.

Arguments: address of the door, form, number of texts, sentences of each. Standard output: for each, JSON with the seconds to the
first bytes of the sound (`first_s`) and to the last (`whole_s`), its bytes, and the `status` of its job when that has ended.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import Any, cast

import openai

from daemon.doors.http.openai.speech_request import SpeechForm


def ended(address: str) -> Any:
    """Return the status of a job when it has ended: the sound of a long text is whole before that."""
    while True:
        with urllib.request.urlopen(address) as answer:
            status = json.load(answer)
        if status["state"] in ("done", "failed"):
            return status
        time.sleep(0.05)


def main() -> None:
    """Ask for every text, one after another; each is a new one."""
    form = cast("SpeechForm", sys.argv[2])
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
    assert "tts-1" in [model.id for model in client.models.list()]
    for number in range(int(sys.argv[3])):
        began = time.monotonic()
        length = int(sys.argv[4])
        text = " ".join(
            f"The train on platform {number * length + one} leaves in a moment." for one in range(length)
        )  # 3 s each
        with client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="alloy",
            input=text,
            response_format=form,
        ) as answer:
            pieces = answer.iter_bytes(4096)
            size = len(next(pieces))
            first = time.monotonic() - began
            size += sum(map(len, pieces))
            job = answer.headers["x-avatard-job"]
        told = {"first_s": first, "whole_s": time.monotonic() - began, "bytes": size}
        told["status"] = ended(f"{sys.argv[1].removesuffix('/v1')}/jobs/{job}")
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
