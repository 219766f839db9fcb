"""Kokoro's voices in languages that espeak-ng reads: `python -m benchmarks.voice.languages` [--languages fr,es] [--voices siwis].

No package has a recogniser for them, so how well they are understood is not measured. Each says ten sentences (languages.txt):
  - real-time factor, loudness (mean) and true peak (highest);
  - stops: between two vowels with one P, T or K, the quietest moment should lie inside that sound's time. How often it does,
    and how far away it is on average where it does not. It needs no model, and shows times that do not belong to the sound;
  - word starts against forced alignment by soundswallower's own models and dictionaries, which it has for French and English;
  - forced: how far the starts of words are from the engine's own where they are looked for as in a recording that is brought
    (stages/tts/alignment/forced.py, one American model for all), and how many are not found.
The English default voice, saying ten sentences of plain.txt, stands first, for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundswallower

import stages.tts
from benchmarks.voice.voices import sound_figures, texts
from daemon.config.settings import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.lipsync.visemes import VOWELS
from stages.media.ffmpeg import ffmpeg_path
from stages.tts.alignment.forced import align_file
from stages.tts.engines.base import primary_language
from stages.tts.engines.voices import list_voices
from stages.tts.timing import UNKNOWN_PHONE, step_levels

MODELS = {"fr": "fr-fr", "en": "en-us"}
RATE = 16_000
#: The aligner names a frame by its first sample; its window of 25.6 ms is centred behind it. s
FRAME_CENTRE_S = 0.0128


def speak(voice: str, language: str, sentences: Sequence[str], folder: Path, models: Path) -> float:
    """Say each sentence into a folder of its number; returns the time it took over the length of the speech."""
    settings = Settings.model_validate({"paths": {"models": str(models)}})
    spent = said = 0.0
    for number, text in enumerate(sentences):
        place = folder / str(number)
        place.mkdir()
        manifest = Manifest.model_validate({"kind": "speech", "text": text, "voice": voice, "language": language})
        began = time.perf_counter()
        facts = stages.tts.run(Context("job-20260101T000000Z-00000000", "x", place, manifest, settings))
        if number:  # the first one loads the network
            spent, said = spent + time.perf_counter() - began, said + facts["audio_s"]
    return spent / said


def heard(wav: Path) -> bytes:
    """16-bit mono at RATE."""
    command = [ffmpeg_path(), "-v", "error", "-i", str(wav), "-ar", str(RATE), "-ac", "1", "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def stops(wav: Path, timing: dict[str, Any]) -> list[float]:
    """For each P, T, K between vowels how far the quietest moment is from the sound's own time, in s; 0 inside it."""
    samples = np.frombuffer(heard(wav), "<i2").astype(np.float32) / 32768
    level = step_levels(samples, RATE)  # one for each 10 ms
    away = []
    for before, stop, after in zip(timing["phones"], timing["phones"][1:], timing["phones"][2:], strict=False):
        joined = before["end"] == stop["start"] and stop["end"] == after["start"]
        if stop["phone"] in "ptk" and before["phone"] in VOWELS and after["phone"] in VOWELS and joined:
            first = round(50 * (before["start"] + before["end"]))
            last = round(50 * (after["start"] + after["end"]))
            quiet = (first + int(level[first:last].argmin()) + 0.5) / 100
            away.append(max(0.0, stop["start"] - quiet, quiet - stop["end"]))
    return away


