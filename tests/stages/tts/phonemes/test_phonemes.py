"""Languages other than English: what is read of them, whose each sound is, and what keeps one from being read."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.tts
from daemon.config import Settings
from daemon.errors import AvatarError
from daemon.system.installation import how_to_install_extra
from stages.context import Context
from stages.tts.alignment.forced import align_file
from stages.tts.engines.choose import VoiceChoice
from stages.tts.engines.kokoro import model_files
from stages.tts.engines.voice_list import list_voice_rows
from stages.tts.engines.voices_page import voices_page
from stages.tts.phonemes import front_end
from stages.tts.phonemes.reading import EnglishFrontEnd, Reading
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer
from stages.tts.timing import UNKNOWN_PHONE
from tests.conftest import ROOT
from tests.stages.tts.engines.test_voices import chosen
from tests.support.endurance import FULL
from tests.support.stages.phonemes import check_phonemes
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")

#: The letters that texts are written in.
LETTERS = {
    "es": "abcdefghijlmnopqrstuvxyzáéíóúñü",
    "fr": "abcdefghijlmnopqrstuvwxyzàâéèêëîïôùûüçœ",
    "hi": "अआइईउऊऋएऐओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहक़ख़ग़ज़ड़ढ़फ़ािीुूृेैोौंँः्",
    "it": "abcdefghilmnopqrstuvzàèéìòù",
    "pt": "abcdefghijlmnopqrstuvxzáâãàéêíóôõúç",
}


#: Plain sentences of each.
SENTENCES = [
    line.split(" ", 1) for line in (ROOT / "benchmarks" / "voice" / "languages.txt").read_text("utf-8").splitlines()
]


def owned(reading: Reading, words: list[str]) -> dict[str, str]:
    """Phonemes of each written word."""
    pairs = list(zip(reading.chars, reading.owners, strict=True))
    return {word: "".join(char for char, owner in pairs if owner == at) for at, word in enumerate(words)}


@pytest.mark.parametrize("quotes", ['""', "“”", "«»", "„“", "''"])
def test_a_word_in_quotation_marks_sounds_as_it_does_without(quotes: str) -> None:
    front_end, around = EnglishFrontEnd(), str.maketrans(dict.fromkeys("“”ˈˌ"))
    for word in ("maybe", "that", "dog", "children"):
        plain, quoted = (
            front_end.read(["Say", written, "now."]).chars.translate(around)
            for written in (word, f"{quotes[0]}{word}{quotes[1]}")
        )
        assert quoted == plain


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "Son 1.250,50 € el 15/03/2026.", {"1.250,50": "mˈil", "€": "", "15/03/2026.": "kˈinθe ðe mˈaɾθo"}),
        ("es", "El Sr. García mide 3,5 m a -5 °C", {"Sr.": "seɲˈoɾ", "m": "mˈetɾos", "-5": "mˈenos", "°C": "ɣɾˈaðos"}),
        ("es-MX", "El cielo vale $1,250.50 o 1,250.50", {"cielo": "sjˈelo", "1,250.50": "mˈil ðossjˈentos"}),
        ("fr-BE", "Il a 90 ans", {"90": "nonˈɑ̃t"}),
        ("fr", "Les enfants, le 2e jour, à 14h30", {"Les": "lez", "2e": "dˈøz jˈɛm", "14h30": "katˈɔʁz ˈœʁ tʁˈɑ̃t"}),
        ("fr", "Le 05/06/07, le 12/25/2024", {"05/06/07,": "sˈɛ̃k ʒyˈɛ̃ dø mil", "12/25/2024": "vɛ̃tsˈɛ̃k desˈɑ̃bʁ"}),
        ("fr", "Louis XIV vit M. Hugo et 21 amis", {"XIV": "katˈɔʁz", "M.": "məsjˈø", "amis": "amˈi"}),
        ("hi", "इसकी कीमत ₹1,250 है।", {"₹1,250": "ˈeːk hˈʌɟaːɾ", "है।": "hɛː."}),
        ("hi", "लड़का आया", {"लड़का": "lˈʌɽkˌaː", "आया": "ˈaːjaː"}),
        ("it", "La dott.ssa Rossi pagò 20 $ di 100", {"dott.ssa": "dotːorˈeSa", "20": "vˈentɪ dˈɔllarɪ", "di": "dɪ"}),
        ("pt-BR", "O Sr. Silva deve R$ 1.250,50 aqui", {"Sr.": "seɲˈor", "R$": "", "1.250,50": "mˈi", "aqui": "akˈi"}),
    ],
)
def test_every_sound_belongs_to_the_word_it_was_written_as(language: str, text: str, expected: dict[str, str]) -> None:
    # Given a sentence with figures, which become many words, and words that run together
    words = text.split()
    reading = front_end(language).read(words, {})
    # Then each written word has its own sounds, in order, and none is nobody's but the space between two words
    found = owned(reading, words)
    assert {word: found[word] for word in expected if not found[word].startswith(expected[word])} == {}
    inside = [owner for char, owner in zip(reading.chars, reading.owners, strict=True) if char != " "]
    assert inside == sorted(inside)
    assert set(inside) == {at for at, word in enumerate(words) if found[word]}


def test_a_stop_makes_a_pause_and_that_of_an_abbreviation_none() -> None:
    # Given signs that part clauses, and full stops that part nothing
    text = "«Hola», dijo la Dra. Ruiz (n.º 5); ¿vienes? Sí… EE.UU."
    reading = front_end("es").read(text.split(), {})
    # Then the network gets just those that are heard as pauses
    assert "".join(char for char in reading.chars if not char.isalpha() and char not in " ˈˌː") == "“”,();?…."
    assert "estˈaðos unˈiðos" in reading.chars
    # And a title or a danda is told from the end of a sentence
    assert [len(one.words) for one in split_text("El Sr. Paz vino. La Sra. Mar no.")] == [4, 4]
    assert len(split_text("वह आया। वह गया।")) == 2


def test_a_lexicon_says_a_word_in_the_sounds_of_the_language() -> None:
    reading = front_end("fr").read(["avatard,", "nginx!"], {0: "a-va-TAR", 1: "/ˈɛnʒin/"})
    assert reading.chars == "avatˈaʁ, ˈɛnʒin!"
    # And finds it where a vowel sign ends it
    prepared = WordPreparer("hi", {"नमस्ते": "/nəmˈaste/"}).prepare(["«नमस्ते»,", "नमस्ते।"])
    assert list(prepared.sounds) == [0, 1]


@pytest.mark.parametrize("language", LETTERS)
def test_the_network_and_the_mouth_know_every_sound(language: str) -> None:
    # Given all triples that a language's letters make
    letters = LETTERS[language]
    words = ["".join(triple) for triple in product(letters, letters, letters[:6] + "n")]
    # Then each phoneme is in the network's alphabet, and each phone has a mouth
    check_phonemes(language, (front_end(language).read([word], {}).chars for word in words))


def with_voices(folder: Path, *names: str) -> Path:
    """A models folder that looks as if these voices of kokoro's were there; choosing opens none of them."""
    for path in (model_files.NETWORK, *map(model_files.voice_file, names)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.mark.parametrize(
    ("manifest", "voice"),
    [
        ({"language": "fr"}, "kokoro/siwis"),
        ({"language": "es-MX"}, "kokoro/em_alex"),
        ({"language": "es", "voice": "santa"}, "kokoro/em_santa"),
        ({"language": "en", "voice": "santa"}, "kokoro/santa"),
        ({"language": "pt-BR", "voice": "alex"}, "kokoro/pm_alex"),
    ],
)
def test_a_language_finds_its_voice(tmp_path: Path, manifest: dict[str, Any], voice: str) -> None:
    # Given voices of several languages, some of the same name
    models = with_voices(tmp_path, "am_santa", "em_alex", "em_santa", "ff_siwis", "pm_alex")
    assert chosen(models, **manifest).voice.id == voice


def test_a_language_whose_rules_are_not_installed_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given kokoro's files, and no package that reads French
    models = with_voices(tmp_path, "ff_siwis", "af_bella")
    real = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "espeakng_loader" else real(name, package)

    monkeypatch.setattr("importlib.util.find_spec", without)

    def refused(**manifest: Any) -> AvatarError:
        with pytest.raises(AvatarError) as caught:
            chosen(models, **manifest)
        return caught.value

    # Then the voice, and the language, are refused at once, with the command that helps
    named, default = refused(voice="siwis", language="fr"), refused(language="fr")
    assert (named.code, default.code) == ("voice-not-installed", "language-unsupported")
    assert how_to_install_extra("languages").rstrip(".") in named.hint
    assert how_to_install_extra("languages").rstrip(".") in default.hint
    # And English speaks as before; so does a program of its own, which has its own packages
    assert chosen(models, voice="bella").voice.installed
    own = {"engines": {"kokoro": {"python": sys.executable}}}
    assert isinstance(chosen(models, own, voice="siwis", language="fr"), VoiceChoice)


def test_the_list_of_voices_names_each_language_once_with_all_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given neither kokoro's files nor a package that reads French
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *of: None if name == "espeakng_loader" else real(name, *of)
    )
    rows = list_voice_rows(Settings.model_validate({"paths": {"models": tmp_path}}))
    (siwis,) = (row for row in rows if row.is_called("siwis"))
    page = voices_page(rows).partition("VOICES THAT CAN BE ADDED")[2].splitlines()
    # Then whoever does what is said of a French voice can use it
    assert siwis.remedy is not None
    assert "avatar models fetch kokoro" in siwis.remedy
    assert how_to_install_extra("languages") in siwis.remedy
    assert f"    siwis: {siwis.remedy}" in page
    languages = [line for line in page if "(language: " in line]
    assert len(languages) == len(set(languages)) > 20


