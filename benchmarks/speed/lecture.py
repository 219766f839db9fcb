"""What a lecture costs: `python -m benchmarks.speed.lecture [--minutes 5 60] [--size 128x128]`.

One daemon makes a video of each length with the default voice. Prints for each the seconds of work of every stage, and the
processor time of all processes, for each second of speech, which must not grow with the length, and the largest memory of each
process. Processor time is what other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from benchmarks import PORTRAIT, ROOT
from benchmarks.speed.checkout_daemon import CheckoutDaemon
from benchmarks.speed.memory import Peaks
from benchmarks.speed.whole_job import processor_s

#: Characters that the default voice says in a minute of this text.
CHARS_PER_MINUTE = 960
SENTENCES = (ROOT / "benchmarks" / "voice" / "sentences.txt").read_text(encoding="utf-8").splitlines()


def lecture(minutes: float) -> str:
    """Return a text of about so many minutes: the sentences of `SENTENCES`, repeated, in numbered paragraphs."""
    parts, length = [], 0.0
    for number, sentence in enumerate(itertools.cycle(filter(None, SENTENCES))):
        if length >= minutes * CHARS_PER_MINUTE:
            break
        parts.append(f"\n\nPart {number // 8 + 1}." if number % 8 == 0 else "")
        parts.append(sentence)
        length += len(sentence) + 1
    return " ".join(filter(None, parts)).strip()


def main() -> None:
    """Make a video of each length, and print its costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 60.0])
    parser.add_argument("--size", default="128x128")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        daemon = CheckoutDaemon(ROOT, Path(folder), args.size)
        try:
            for minutes in args.minutes:
                name, text = f"minutes-{minutes:g}", lecture(minutes)
                peaks, before = Peaks(daemon.process.pid), processor_s(daemon.process.pid)
                try:
                    took, stages = daemon.video(name, PORTRAIT.read_bytes(), text=text, quality="low", captions="srt")
                finally:
                    peaks.stop()
                speech = float(daemon.status(name)["stages"]["tts"]["audio_s"])
                spent = (processor_s(daemon.process.pid) - before) / speech
                print(f"{len(text):,} characters, {speech:.0f} s of speech, {took:.0f} s in all")
                print(f"  {1000 * spent:.1f} ms of processor time for each second of speech")
                for stage, seconds in stages.items():
                    print(f"  {stage}: {seconds:.1f} s, {seconds / speech:.4f} s for each second of speech")
                for (role, pid), (highest, share) in sorted(peaks.found.items()):
                    print(f"  {role} {pid}: VmHWM {highest / 1000:.0f} MB, PSS {share / 1000:.0f} MB", flush=True)
        finally:
            daemon.stop()


if __name__ == "__main__":
    main()
