"""Run by benchmarks/voice/voices.py inside its throw-away environment: reads 16 kHz WAVs, tells what is said in them and when.

Standard input: one JSON object a line, {"wav": path, "words": [...] or null}. Standard output: {"heard": text} for each, with
{"starts": [s, ...]} where words are given and all of them are in the aligner's dictionary.
"""

from __future__ import annotations

import json
import sys
import wave
from typing import Any

import moonshine_voice
import numpy as np
from moonshine_voice.transcriber import Transcriber
from pocketsphinx import Decoder

#: A frame of the aligner is named by its first sample; its window of 25.6 ms is centred behind it. s
FRAME_CENTRE_S = 0.0128


def main() -> None:
    """Answer every line of the standard input, until it ends."""
    model = f"{moonshine_voice.get_assets_path()}/tiny-en"
    recogniser = Transcriber(model, moonshine_voice.ModelArch.TINY)
    aligner = Decoder(lm=None, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80)
    for line in sys.stdin:
        job = json.loads(line)
        with wave.open(job["wav"]) as file:
            pcm = file.readframes(file.getnframes())
        samples = (np.frombuffer(pcm, "<i2") / 32768.0).tolist()
        lines = recogniser.transcribe_without_streaming(samples, 16_000).lines
        answer: dict[str, Any] = {"heard": " ".join(str(line.text) for line in lines)}
        if job["words"]:
            answer["starts"] = starts(aligner, pcm, job["words"])
        print(json.dumps(answer), flush=True)


def starts(aligner: Any, pcm: bytes, words: list[str]) -> list[float] | None:
    """Return when each word starts, s; None if a word is not in the aligner's dictionary, or the words are not found.

    `pcm`: 16-bit samples at 16 kHz.
    """
    if any(aligner.lookup_word(word) is None for word in words):
        return None
    aligner.set_align_text(" ".join(words))
    aligner.start_utt()
    aligner.process_raw(pcm, full_utt=True)
    aligner.end_utt()
    found = [s.start_frame / 100 + FRAME_CENTRE_S for s in aligner.seg() or () if not s.word.startswith(("<", "["))]
    return found if len(found) == len(words) else None


if __name__ == "__main__":
    main()
