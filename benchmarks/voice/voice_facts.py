"""Pitch and pace of every installed voice of an engine: `python -m benchmarks.voice.voice_facts` [engine], by default kokoro.

Each voice speaks the plain sentences of its language (stages/tts/engines/plain_sentences.py) through the stage that jobs use. The
pitch is the median of the voiced 10 ms in Hz; the pace is words a minute, pauses included, where words have blanks between them.
Prints `name: (Hz, words a minute)`, as in stages/tts/engines/kokoro/voice_facts.py.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import stages.tts
from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.media.wav import read_wav_blocks
from stages.tts.engines.base import Voice, primary_language
from stages.tts.engines.plain_sentences import sentences_in
from stages.tts.engines.voices import list_voices
from stages.tts.profiles.quality import measure_quality

#: Languages without blanks between words.
UNSPACED = frozenset({"ja", "zh"})


def measure_voice(voice: Voice, settings: Settings, place: Path) -> tuple[int, int]:
    """Return the pitch in Hz and the words a minute, 0 where the language has no blanks."""
    language = voice.languages[0]
    text = sentences_in(language)
    manifest = Manifest.model_validate({"kind": "speech", "text": text, "voice": voice.id, "language": language})
    stages.tts.run(Context("job-20260101T000000Z-00000000", "x", place, manifest, settings))
    timing = json.loads((place / "timing.json").read_bytes())
    samples = np.concatenate(list(read_wav_blocks(place / "speech.wav"))).ravel()
    spoken_s = timing["words"][-1]["end"] - timing["words"][0]["start"]
    pace = 0 if primary_language(language) in UNSPACED else round(60 * len(timing["words"]) / spoken_s)
    return round(measure_quality(samples, timing["sample_rate"]).pitch_hz), pace


def main() -> None:
    """Measure every installed voice of the engine, and print a line of Python for each."""
    engine = sys.argv[1] if len(sys.argv) > 1 else "kokoro"
    settings = Settings.model_validate({"paths": {"models": sys.argv[2]}} if len(sys.argv) > 2 else {})
    with tempfile.TemporaryDirectory() as folder:
        for voice in list_voices(settings):
            if voice.engine == engine and voice.installed:
                place = Path(folder) / voice.name
                place.mkdir()
                pitch, pace = measure_voice(voice, settings, place)
                print(f'"{voice.model.stem or voice.name}": ({pitch}, {pace}),', flush=True)


if __name__ == "__main__":
    main()
