"""Is good speech let through, and is damaged speech found?

    python -m benchmarks.voice.speech_check [--models FOLDER --keep FOLDER]

Every installed voice of hibari and kokoro says sentences of its language: very short words, figures, shouts and whispers
(utterances.txt), longer ones (languages.txt, plain.txt), slow and fast. What the check of jobs
(stages/tts/engines/speech_check.py) says of each is counted: as it is; faint, loud, clipped; and damaged, in each way that a
network or a machine may damage it.

The sounds are kept in --keep, so that another run judges the same ones without speaking them again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.config.settings import Settings
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart, Voice, primary_language
from stages.tts.engines.registry import ENGINES
from stages.tts.engines.speech_check import speech_faults
from stages.tts.engines.voices import list_voices
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer
from stages.tts.timing import Phone, audible_steps

HERE = Path(__file__).resolve().parent
Wave = npt.NDArray[np.float64]
#: Most sentences are said at the voice's own pace.
SPEEDS = (1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 2.0, 1.0, 1.0, 0.75, 1.0, 1.5)
#: Sentences of a voice: short ones and longer ones; of the fast voice all, so many times.
SHORT, LONG, FAST_TIMES = 20, 4, 16


@dataclass(frozen=True)
class Said:
    """A sentence as a voice said it."""

    voice: str
    rate: int
    piece: Piece
    spoken: SpokenPart


def texts() -> dict[str, tuple[list[str], list[str]]]:
    """Short and longer texts by language."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for place, name in enumerate(("utterances.txt", "languages.txt")):
        for line in (HERE / name).read_text(encoding="utf-8").splitlines():
            language, text = line.split(" ", 1)
            found.setdefault(language, ([], []))[place].append(text)
    found["en"][1].extend((HERE / "plain.txt").read_text(encoding="utf-8").splitlines())
    return found


def chosen(voice: Voice, number: int) -> list[str]:
    """Return the sentences for a voice: all for hibari, repeated; for another, a random choice that its `number` decides."""
    short, long = texts()[primary_language(voice.languages[0])]
    if voice.engine == "hibari":
        return [*short, *long] * FAST_TIMES
    pick = random.Random(number)
    return [*pick.sample(short, min(SHORT, len(short))), *pick.sample(long, min(LONG, len(long)))]


def say_all(voice: Voice, number: int, settings: Settings) -> Iterator[Said]:
    """Yield every spoken sentence of a voice, at the speeds of `SPEEDS` in turn."""
    engine: LoadedVoice = ENGINES[voice.engine].load(voice, settings)
    language = voice.languages[0]
    for count, text in enumerate(chosen(voice, number)):
        preparer, speed = WordPreparer(language), SPEEDS[(count + number) % len(SPEEDS)]
        for sentence in split_text(text, language):
            prepared = preparer.prepare(sentence.words)
            if not prepared.words:
                continue
            piece = Piece(tuple(prepared.words), language, speed, (count, number), dict(prepared.sounds))
            for spoken in engine.say(piece):
                yield Said(voice.id, engine.sample_rate, piece, spoken)


def corpus(settings: Settings, keep: Path) -> Iterator[Said]:
    """Everything said, spoken only where it is not kept."""
    keep.mkdir(parents=True, exist_ok=True)
    voices = [voice for voice in list_voices(settings) if voice.installed and voice.engine in ("hibari", "kokoro")]
    for number, voice in enumerate(voices):
        path = keep / f"{voice.id.replace('/', '_')}.npz"
        if not path.exists():
            _save(path, list(say_all(voice, number, settings)))
            print(f"{voice.id} is spoken", file=sys.stderr, flush=True)
        yield from _load(path)


def _save(path: Path, said: list[Said]) -> None:
    told = [
        {
            "voice": one.voice,
            "rate": one.rate,
            "words": one.piece.words,
            "language": one.piece.language,
            "speed": one.piece.speed,
            "phones": [asdict(phone) for phone in one.spoken.phones or ()],
        }
        for one in said
    ]
    sounds = {f"sound{at}": one.spoken.samples.astype(np.float16) for at, one in enumerate(said)}
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, told=np.array(json.dumps(told)), **sounds)
    temporary.rename(path)


def _load(path: Path) -> Iterator[Said]:
    with np.load(path, allow_pickle=False) as saved:
        for at, told in enumerate(json.loads(str(saved["told"]))):
            phones = tuple(Phone(**phone) for phone in told["phones"])
            spoken = SpokenPart(saved[f"sound{at}"].astype(np.float32), phones)
            piece = Piece(tuple(told["words"]), told["language"], told["speed"], (0,))
            yield Said(told["voice"], told["rate"], piece, spoken)


