"""Nothing that is not speech is kept: what is found, what is let through, and what happens to the job and to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

import stages.tts
from daemon.config import Settings
from daemon.errors import ResultError
from stages.context import Context
from stages.tts.engines import plain_sentences
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart, Voice
from stages.tts.engines.registry import ENGINES
from stages.tts.engines.speech_check import speech_faults
from stages.tts.engines.voices import list_voices
from stages.tts.timing import step_levels
from tests.conftest import ROOT, Installation
from tests.stages.tts.engines.test_external import SAID, engines
from tests.support.endurance import repeats
from tests.support.stages.sound_jobs import job, sound

pytestmark = pytest.mark.usefixtures("models")

Wave = npt.NDArray[np.float64]
RATE = 24_000


def voice(models: Path, name: str) -> tuple[LoadedVoice, Voice]:
    """An engine as it is loaded for a job, without the check that jobs have around it."""
    settings = Settings.model_validate({"paths": {"models": models}})
    found = next(one for one in list_voices(settings) if one.is_called(name))
    return ENGINES[found.engine].load(found, settings), found


def wrong(models: Path, name: str, texts: list[Piece]) -> dict[str, tuple[str, ...]]:
    """What is found wrong with what a voice says, by text."""
    engine, _ = voice(models, name)
    found = {" ".join(one.words): speech_faults(list(engine.say(one)), engine.sample_rate, one) for one in texts}
    return {text: what for text, what in found.items() if what}


@pytest.mark.parametrize(
    ("name", "sentences"), [("hibari/heart", 9), ("kokoro/bella", 9), ("kokoro/psi", 1), ("kokoro/pf_dora", 1)]
)
def test_what_the_voices_say_on_this_processor_is_speech(kokoro_models: Path, name: str, sentences: int) -> None:
    # Given plain sentences in the voice's own language, one where another voice of its network says more; then each becomes
    # speech, whatever the processor
    _, found = voice(kokoro_models, name)
    assert wrong(kokoro_models, name, plain_sentences.pieces_in(found.languages[0])[:sentences]) == {}


def test_kokoro_is_right_where_int8_is_computed_by_amx(kokoro_models: Path) -> None:
    # Given the instructions with which onnxruntime 1.22.1 computed one English sentence in four wrongly
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    if "amx_int8" not in flags.split():
        pytest.skip("this processor has no AMX (no flag amx_int8 in /proc/cpuinfo)")
    lines = (ROOT / "benchmarks" / "voice" / "plain.txt").read_text().splitlines()[: repeats("AVATAR_SENTENCES", 5, 10)]
    plain = [Piece(tuple(line.split()), "en", 1.0, (0,)) for line in lines]
    assert wrong(kokoro_models, "kokoro/heart", plain) == {}


# -- what is found, and what is let through ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said() -> tuple[Piece, SpokenPart]:
    """A sentence as the built-in voice says it."""
    piece = Piece(("The", "door", "is", "open,", "and", "the", "sun", "shines."), "en", 1.0, (0,))
    (spoken,) = voice(Path("none"), "hibari/heart")[0].say(piece)
    return piece, spoken


def noise(wave: Wave) -> Wave:
    return np.random.default_rng(1).normal(0, 0.1, len(wave))


def spoilt(wave: Wave, index: int, value: float) -> Wave:
    return np.where(np.arange(len(wave)) == index, value, wave)


def as_loud(wave: Wave) -> Wave:
    """Noise that is as loud as the speech at every moment."""
    return noise(wave) * 10 * np.convolve(np.abs(wave), np.ones(480) / 480, "same")


DAMAGES: dict[str, Callable[[Wave], Wave]] = {
    "one NaN": lambda wave: spoilt(wave, len(wave) // 2, np.nan),
    "one infinity": lambda wave: spoilt(wave, len(wave) // 2, np.inf),
    "silence": lambda wave: 0 * wave,
    "a constant": lambda wave: 0 * wave + 0.3,
    "flat noise": noise,
    "noise of speech's level": as_loud,
    "noise from the middle on": lambda wave: np.where(np.arange(len(wave)) < len(wave) // 2, wave, noise(wave)),
    "a tone": lambda wave: 0.3 * np.sin(np.arange(len(wave)) * 0.06),
    "a tone of a second": lambda wave: np.where(
        np.arange(len(wave)) // RATE == 1, 0.1 * np.sin(np.arange(len(wave)) * 0.06), wave
    ),
    "full scale": lambda wave: np.sign(wave + 1e-9),
    "values far beyond full scale": lambda wave: wave * 1e4,
    "half as long": lambda wave: wave[: len(wave) // 2],
    "twice as fast": lambda wave: wave[::2],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_speech_is_found(said: tuple[Piece, SpokenPart], name: str) -> None:
    piece, spoken = said
    damaged = DAMAGES[name](spoken.samples.astype(np.float64)).astype(np.float32)
    assert speech_faults([replace(spoken, samples=damaged)], RATE, piece)


def test_speech_that_breaks_off_is_found_where_its_phones_are_not_known(said: tuple[Piece, SpokenPart]) -> None:
    piece, spoken = said
    loud = np.flatnonzero(step_levels(spoken.samples, RATE) > -25)
    cut = spoken.samples[: int(loud[len(loud) // 2] + 1) * RATE // 100]
    assert speech_faults([SpokenPart(cut, None)], RATE, piece) == ("it is cut off at the end",)


@pytest.mark.parametrize("gain", [0.05, 1.0, 4.0])
@pytest.mark.parametrize(
    ("text", "speed"), [("Mm.", 2.0), ("Oh!", 0.5), ("Shh!", 1.0), ("1990.", 2.0), ("Help me!", 1.0)]
)
def test_whispers_shouts_and_very_short_words_are_speech(text: str, speed: float, gain: float) -> None:
    # Given a word, faint, as it is, or clipped at full scale as by a microphone that is too near
    piece = Piece(tuple(text.split()), "en", speed, (0,))
    parts = list(voice(Path("none"), "hibari/heart")[0].say(piece))
    limit = 2 * max(float(np.abs(part.samples).max()) for part in parts)
    changed = [replace(part, samples=np.clip(part.samples * np.float32(gain), -limit, limit)) for part in parts]
    assert speech_faults(changed, RATE, piece) == ()


@pytest.mark.parametrize("sign", ["!", "—", "🎉!"])
def test_where_nothing_is_to_be_said_only_numbers_are_asked_for(sign: str) -> None:
    # Given a sign without a word, of which the voice makes a faint breath
    piece = Piece((sign,), "en", 1.0, (0,))
    (spoken,) = voice(Path("none"), "hibari/heart")[0].say(piece)
    assert speech_faults([spoken], RATE, piece) == ()
    # Then it may be anything but what is no number
    assert speech_faults([replace(spoken, samples=spoken.samples * np.float32(np.nan))], RATE, piece)


def test_words_that_the_voice_cannot_read_take_no_time() -> None:
    piece = Piece(
        ("OK", "Здравствуйте", "дорогие", "друзья", "коллеги", "наших", "далёких", "городов"), "en", 1.0, (0,)
    )
    assert speech_faults(list(voice(Path("none"), "hibari/heart")[0].say(piece)), RATE, piece) == ()


# -- what happens then -------------------------------------------------------------------------------------------------


class Sick:
    """The built-in voice on a machine that computes some of it wrongly.

    Args:
        spoils: whether a try at some words is spoilt: told the words, how often they were said, and whether the voice is
            computed in another way.
    """

    method: Literal["exact"] = "exact"
    sample_rate, licence = RATE, "none"

    def __init__(self, spoils: Callable[[str, int, bool], bool], well: LoadedVoice, other: bool = False) -> None:
        self._spoils, self._well, self._other = spoils, well, other
        self._counts: dict[str, int] = {}

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        text = " ".join(piece.words)
        self._counts[text] = self._counts.get(text, 0) + 1
        for spoken in self._well.say(piece):
            bad = self._spoils(text, self._counts[text], self._other)
            hiss = noise(spoken.samples.astype(np.float64)).astype(np.float32)
            yield replace(spoken, samples=hiss) if bad else spoken

    def fallback_voice(self) -> LoadedVoice | None:
        return None if self._other else Sick(self._spoils, self._well, other=True)


def speak(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoils: Callable[[str, int, bool], bool], **settings: Any
) -> tuple[Context, Callable[[], Any]]:
    well, _ = voice(Path("none"), "hibari/heart")
    sick = replace(ENGINES["hibari"], load=lambda *_: Sick(spoils, well))
    monkeypatch.setitem(ENGINES, "hibari", sick)
    ctx = job(folder, {"stages": {"tts": settings}}, text="Nobody knows. The boat is blue.")
    return ctx, lambda: stages.tts.run(ctx)


@pytest.mark.parametrize(
    "spoils", [lambda text, count, other: "boat" in text and count == 1, lambda text, count, other: not other]
)
def test_what_is_no_speech_is_said_again_and_then_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoils: Callable[[str, int, bool], bool]
) -> None:
    # Given a machine that makes noise of a sentence once, or always, unless it computes in another way
    ctx, run = speak(tmp_path, monkeypatch, spoils)
    # When a text is said / Then it is speech, as the file itself shows, and the status says that it was said again
    run()
    samples, rate = sound(ctx.path("speech.wav"))
    level = step_levels(samples.astype(np.float32), rate)
    assert level[level > level.max() - 40].std() > 4
    assert any("“The boat is blue.” was synthesized again" in warning for warning in ctx.warnings)


def test_a_text_that_never_becomes_speech_fails_and_so_does_a_voice_that_never_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one sentence that the machine cannot compute, while plain ones go well
    ctx, run = speak(tmp_path / "one", monkeypatch, lambda text, count, other: "boat" in text)
    with pytest.raises(ResultError, match=r"did not produce speech for “The boat is blue.”") as caught:
        run()
    assert (caught.value.code, caught.value.fault) == ("speech-invalid", "machine")
    assert not list(ctx.job_dir.glob("*.wav"))
    # And a machine on which nothing that this voice says is speech
    ctx, run = speak(tmp_path / "all", monkeypatch, lambda text, count, other: True)
    with pytest.raises(ResultError, match="does not produce speech on this machine") as caught:
        run()
    assert (caught.value.code, caught.value.fault) == ("speech-invalid", "machine")


def test_a_voice_that_hums_can_be_let_through_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, run = speak(tmp_path, monkeypatch, lambda text, count, other: True, check_speech=False)
    run()
    assert any("may not be speech" in warning for warning in ctx.warnings)


POISON = """
for line in sys.stdin:
    words = json.loads(line)["words"]
    wav(n=4000 * len(words), swells="poison" not in words)
    spoken(phones=[phone(n / 4, n / 4 + 0.2, n) for n in range(len(words))])
    print('{"event": "done"}', flush=True)