def test_rules_that_are_damaged_are_the_machines_fault() -> None:
    # Given a package whose data has gone; in a process of its own, for the library is loaded once
    code = (
        "import espeakng_loader; espeakng_loader.get_data_path = lambda: '/nowhere'\n"
        "from stages.tts.phonemes import front_end\n"
        "try: front_end('it').read(['ciao'], {})\n"
        "except Exception as error: print(error.fault, error.code, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("machine model-broken")
    assert "/nowhere" in done.stdout


SAID = {
    "es": ("dora", "Pepe pagó 20 € por la pipa."),
    "fr": ("siwis", "Papa a payé 20 € pour la pipe."),
    "hi": ("psi", "पापा ने पाँच पपीते 20 रुपये में बेचे।"),
    "it": ("nicola", "Papà pagò 20 € per la pipa."),
    "pt-BR": ("pm_alex", "Papai pagou vinte reais pelo pato preto."),
}


#: All languages have one network and one library of rules: two that write a sound as no other does are spoken each time.
SPOKEN = [*SAID] if FULL else ["hi", "pt-BR"]


@pytest.fixture(scope="module", params=SPOKEN)
def said(request: pytest.FixtureRequest, kokoro_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A sentence full of P in a language other than English, spoken."""
    voice, text = SAID[request.param]
    settings = {"paths": {"models": kokoro_models}}
    ctx = job(tmp_path_factory.mktemp("said"), settings, text=text, voice=voice, language=request.param)
    stages.tts.run(ctx)
    return ctx


def test_it_is_said_when_its_times_say_so(said: Context) -> None:
    ctx, text, language = said, said.manifest.text, str(said.manifest.language)
    # Then its words are those that were written, one after another inside the sound
    found = timing(ctx)
    samples, rate = sound(ctx.path("speech.wav"))
    assert " ".join(word["text"] for word in found["words"]) == text
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(found["phones"]))
    assert found["phones"][-1]["end"] <= found["duration"] == len(samples) / rate
    # And a letter that stands for another sound in this language than elsewhere is that sound to the lips
    assert not {one["phone"] for one in found["phones"]} & set({"hi": "cɟ", "pt-BR": "y"}.get(language, ""))
    # And where the lips close for P the sound is silent, while open vowels are loud
    step = rate // 200
    level = 10 * np.log10(np.maximum((samples[: len(samples) // step * step].reshape(-1, step) ** 2).mean(1), 1e-9))

    parts = [(one["phone"], level[round(one["start"] * 200) : round(one["end"] * 200)]) for one in found["phones"]]
    shut = np.median([part.min() for phone, part in parts if phone == "p"])
    loud = np.median([np.median(part) for phone, part in parts if phone in "aɐæɑ"])
    assert shut < loud - 15


def test_words_are_found_in_speech_whose_times_are_not_known(said: Context) -> None:
    # Given a recording of a sentence, and when its words are really said
    ctx, language = said, str(said.manifest.language)
    other = [text for tongue, text in SENTENCES if tongue == language.partition("-")[0]][-1]
    words = timing(ctx)["words"]
    # When they are looked for, then each is found about there
    found = align_file(ctx.path("speech.wav"), [word["text"] for word in words], language)
    starts = {phone.word: phone.start for phone in reversed(found) if phone.phone != UNKNOWN_PHONE}
    assert sorted(starts) == list(range(len(words)))
    assert np.mean([abs(starts[at] - word["start"]) for at, word in enumerate(words)]) < 0.06
    # And of another sentence none is
    assert {phone.phone for phone in align_file(ctx.path("speech.wav"), other.split(), language)} == {UNKNOWN_PHONE}
