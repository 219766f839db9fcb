"""Captions: cues that can be read, and files that players understand."""

from __future__ import annotations

import functools
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.encode.captions.ass_subtitles import ass_script, burned_font_size, burned_line_chars
from stages.encode.captions.cues import MAX_CUE_S, MAX_LINE_CHARS, Cue, make_cues, to_srt, to_vtt
from stages.encode.captions.fonts import Font, choose_font
from stages.encode.captions.place import CaptionPlace
from stages.encode.captions.shown_words import caption_words
from stages.media.ffmpeg import ffmpeg_path
from stages.media.fullwidth import column_width
from stages.tts.timing import Word
from tests.support.endurance import repeats

LONG = (
    "It took him four matches, and it cost him three dollars fifty worth of paraffin, "
    "a price he would mention with pride at every Christmas dinner afterwards."
)


@functools.cache
def font() -> Font:
    return choose_font("a", "en")[0]


def timed(text: str, word_s: float = 0.3, sentence: int = 0, start: float = 0.0) -> list[Word]:
    """Words of a sentence, `word_s` each, without pauses."""
    return [
        Word(word, start + word_s * at, start + word_s * (at + 1), sentence) for at, word in enumerate(text.split())
    ]


def check(found: list[Cue], words: list[Word], limit: int = MAX_LINE_CHARS) -> None:
    for cue in found:
        assert 1 <= len(cue.lines) <= 2
        assert all(0 < column_width(line) <= limit for line in cue.lines)
        assert 0 < cue.end - cue.start <= MAX_CUE_S + 1e-9
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(found))
    seen = "".join("".join(cue.lines) for cue in found).replace(" ", "")
    assert seen == "".join(word.text for word in words).replace(" ", "")


def test_a_long_sentence_breaks_where_it_breathes() -> None:
    # Given a sentence that needs several cues
    words = timed(LONG)
    # When it is cut
    found = make_cues(words)
    # Then every rule holds and each cue but the last ends at a comma
    check(found, words)
    assert len(found) >= 2
    assert all(cue.lines[-1].endswith(",") for cue in found[:-1])


def test_lines_are_balanced() -> None:
    (cue,) = make_cues(timed("Nobody on the whole island had seen such waves before", 0.2))
    assert abs(len(cue.lines[0]) - len(cue.lines[1])) < 12


def test_sentences_and_long_pauses_have_cues_of_their_own() -> None:
    # Given two short sentences, and a third with a pause of two seconds in it
    words = timed("Yes.", sentence=0) + timed("No.", sentence=1, start=0.5) + timed("Wait for", sentence=2, start=1.2)
    words += timed("it.", sentence=2, start=4.0)
    # Then nothing is shown together that is not said together
    assert [" ".join(cue.lines) for cue in make_cues(words)] == ["Yes.", "No.", "Wait for", "it."]


def test_a_slow_sentence_changes_its_cue_in_time() -> None:
    words = timed("slowly and very slowly it goes on", word_s=1.5)
    check(make_cues(words), words)


_WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=60)


