"""Are the shapes that people write heard as they are meant? `python -m benchmarks.shapes` [voice].

shapes.txt has sentences with such a shape, and in words how they should be heard. Each is spoken through the stage that jobs
use and read back by the recogniser of benchmarks/voices.py; both sides are compared in the plain form of transcripts.py. What the
recogniser writes in figures of its own ("192.168.0.1" for "192 dot 168 ...") is put into words first.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import stages.tts
from benchmarks.transcripts import plain
from benchmarks.voices import listener, texts
from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.tts.text.spoken_words import WordPreparer


def heard_as(text: str) -> list[str]:
    """Return a transcript in the plain form, its own figures said as ours are."""
    return plain(" ".join(WordPreparer("en").prepare(text.split()).words).replace("percent", "%"))


def main() -> None:
    voice = sys.argv[1] if len(sys.argv) > 1 else "hibari/heart"
    right = 0
    lines = [line.split(" => ") for line in texts("shapes.txt")]
    with listener() as ears, tempfile.TemporaryDirectory() as folder:
        for number, (written, meant) in enumerate(lines):
            place = Path(folder) / f"{number:02d}"
            place.mkdir()
            manifest = Manifest.model_validate({"kind": "speech", "text": written, "voice": voice})
            stages.tts.run(Context("job-20260101T000000Z-00000000", "x", place, manifest, Settings()))
            heard = ears.hear(place / "speech.wav", None)["heard"]
            if heard_as(heard) == heard_as(meant):
                right += 1
            else:
                print(f"{written}\n  heard: {heard}")
    print(f"{voice}: {right} of {len(lines)} heard as they are meant")


if __name__ == "__main__":
    main()
