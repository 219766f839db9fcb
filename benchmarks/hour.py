"""What a lecture costs: `python -m benchmarks.hour [--minutes 5 60] [--size 128x128]`.

One daemon makes a video of each length with the default voice. Prints for each the seconds of work of every stage for each second
of speech, which must not grow with the length, and the largest memory of each process.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from benchmarks.memory import Peaks
from benchmarks.wait import PORTRAIT, ROOT, House

#: Characters that the default voice says in a minute of this text.
CHARS_PER_MINUTE = 960
SENTENCES = (ROOT / "benchmarks" / "sentences.txt").read_text(encoding="utf-8").splitlines()


def lecture(minutes: float) -> str:
    """A text of about so many minutes: the sentences of benchmarks/sentences.txt, again and again, in numbered paragraphs."""
    parts, length = [], 0.0
    for number, sentence in enumerate(itertools.cycle(filter(None, SENTENCES))):
        if length >= minutes * CHARS_PER_MINUTE:
            break
        parts.append(f"\n\nPart {number // 8 + 1}." if number % 8 == 0 else "")
        parts.append(sentence)
        length += len(sentence) + 1
    return " ".join(filter(None, parts)).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 60.0])
    parser.add_argument("--size", default="128x128")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        house = House(ROOT, Path(folder), args.size)
        try:
            for minutes in args.minutes:
                name, text = f"minutes-{minutes:g}", lecture(minutes)
                peaks = Peaks(house.process.pid)
                try:
                    took, stages = house.video(name, PORTRAIT.read_bytes(), text=text, quality="low", captions="srt")
                finally:
                    peaks.stop()
                speech = float(house.status(name)["stages"]["tts"]["audio_s"])
                print(f"{len(text):,} characters, {speech:.0f} s of speech, {took:.0f} s in all")
                for stage, seconds in stages.items():
                    print(f"  {stage}: {seconds:.1f} s, {seconds / speech:.4f} s for each second of speech")
                for (role, pid), (highest, share) in sorted(peaks.found.items()):
                    print(f"  {role} {pid}: VmHWM {highest / 1000:.0f} MB, PSS {share / 1000:.0f} MB", flush=True)
        finally:
            house.stop()


if __name__ == "__main__":
    main()
