"""What every voice costs and how well it is understood: `python -m benchmarks.voice.voices` [--voices hibari/heart,kokoro/bella].

Without --voices it takes every installed voice of English. Each speaks in a process of its own, through the stage that jobs use:
  - real-time factor (time to speak over the speech's length, the first sentence, which loads, left out) and peak memory;
  - word error rate of 30 sentences with numbers, names and dates, written for this (sentences.txt), read back by moonshine-tiny
    from a package; transcripts.py says what is compared. The recogniser's own errors are in it;
  - word starts of ten plain sentences against an independent aligner (pocketsphinx), and forced alignment against the engine's
    own times over all forty sentences where it knows them (mean, and 95 of 100);
  - loudness, true peak, samples at full scale, and the largest step between two samples at the edges of pauses, over a text of
    five sentences. Figures are of the whole of that text.
The recogniser and the aligner are installed into a throw-away environment, never into the program's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.programs import start_program
from benchmarks.voice.transcripts import errors, plain
from daemon.config.settings import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context
from stages.media.ffmpeg import ffmpeg_path

HERE = Path(__file__).resolve().parent
PACKAGES = ("moonshine-voice==0.1.0", "pocketsphinx==5.1.1")
Row = dict[str, float]


def texts(name: str) -> list[str]:
    """Return the lines of a file in this folder, without empty ones."""
    return [line.strip() for line in (HERE / name).read_text(encoding="utf-8").splitlines() if line.strip()]


def chosen(most: int) -> tuple[list[str], list[str]]:
    """Return the sentences to be understood, at most so many, and the plain ones to be aligned, a third of that."""
    return texts("sentences.txt")[:most], texts("plain.txt")[: most // 3]


# -- one voice, in a process of its own ---------------------------------------------------------------------------


def speak_all(voice: str, folder: Path, models: Path, most: int) -> None:
    """Say everything with one voice; leaves WAVs, timings and cost.json in `folder`."""
    import stages.tts

    settings = Settings.model_validate({"paths": {"models": str(models)}})
    spent = said = 0.0
    sentences = [text for part in chosen(most) for text in part]
    for number, text in enumerate([*sentences, " ".join(sentences[:5])]):
        place = folder / f"{number:02d}"
        place.mkdir()
        manifest = Manifest.model_validate({"kind": "speech", "text": text, "voice": voice})
        began = time.perf_counter()
        facts = stages.tts.run(Context("job-20260101T000000Z-00000000", "x", place, manifest, settings))
        if number:
            spent, said = spent + time.perf_counter() - began, said + facts["audio_s"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (folder / "cost.json").write_text(json.dumps({"factor": spent / said, "memory_mb": peak}))


# -- what is measured of it ---------------------------------------------------------------------------------------


class Listener:
    """The recogniser and the independent aligner, in their own environment."""

    def __init__(self, python: Path) -> None:
        self._child = start_program(
            [python, "-P", HERE / "recogniser.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def hear(self, wav: Path, words: list[str] | None) -> dict[str, Any]:
        """Return what is heard in a WAV: `heard`, and `starts` in s where `words` are given and the aligner knows all of them."""
        narrow = wav.with_name("16k.wav")
        subprocess.run([ffmpeg_path(), "-v", "error", "-y", "-i", wav, "-ar", "16000", narrow], check=True)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"wav": str(narrow), "words": words}) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()


@contextmanager
def listener() -> Iterator[Listener]:
    """Give a recogniser in a new environment, which is removed afterwards. Its packages are downloaded."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        one = Listener(python)
        try:
            yield one
        finally:
            one.close()


def measure(folder: Path, ears: Listener, most: int, verbose: bool) -> Row:
    """Return the figures of one voice, from the files that `speak_all` left in `folder`."""
    row: Row = json.loads((folder / "cost.json").read_text())
    sentences, easy = chosen(most)
    wrong = total = 0
    independent: list[float] = []
    forced: list[float] = []
    for number, text in enumerate([*sentences, *easy]):
        wav = folder / f"{number:02d}" / "speech.wav"
        timing = json.loads(wav.with_name("timing.json").read_text())
        words = re.findall(r"[a-z']+", text.casefold()) if number >= len(sentences) else None
        heard = ears.hear(wav, words)
        if number < len(sentences):
            reference, found = plain(text), plain(heard["heard"])
            wrong, total = wrong + errors(reference, found), total + len(reference)
            if verbose and reference != found:
                print(f"    {' '.join(reference)}\n  → {' '.join(found)}")
        elif heard.get("starts"):
            independent += [w["start"] - s for w, s in zip(timing["words"], heard["starts"], strict=True)]
        if timing["method"] == "exact":
            forced += _forced(wav, timing)
    row |= {"wer": 100 * wrong / total, "words": total}
    row |= _spread("independent", independent) | _spread("forced", forced)
    return row | sound_figures(folder / f"{len(sentences) + len(easy):02d}" / "speech.wav")