"""


def test_a_text_that_never_becomes_speech_stops_no_other(
    tmp_path: Path, installation: Callable[..., Installation]
) -> None:
    # Given an engine that makes a steady tone of one word, and a daemon
    script = tmp_path / "engine.py"
    ready = 'input(); print(json.dumps({"event": "ready", "sample_rate": 16000, "method": "exact"}), flush=True)\n'
    script.write_text(f"import array, json, math, sys, wave\n{SAID}\n{ready}{POISON}")
    house = installation(engines=engines(script), retry={"attempts": 2, "first_delay_s": 0.1, "max_delay_s": 0.2})
    house.start()
    # When a text with that word is dropped, and another one
    for name, text in (("bad", "There is poison in it."), ("good", "There is nothing in it.")):
        house.drop(f"{name}.yaml", {"kind": "speech", "text": text, "voice": "beeps/low"})
    # Then it fails after its tries, by the machine's fault, the other is done, and the lane never paused
    bad = house.finished("bad")
    assert (bad["state"], bad["error"]["code"], bad["error"]["fault"]) == ("failed", "speech-invalid", "machine")
    assert house.finished("good")["state"] == "done"
    assert house.events("lane paused") == []


def test_all_that_the_programs_voices_speak_has_a_plain_sentence() -> None:
    from stages.tts.engines.xtts.text_chunks import LANGUAGES

    spoken = {one.languages[0] for one in list_voices(Settings()) if one.engine in ENGINES} | set(LANGUAGES)
    assert [language for language in spoken if not plain_sentences.pieces_in(language)] == []