# -- changes that leave speech speech, and damages ---------------------------------------------------------------------


def clipped(wave: Wave, gain: float) -> Wave:
    """Return the wave with its peak at `gain`, cut off at ±1."""
    return np.asarray(np.clip(wave / np.abs(wave).max() * gain, -1, 1))


def noise(wave: Wave, seed: int = 1) -> Wave:
    """White noise, as loud as the speech on average."""
    return np.random.default_rng(seed).normal(0, np.sqrt((wave**2).mean()), len(wave))


def spoilt(wave: Wave, value: float) -> Wave:
    """Return the wave with its middle sample replaced by `value`."""
    return np.where(np.arange(len(wave)) == len(wave) // 2, value, wave)


def half(wave: Wave) -> Wave:
    """Without the second half of what sounds."""
    heard = np.flatnonzero(audible_steps(wave.astype(np.float32), 24_000)) * 240
    return wave[: int((heard[0] + heard[-1]) // 2)] if len(heard) else wave[:0]


KEPT: dict[str, Callable[[Wave], Wave]] = {
    "as it is": lambda wave: wave,
    "26 dB fainter": lambda wave: wave * 0.05,
    "12 dB louder": lambda wave: wave * 4,
    "6 dB over full scale, clipped": lambda wave: clipped(wave, 2),
    "12 dB over full scale, clipped": lambda wave: clipped(wave, 4),
}
DAMAGED: dict[str, Callable[[Wave], Wave]] = {
    "one NaN": lambda wave: spoilt(wave, np.nan),
    "one infinity": lambda wave: spoilt(wave, np.inf),
    "values far beyond full scale": lambda wave: wave * 1e4,
    "silence": lambda wave: wave * 0,
    "a constant": lambda wave: wave * 0 + 0.3,
    "a tone": lambda wave: np.sqrt(2 * (wave**2).mean()) * np.sin(np.arange(len(wave)) * 0.0576),
    "flat noise": noise,
    "noise of the speech's level": lambda wave: (
        noise(wave) * np.convolve(np.abs(wave), np.ones(480) / 480, "same") * 20
    ),
    "noise from the middle on": lambda wave: np.where(np.arange(len(wave)) < len(wave) // 2, wave, noise(wave)),
    "full scale": lambda wave: np.sign(wave + 1e-9),
    "half as long": half,
}


def count(said: list[Said], change: Callable[[Wave], Wave], *, phones: bool) -> list[Said]:
    """Which of them are refused."""
    refused = []
    for one in said:
        changed = change(one.spoken.samples.astype(np.float64)).astype(np.float32)
        spoken = replace(one.spoken, samples=changed, phones=one.spoken.phones if phones else None)
        if not len(changed) or speech_faults([spoken], one.rate, one.piece):
            refused.append(one)
    return refused


def _others(said: list[Said], found: list[Said]) -> list[Said]:
    known = set(map(id, found))
    return [one for one in said if id(one) not in known][:5]


def main() -> None:
    """Check all sentences, and print how many good ones are refused and how many damaged ones are found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("spool/models"))
    parser.add_argument("--keep", type=Path, default=Path("spool/speech-check"))
    options = parser.parse_args()
    said = list(corpus(Settings.model_validate({"paths": {"models": options.models}}), options.keep))
    per_voice = {voice: len(list(group)) for voice, group in itertools.groupby(one.voice for one in said)}
    seconds = sum(len(one.spoken.samples) / one.rate for one in said)
    languages = sorted({primary_language(one.piece.language) for one in said})
    print(f"{len(said)} sentences of {len(per_voice)} voices, {seconds:.0f} s, {', '.join(languages)}")
    print("\n| good speech | refused |\n|---|---|")
    for name, change in KEPT.items():
        refused = count(said, change, phones=True)
        print(f"| {name} | {len(refused)} of {len(said)} |", flush=True)
        for one in refused[:5]:
            print(f"  {one.voice} x{one.piece.speed:g}: {' '.join(one.piece.words)}", file=sys.stderr)
    print("\n| damaged | found | found where phones are not known |\n|---|---|---|")
    for name, change in DAMAGED.items():
        found, blind = (count(said, change, phones=known) for known in (True, False))
        print(f"| {name} | {len(found)} of {len(said)} | {len(blind)} |", flush=True)
        for one in _others(said, found):
            print(f"  not found: {one.voice} x{one.piece.speed:g}: {' '.join(one.piece.words)}", file=sys.stderr)


if __name__ == "__main__":
    main()