def _forced(wav: Path, timing: dict[str, Any]) -> list[float]:
    from stages.tts.alignment.forced import align_file

    starts: dict[int, float] = {}
    for phone in align_file(wav, [word["text"] for word in timing["words"]], "en"):
        starts.setdefault(phone.word, phone.start)
    # A word that is not found counts as a whole second off.
    return [starts.get(at, word["start"] + 1.0) - word["start"] for at, word in enumerate(timing["words"])]


def _spread(name: str, away: list[float]) -> Row:
    if not away:
        return {}
    size = 1000 * np.abs(away)
    return {
        f"{name}_ms": float(size.mean()),
        f"{name}_p95_ms": float(np.quantile(size, 0.95)),
        f"{name}_late_ms": 1000 * float(np.mean(away)),
        f"{name}_words": len(away),
    }


def sound_figures(wav: Path) -> Row:
    """Return loudness (LUFS), true peak (dBTP), the number of samples at full scale, and steps at pauses (1: full scale)."""
    done = subprocess.run(
        [ffmpeg_path(), "-hide_banner", "-nostats", "-i", wav, "-af", "ebur128=peak=true", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    ).stderr.rpartition("Summary:")[2]  # fmt: skip
    loud, peak = re.search(r"I: +(\S+) LUFS", done), re.search(r"Peak: +(\S+) dBFS", done)
    assert loud is not None
    assert peak is not None
    raw = subprocess.run([ffmpeg_path(), "-v", "error", "-i", wav, "-f", "s16le", "-"], capture_output=True, check=True)
    samples = np.frombuffer(raw.stdout, "<i2").astype(np.int32)
    zero = np.flatnonzero(np.diff(np.concatenate([[False], samples == 0, [False]]).astype(int))).reshape(-1, 2)
    joins = [edge for first, last in zero if last - first > 200 for edge in (first, last)]
    steps = np.abs(np.diff(samples, prepend=0, append=0)) / 32768
    return {
        "lufs": float(loud[1]),
        "true_peak_db": float(peak[1]),
        "clipped": int((np.abs(samples) >= 32767).sum()),
        "joins": len(joins),
        "step_at_joins": float(max((steps[max(0, at - 8) : at + 9].max() for at in joins), default=0.0)),
        "step_in_speech": float(steps.max()),
    }


# -- the table ----------------------------------------------------------------------------------------------------

HEAD = """\
| voice | time / speech | peak memory | word errors | word starts to pocketsphinx | forced to own times | loudness | true peak \
| clipped | step at joins (in speech) |
|---|---|---|---|---|---|---|---|---|---|"""


def line(voice: str, row: Row) -> str:
    """Return one row of the Markdown table."""

    def times(name: str) -> str:
        if f"{name}_ms" not in row:
            return "–"
        late = row[f"{name}_late_ms"]
        return (
            f"{row[f'{name}_ms']:.0f} ms, 95 %: {row[f'{name}_p95_ms']:.0f} ({late:+.0f}; {row[f'{name}_words']} words)"
        )

    return (
        f"| {voice} | {row['factor']:.3f} | {row['memory_mb']:.0f} MB | {row['wer']:.1f} % of {row['words']}"
        f" | {times('independent')} | {times('forced')} | {row['lufs']:.1f} LUFS | {row['true_peak_db']:.1f} dBTP"
        f" | {row['clipped']} | {row['step_at_joins']:.4f} ({row['step_in_speech']:.2f}), {row['joins']} joins |"
    )


def main() -> None:
    """Measure the wanted voices, each in a process of its own, and print a row for each."""
    parser = argparse.ArgumentParser(description="See the top of this file.")
    parser.add_argument("--voices", help="names as in a manifest, parted by commas; default: all installed of English")
    parser.add_argument("--sentences", type=int, default=30, help="fewer of them, for a quick look at many voices")
    parser.add_argument("--models", type=Path, default=Settings().paths.models, help="where model files are")
    parser.add_argument("--verbose", action="store_true", help="show what was misheard")
    parser.add_argument("--one", nargs=2, metavar=("VOICE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = options.models.resolve()
    if options.one:
        speak_all(options.one[0], Path(options.one[1]), models, options.sentences)
        return
    from stages.tts.engines.voices import list_voices

    known = list_voices(Settings.model_validate({"paths": {"models": str(models)}}))
    default = [voice.id for voice in known if voice.installed and voice.speaks("en")]
    print(HEAD)
    with listener() as ears:
        for voice in options.voices.split(",") if options.voices else default:
            with tempfile.TemporaryDirectory() as folder:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.voice.voices",
                    "--one",
                    voice,
                    folder,
                    "--models",
                    str(models),
                    "--sentences",
                    str(options.sentences),
                ]
                subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
                print(line(voice, measure(Path(folder), ears, options.sentences, options.verbose)), flush=True)


if __name__ == "__main__":
    main()
