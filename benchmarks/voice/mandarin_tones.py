"""Are the tones of Mandarin heard? `python -m benchmarks.voice.mandarin_tones`.

No recogniser comes in a package, but pitch can be measured.
For every syllable of a few sentences: how its pitch moves from its first to its last third, and how high it lies. A speaker's
first tone stays, the second rises, the third is low, the fourth falls from high. Times of the network that were wrong would
blur that, so it shows those too. `--voice`: one of kokoro's; `--models`: the folder they are in.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.config import Settings
from stages.tts.engines.durations import Utterance
from stages.tts.engines.kokoro.engine import KokoroVoice
from stages.tts.engines.voices import list_voices
from stages.tts.phonemes import front_end
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer

TEXT = """大家好，欢迎收看今天的节目。今天天气很好，我们一起去公园散步吧。他昨天在北京大学参加了一个重要的会议。
请把这本书放在桌子上，谢谢。我喜欢喝咖啡，也喜欢喝绿茶。这家餐厅的菜很好吃，而且价格不贵。火车将在下午三点从上海出发。
孩子们在学校里学习数学和英语。如果明天下雨，我们就在家看电影。医生说他需要多休息，多喝水。"""
TONES = "→↗↓↘"
RATE = 24_000
_LOWEST, _HIGHEST = 70, 400  # Hz
_STEP_S, _HALF_S = 0.01, 0.02
_VOICED = 0.45  # of the sound's power that repeats
_LEAST_STEPS = 5

Pitches = npt.NDArray[np.float64]


def main() -> None:
    """Let the voice say all sentences, and print the movement and height of the pitch of each tone, in semitones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="xiaobei")
    parser.add_argument("--models", type=Path, default=Path("spool/models"))
    options = parser.parse_args()
    settings = Settings.model_validate({"paths": {"models": options.models}})
    voice = next(
        voice for voice in list_voices(settings) if voice.engine == "kokoro" and voice.is_called(options.voice)
    )
    found: dict[str, list[tuple[float, float]]] = {tone: [] for tone in TONES}
    for utterance in _said(KokoroVoice(voice, options.models)):
        syllables = list(_syllables(utterance))
        middle = float(np.median(np.concatenate([pitch for _, pitch in syllables])))
        for tone, pitch in syllables:
            third = max(2, len(pitch) // 3)
            moved = float(np.median(pitch[-third:]) - np.median(pitch[:third]))
            found[tone].append((moved, float(np.median(pitch)) - middle))
    print("| tone | syllables | moves by | lies at |\n|---|---|---|---|")
    for number, tone in enumerate(TONES, 1):
        moved, height = np.median(np.array(found[tone]), axis=0)
        print(f"| {number} | {len(found[tone])} | {moved:+.1f} | {height:+.1f} |")


def _said(voice: KokoroVoice) -> Iterator[Utterance]:
    for sentence in split_text(TEXT, "zh"):
        prepared = WordPreparer("zh").prepare(sentence.words)
        yield from voice.utter(front_end("zh").read(prepared.words, prepared.sounds), 1.0)


def _syllables(utterance: Utterance) -> Iterator[tuple[str, Pitches]]:
    """Yield the tone of each syllable, and the pitch of its vowel and what follows it, in semitones."""
    edges = np.concatenate([[0], np.cumsum(utterance.units)]) * utterance.unit_samples / RATE - utterance.late_s
    for at, char in enumerate(utterance.chars):
        if char not in TONES or not char:
            continue
        last = at + (2 if utterance.chars[at + 1] in ("n", "ŋ") else 1)
        moments = np.arange(edges[at - 1] + _STEP_S, edges[last], _STEP_S)
        heard = np.array([_pitch(utterance.samples, moment) for moment in moments])
        pitch = heard[np.isfinite(heard)]
        if len(pitch) >= _LEAST_STEPS:
            yield char, pitch


def _pitch(samples: npt.NDArray[np.float32], moment: float) -> float:
    """Return semitones above 1 Hz, by autocorrelation; NaN where nothing repeats."""
    first, last = round((moment - _HALF_S) * RATE), round((moment + _HALF_S) * RATE)
    if first < 0 or last > len(samples):
        return float("nan")
    part = samples[first:last].astype(np.float64)
    part -= part.mean()
    same = np.correlate(part, part, "full")[len(part) - 1 :]
    shortest, longest = RATE // _HIGHEST, RATE // _LOWEST
    period = shortest + int(np.argmax(same[shortest:longest]))
    voiced = same[0] > 1e-4 and same[period] > _VOICED * same[0]
    return float(12 * np.log2(RATE / period)) if voiced else float("nan")


if __name__ == "__main__":
    main()
