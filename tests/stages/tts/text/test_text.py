"""Text as people write it: what is said, what is shown, and where the pauses are."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.tts
from daemon.config import Settings
from daemon.config.lexicon import entries_for_language
from daemon.errors import ConfigError, JobError
from stages.tts.phonemes.reading import EnglishFrontEnd
from stages.tts.text.clean import clean_text
from stages.tts.text.language_guess import guess_other_language, other_language_warning
from stages.tts.text.markup import markup_warnings, recording_markup_warnings
from stages.tts.text.pause_marks import check_marks
from stages.tts.text.sentences import split_text
from stages.tts.text.spoken_words import WordPreparer
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")

LEXICON = {"avatard": "AV-uh-tar-dee", "nginx": "engine ex", "Siobhan": "/ʃəvˈɔn/"}


def said(text: str, language: str = "en") -> str:
    """What is said, sentence by sentence, as an engine gets it."""
    preparer = WordPreparer(language, LEXICON)
    return " | ".join(" ".join(preparer.prepare(sentence.words).words) for sentence in split_text(text))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Mail anna.smith+x@example.co.uk, now.", "Mail anna dot smith plus x at example dot co dot UK, now."),
        ("See (https://www.example.com/docs/page-2?x=1#y).", "See example dot com slash docs slash page dash 2."),
        ("Try example.io!", "Try example dot IO!"),
        ("No address: etc.and 3.5 node.js e.g. U.S.A.", "No address: etc.and 3.5 node.js e.g. U.S.A."),
        ("See [our site](https://x.example.com/a) now.", "See our site now."),
        ("A **very** _soft_ `code` word_with_parts", "A very soft code word_with_parts"),
        ("# Title\nText of the body.\n- one\n* two", "Title | Text of the body. | one | two"),
        ("Title\n=====\nText.", "Title | Text."),
        ("Fine :-) and <3 good 🎉 :D, xD", "Fine and good"),
        ("8) At 83 she has 833 and XP.", "8) At 83 she has 833 and XP."),
        ("Open 24/7, at ≤ 5 °C", "Open twenty-four seven, at at most 5 °C"),
        ("Ask nginx; or Siobhan.", "Ask engine ex; or Siobhan."),
        ("Avatard's fine.", "av-uh-tar-dee's fine."),
        ("5 - 3 — that is it.", "5 - 3 — that is it."),
    ],
)
def test_layout_and_addresses_are_said_as_a_person_would(text: str, spoken: str) -> None:
    assert said(text) == spoken


def test_addresses_are_said_in_the_language_of_the_voice() -> None:
    assert said("Siehe www.beispiel.de/neu.", "de") == "Siehe beispiel Punkt DE Schrägstrich neu."
    assert said("Пиши на a@b.ru", "ru") == "Пиши на a@b.ru"


def test_the_lexicon_decides_how_a_word_sounds() -> None:
    # Given words with a respelling, with phonemes, and with other words
    preparer = WordPreparer("en", LEXICON)
    prepared = preparer.prepare(["Siobhan", "runs", "avatard,", "Avatard's", "nginx."])
    # When they are read, then stress and punctuation are kept, and each sound belongs to its word
    reading = EnglishFrontEnd().read(prepared.words, prepared.sounds)
    assert reading.chars == "ʃəvˈɔn ɹˈʌnz ˈævʌtɑɹdi, ˈævʌtɑɹdiz ˈɛnʤən ˈɛks."
    assert [prepared.owners[owner] for owner in reading.owners if owner >= 0][-1] == 4


def test_captions_keep_the_words_as_they_were_written(tmp_path: Path) -> None:
    # Given a text with everything that is said otherwise than it is written
    text = "# News 🎉\nWrite to me@example.com, or see https://example.com/a. [pause 0.2s] It costs $5, **avatard** says :-)"
    lexicon = {"en": LEXICON, "es": {"me@example.com": "/x/"}}
    ctx = job(tmp_path, {"stages": {"tts": {"lexicon": lexicon}}}, text=text)
    stages.tts.run(ctx)
    # Then the words are the text but for the mark, each with a time of its own, in order
    words = timing(ctx)["words"]
    assert " ".join(word["text"] for word in words) == " ".join(text.replace("[pause 0.2s]", "").split())
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(words))
    times = {word["text"]: word["end"] - word["start"] for word in words}
    assert times["me@example.com,"] > 1.0


def test_a_text_from_a_web_page_is_said_and_shown_as_a_browser_shows_it(tmp_path: Path) -> None:
    # Given paragraphs, bold words, an entity and a ligature
    ctx = job(tmp_path, text="<p>Our <b>oﬃce</b></p><p>is open &amp; warm.</p>")
    stages.tts.run(ctx)
    # Then they are words and paragraphs
    assert [sentence["text"] for sentence in timing(ctx)["sentences"]] == ["Our office", "is open & warm."]
    first, second = timing(ctx)["sentences"]
    assert second["start"] - first["end"] > 0.55


def test_marked_pauses_are_where_they_were_marked(tmp_path: Path) -> None:
    # Given a pause in the middle of a sentence, one after it, and two in a row at the end
    text = "Well [pause 1.5s] I see. [pause 900ms] That is all. [pause] [pause 1s]"
    ctx = job(tmp_path, text=text)
    stages.tts.run(ctx)
    words = timing(ctx)["words"]
    samples, rate = sound(ctx.path("speech.wav"))
    # Then the silences have those lengths (with the little room each utterance keeps), and do not end a sentence
    assert [word["text"] for word in words] == ["Well", "I", "see.", "That", "is", "all."]
    assert [sentence["text"] for sentence in timing(ctx)["sentences"]] == ["Well I see.", "That is all."]
    slack = 0.15
    assert 1.5 <= words[1]["start"] - words[0]["end"] <= 1.5 + slack
    assert 0.9 <= words[3]["start"] - words[2]["end"] <= 0.9 + slack
    assert 1.5 <= timing(ctx)["duration"] - words[5]["end"] <= 1.5 + slack
    middle = round((words[0]["end"] + 0.75) * rate)
    assert not np.any(samples[middle - 2000 : middle + 2000])


@pytest.mark.parametrize(
    "mark", ["[pause soon]", "[pause 99s]", "[pause -1s]", "[pause 1h]", "[pause ms]", "[pause .]"]
)
def test_a_pause_that_cannot_be_understood_is_named(tmp_path: Path, mark: str) -> None:
    with pytest.raises(JobError) as caught:
        stages.tts.run(job(tmp_path, text=f"Hello {mark} there."))
    assert caught.value.code == "pause-invalid"
    assert mark in caught.value.message


def test_a_text_of_nothing_but_pauses_is_empty(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        stages.tts.run(job(tmp_path, text="[pause 1s] [pause]"))
    assert caught.value.code == "text-empty"


@pytest.mark.parametrize("text", ["a@" * 2500, "a." * 2500, "[" * 5000, "](/" * 1600, "*_" * 2500, "'s" * 2500,
                                  "[pause " * 700, "# " * 2500, "=\n" * 2500, "a\n---\n" * 800])  # fmt: skip
def test_preparing_takes_no_longer_than_reading(text: str) -> None:
    # Given 5,000 characters made to keep greedy patterns busy
    started = time.process_time()
    preparer = WordPreparer("en", LEXICON)
    try:
        for sentence in split_text(text):
            preparer.prepare(sentence.words)
    except JobError:
        pass
    # Then this process has not spent more than a moment on it
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("text", "language", "warns"),
    [
        ("Das Wetter ist heute schön und wir gehen mit den Kindern in den Park.", "en", "German"),
        ("Le train part à huit heures et nous sommes dans la gare avec les enfants.", "en-US", "French"),
        ("The weather is fine today, and we go to the park with the children.", "de", "English"),
        ("The weather is fine today, and we go to the park with the children.", "en", None),
        ("De la Cruz and Van der Berg met Le Pen in La Paz; Los Angeles won the cup.", "en", None),
        ("Buy milk, eggs, butter, flour, sugar, bread, cheese, apples, pears.", "en", None),
        ("Guten Tag.", "en", None),
        ("Das Wetter ist heute schön und wir gehen mit den Kindern in den Park.", "ja", None),
    ],
)
def test_a_text_in_another_language_is_only_warned_of(text: str, language: str, warns: str | None) -> None:
    guess = guess_other_language(text, language)
    assert (guess is None) == (warns is None)
    assert warns is None or warns in other_language_warning(str(guess), language, "")


def test_ssml_and_stage_directions_are_read_or_left_out_with_a_warning() -> None:
    # Given what people paste from other tools, beside HTML, mathematics and brackets that are part of the text
    text = (
        '<speak>Hi<break time="1s"/><break strength="strong"/> <emphasis level="strong">you</emphasis> [laughs]! (Sighs softly) '
        '<sub alias="World Wide Web">WWW</sub> H<sub>2</sub>O, if (a<b && c>d) (laughter is healthy) [1984]</speak>'
    )
    # Then pauses and substitutes are honoured, other elements keep their words, and directions are gone
    left = "Hi [pause 1s] [pause 0.8] you! World Wide Web H2O, if (a<b && c>d) (laughter is healthy) [1984]"
    assert " ".join(clean_text(text).split()) == left
    # And what was left out is told
    markup, directions = markup_warnings(text)
    assert "<emphasis>" in markup
    assert "<sub>" not in markup
    assert ": [laughs], (Sighs softly)." in directions
    assert list(markup_warnings("Plain <b>text</b> (with brackets).")) == []
    # And words in square brackets within a sentence, which may be either, are told of, whatever letter they begin with
    for inner in ("music industry", "Camera zooms in"):
        (said,) = markup_warnings(f"She works in [{inner}] now.")
        assert f"[{inner}]" in said
    # And a break that is none is refused, as a pause mark is
    with pytest.raises(JobError) as caught:
        check_marks(clean_text('Hi <break time="soon"/> you'))
    assert caught.value.code == "pause-invalid"


def test_directions_and_names_are_not_looked_for_in_a_recording() -> None:
    directions, names = recording_markup_warnings("[laughs]\nANNA: Good morning.\nBEN: Hi.\nNote: this is read.")
    assert "not looked for in the sound" in directions
    assert directions.endswith(": [laughs].")
    assert "not looked for in the sound" in names
    assert names.endswith(": ANNA, BEN.")


def test_a_jobs_own_lexicon_comes_before_that_of_the_settings(tmp_path: Path) -> None:
    # Given a word that the settings and the job say in other ways, and one that only the settings know
    settings = {"stages": {"tts": {"lexicon": {"nginx": "one", "vim": "vee eye em"}}}}
    own: list[dict[str, Any]] = [
        {},
        {"lexicon": {"NGINX": "one hundred and twenty"}},
        {"lexicon": {"de": {"nginx": "x"}}},
    ]
    made = []
    for number, more in enumerate(own):
        ctx = job(tmp_path / str(number), settings, kind="speech", image=None, text="nginx vim", **more)
        made.append(stages.tts.run(ctx)["audio_s"])
    # Then the job's own is heard, where it is of the job's language
    assert made[1] > made[0] + 0.3
    assert made[2] == made[0]


@pytest.mark.parametrize(
    ("lexicon", "named"),
    [
        ({"two words": "x"}, "'two words'"), ({"a": ""}, "'a'"), ({"a": "/x"}, "'/x'"), ({"a,": "b"}, "'a,'"),
        ({"a": "x" * 300}, "'a'"), ({24: "x"}, "quotes"), ({"deutsch": {"a": "b"}}, "not a language tag"),
        ({False: {"a": "b"}}, "'no', in quotes"), ({"es": {"two words": "x"}}, "es: 'two words'"), ({"en": ["a"]}, "'en"),
    ],
)  # fmt: skip
def test_a_lexicon_that_cannot_be_is_refused(tmp_path: Path, lexicon: dict[Any, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.parse({"stages": {"tts": {"lexicon": lexicon}}}, tmp_path / "config.yaml")
    assert str(caught.value.message).startswith(f"{tmp_path / 'config.yaml'}: stages.tts.lexicon: ")
    assert named in str(caught.value)


def test_a_lexicon_holds_for_its_language_only() -> None:
    # Given entries for all languages, for Spanish, and for that of Mexico
    lexicon = {
        "nginx": "engine ex",
        "es": {"Nginx": "énchin ex", "vale": "vá-LE"},
        "es-MX": {"vale": "sale"},
        "de": "day",
    }
    tts = Settings.model_validate({"stages": {"tts": {"lexicon": lexicon}}}).stages.tts
    # Then each job gets its own, the nearest first, and a word that looks like a language is a word
    assert entries_for_language(tts.lexicon, "en-GB") == {"nginx": "engine ex", "de": "day"}
    assert entries_for_language(tts.lexicon, "es") == {"Nginx": "énchin ex", "vale": "vá-LE", "de": "day"}
    assert entries_for_language(tts.lexicon, "es-mx") == {"Nginx": "énchin ex", "vale": "sale", "de": "day"}