class Aligner:
    """One of soundswallower's models with its dictionary."""

    def __init__(self, language: str) -> None:
        model = soundswallower.get_model_path(MODELS[language])
        self._decoder = soundswallower.Decoder(hmm=model, loglevel="ERROR", logfn=os.devnull, bestpath=False)

    def starts(self, sound: bytes, text: str) -> list[float]:
        """When each word begins, in s."""
        self._decoder.set_align_text(" ".join(words_of(text)))
        self._decoder.start_utt()
        self._decoder.process_raw(sound, full_utt=True)
        self._decoder.end_utt()
        return [seg.start + FRAME_CENTRE_S for seg in self._decoder.seg if not seg.text.startswith(("<", "[", "("))]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without figures and punctuation."""
    return re.findall(r"[^\W\d_]+", text.casefold())


def row(voice: str, language: str, sentences: Sequence[str], models: Path) -> str:
    """Return one line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        factor = speak(voice, language, sentences, folder, models)
        away: list[float] = []
        starts: list[float] = []
        forced: list[float] = []
        lost = 0
        aligner = Aligner(language) if language in MODELS else None
        for number, text in enumerate(sentences):
            wav = folder / str(number) / "speech.wav"
            timing = json.loads(wav.with_name("timing.json").read_text())
            away += stops(wav, timing)
            places = {
                p.word: p.start for p in reversed(align_file(wav, text.split(), language)) if p.phone != UNKNOWN_PHONE
            }
            lost += len(timing["words"]) - len(places)
            forced += [places[at] - word["start"] for at, word in enumerate(timing["words"]) if at in places]
            if aligner is not None:
                found = aligner.starts(heard(wav), text)
                parts = [number for number, word in enumerate(timing["words"]) for _ in words_of(word["text"])]
                firsts = [at for at, number in enumerate(parts) if not at or parts[at - 1] != number]
                own = [word["start"] for word in timing["words"] if words_of(word["text"])]
                if len(found) == len(parts):  # "pouvez-vous" is two words to the aligner
                    starts += [start - found[at] for start, at in zip(own, firsts, strict=True)]
                else:
                    print(f"not aligned: {text}", file=sys.stderr)
        figures = [sound_figures(folder / str(number) / "speech.wav") for number in range(len(sentences))]
    inside = [distance == 0 for distance in away]
    far = [distance for distance in away if distance > 0]
    mean = f"; the others {1000 * np.mean(far):.0f} ms off" if far else ""
    cells = [
        f"{language} {voice}",
        f"{factor:.2f}",
        f"{np.mean([one['lufs'] for one in figures]):.1f}",
        f"{max(one['true_peak_db'] for one in figures):.1f}",
        f"{sum(inside)} of {len(away)}{mean}",
        spread(starts),
        f"{spread(forced)}, {lost} not found",
    ]
    return f"| {' | '.join(cells)} |"


def spread(off: Sequence[float]) -> str:
    """Mean distance, and the one that 95 of 100 do not exceed."""
    if not off:
        return "–"
    return f"{1000 * np.mean(np.abs(off)):.0f} ms, 95 %: {1000 * np.quantile(np.abs(off), 0.95):.0f} ({len(off)} words)"


def main() -> None:
    """Measure the wanted voices, and print a row for each."""
    parser = argparse.ArgumentParser(description="See the top of this file.")
    parser.add_argument("--languages", default="es,fr,hi,it,pt", help="parted by commas")
    parser.add_argument("--voices", default="", help="names, parted by commas; default: all of those languages")
    parser.add_argument("--models", type=Path, default=Settings().paths.models, help="where model files are")
    options = parser.parse_args()
    models, wanted = options.models.resolve(), options.languages.split(",")
    lines = [line.partition(" ") for line in texts("languages.txt")]
    known = list_voices(Settings.model_validate({"paths": {"models": str(models)}}))
    print("| voice | time / speech | LUFS | dBTP | stops in their time | word starts | forced |")
    print("|---|---|---|---|---|---|---|")
    print(row("hibari/heart", "en", texts("plain.txt"), models), flush=True)
    for language in wanted:
        sentences = [text for spoken, _, text in lines if spoken == language]
        for voice in known:
            asked = not options.voices or any(map(voice.is_called, options.voices.casefold().split(",")))
            if (
                voice.engine == "kokoro"
                and primary_language(voice.languages[0]) == language
                and voice.installed
                and asked
            ):
                print(row(voice.id, language, sentences, models), flush=True)


if __name__ == "__main__":
    main()
