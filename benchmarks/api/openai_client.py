"""Run by benchmarks/api/speech.py inside its throw-away environment: asks for speech by OpenAI's own client.

Arguments: address of the door, form, number of sentences. Standard output: for each, JSON with the seconds to the first bytes
of the sound (`first_s`) and to the last (`whole_s`), its bytes, and the id of its job.
"""

from __future__ import annotations

import json
import sys
import time

import openai


def main() -> None:
    """Ask for every sentence, one after another; each is a new one."""
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
    assert "tts-1" in [model.id for model in client.models.list()]
    for number in range(int(sys.argv[3])):
        began = time.monotonic()
        text = f"The train on platform {number} leaves in a moment."  # about 3 s
        with client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="alloy",
            input=text,
            response_format=sys.argv[2],
        ) as answer:
            pieces = answer.iter_bytes(4096)
            size = len(next(pieces))
            first = time.monotonic() - began
            size += sum(map(len, pieces))
            job = answer.headers["x-avatard-job"]
        told = {"first_s": first, "whole_s": time.monotonic() - began, "bytes": size, "job": job}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
