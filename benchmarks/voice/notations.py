"""Are notations that people use (`$5–10`, `9am`) heard as meant? `python -m benchmarks.voice.notations` [voice [models]].

notations.txt has sentences with such a notation, and in words how they should be heard. Each is spoken through the stage that
jobs use and read back by the recogniser of voices.py; both sides are compared in the plain form of transcripts.py. What the
recogniser writes in figures of its own ("192.168.0.1" for "192 dot 168 ...") is put into words first. `\\n` is a new line. What
is not heard as meant is also spoken in those words: where the voice was given the same sounds for both, the text was read
rightly, and the recogniser errs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import stages.tts
from benchmarks.voice.transcripts import plain
from benchmarks.voice.voices import Listener, listener, texts
from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.tts.phonemes.english_words import is_english_word
from stages.tts.text.spoken_words import WordPreparer


def heard_as(text: str) -> list[str]:
    """Return a transcript in the plain form, its own figures said as ours are."""
    return plain(
        " ".join(WordPreparer("en", is_word=is_english_word).prepare(text.split()).words).replace("percent", "%")
    )


class Spoken(NamedTuple):
    """What was said.

    Attributes:
        heard: its transcript.
        sounds: the phonemes that the voice was given, without stress and blanks.
    """

    heard: str
    sounds: list[str]


def speak_and_hear(text: str, voice: str, settings: Settings, place: Path, ears: Listener) -> Spoken:
    """Speak a text, and transcribe it."""
    place.mkdir()
    manifest = Manifest.model_validate({"kind": "speech", "text": text, "voice": voice})
    stages.tts.run(Context("job-20260101T000000Z-00000000", "x", place, manifest, settings))
    phones = json.loads((place / "timing.json").read_bytes())["phones"]
    return Spoken(str(ears.hear(place / "speech.wav", None)["heard"]), [phone["phone"] for phone in phones])


def main() -> None:
    """Speak and recognise every sentence; prints those that are misheard, and how many are not."""
    voice = sys.argv[1] if len(sys.argv) > 1 else "hibari/heart"
    settings = Settings.model_validate({"paths": {"models": sys.argv[2]}} if len(sys.argv) > 2 else {})
    right = misheard = 0
    lines = [line.split(" => ") for line in texts("notations.txt")]
    with listener() as ears, tempfile.TemporaryDirectory() as folder:
        for number, (written, meant) in enumerate(lines):
            place = Path(folder) / f"{number:02d}"
            said = speak_and_hear(written.replace("\\n", "\n"), voice, settings, place, ears)
            if heard_as(said.heard) == heard_as(meant):
                right += 1
                continue
            in_words = speak_and_hear(meant, voice, settings, place.with_suffix(".words"), ears)
            same = said.sounds == in_words.sounds
            misheard += same
            told = f"  (the same sounds as the words themselves, heard as: {in_words.heard})" if same else ""
            print(f"{written}\n  heard: {said.heard}{told}")
    print(
        f"{voice}: {right} of {len(lines)} heard as they are meant, {misheard} misheard with the sounds of their words"
    )


if __name__ == "__main__":
    main()