@settings(max_examples=repeats("AVATAR_FUZZ", 20, 60))
@given(
    st.lists(st.tuples(_WORD, st.integers(0, 300), st.integers(1, 400)), min_size=1, max_size=40), st.integers(8, 42)
)
def test_any_words_make_readable_cues(parts: list[tuple[str, int, int]], limit: int) -> None:
    # Given words of any length and pace, some longer than a line
    words: list[Word] = []
    at = 0.0
    for text, pause, length in parts:
        at += pause / 100
        words.append(Word(text, at, at + length / 100, len(words) // 12))
        at += length / 100
    # Then the rules hold and not a character is lost
    check(make_cues(words, limit), words, limit)


def test_marks_of_layout_are_not_shown() -> None:
    # Given words with the marks that headings, lists, bold letters and links are written with
    written = [("# News", 0), ("- First:", 1), ("**two**", 1), ("[pages](https://a.example)", 1), ("- one", 1)]
    words = [Word(text, at, at + 1, sentence) for at, (text, sentence) in enumerate(written)]
    # Then a reader sees none of them; a dash between words stays
    assert [word.text for word in caption_words(words)] == ["News", "First:", "two", "pages", "- one"]
    assert [word.start for word in caption_words(words)] == [word.start for word in words]


def test_subrip_and_webvtt_can_be_read_back() -> None:
    # Given cues with signs that mean something to players
    found = [Cue(0.0, 1.5, ("a < b & c", "x --> y")), Cue(3661.25, 3662.0, ("{an} \\N",))]
    # Then times are written as each format wants, and the signs do no harm
    assert re.findall(r"\S+ --> \S+", to_srt(found)) == [
        "00:00:00,000 --> 00:00:01,500",
        "01:01:01,250 --> 01:01:02,000",
    ]
    assert to_srt(found).startswith("1\n")
    web = to_vtt(found)
    assert web.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na &lt; b &amp; c\nx --&gt; y\n")
    assert web.count("-->") == 2


def test_burned_captions_show_signs_literally() -> None:
    # Given a cue with braces, a backslash command and an emoji, for a tall picture
    script = ass_script(
        [Cue(1.0, 2.5, ("{\\b1}bold \\N 🎉 é", "second"))], 404, 720, font(), CaptionPlace(False, 40, 20)
    )
    event = script.splitlines()[-1]
    # Then nothing of it is a command, the emoji is left out, and the lines are as cut
    assert event.endswith(",,\\{\\\u2060b1\\}bold \\\u2060N é\\Nsecond")
    assert "0:00:01.00,0:00:02.50" in event
    assert f"PlayResX: {404}" in script


def test_wide_letters_make_a_caption_smaller_instead_of_a_third_line() -> None:
    place = CaptionPlace(True, 40, 20)
    script = ass_script([Cue(0, 1, ("thin letters fit",)), Cue(1, 2, ("W" * 24,))], 404, 720, font(), place)
    thin, wide = script.splitlines()[-2:]
    assert "{" not in thin
    found = re.search(r",,\{\\fs(\d+)\}W+$", wide)
    assert found is not None
    assert 0.6 * burned_font_size(404, 720) - 1 <= int(found[1]) < burned_font_size(404, 720)


def test_burned_lines_fit_the_picture() -> None:
    for size in [(1920, 1080), (720, 720), (404, 720), (128, 128)]:
        assert burned_line_chars(*size) * burned_font_size(*size) * 0.56 <= size[0]
        assert 8 <= burned_line_chars(*size) <= MAX_LINE_CHARS


@pytest.mark.usefixtures("processes")
def test_players_show_what_looks_like_markup_in_subrip(tmp_path: Path) -> None:
    # Given a caption with what players read as HTML, an entity and a command of ASS
    line = r"<inaudible> {\i1} R&amp;B a < b & c {x}"
    (tmp_path / "a.srt").write_text(to_srt([Cue(0.0, 1.0, (line,))]), encoding="utf-8")
    # When ffmpeg's own player-side decoder reads it
    command = [ffmpeg_path(), "-v", "error", "-i", str(tmp_path / "a.srt"), "-f", "ass", "-"]
    shown = subprocess.run(command, capture_output=True, check=True).stdout.decode().splitlines()[-1]
    # Then nothing is lost: what it escapes for its own format stands for itself
    assert shown.split(",,", 2)[-1].replace("\u2060", "").replace("\\{", "{").split(",", 3)[-1].endswith(line)


def test_text_from_right_to_left_is_marked_in_every_caption_file() -> None:
    cues = [Cue(0.0, 1.0, ("שלום, Python 3.11!",)), Cue(1.0, 2.0, ("OK.",))]
    for written in (to_srt(cues), to_vtt(cues), ass_script(cues, 640, 360, font(), CaptionPlace(False, 40, 20))):
        assert "\u202bשלום, Python 3.11!\u202c" in written
        assert "\u202bOK" not in written
    assert "\u202b" not in to_srt([Cue(0.0, 1.0, ("The word שלום means peace.",))])
