"""Chinese and Japanese: sentences, words, captions and times where no blanks part the words."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stages.tts
from daemon.errors import JobError
from stages.encode.captions.cues import MAX_WIDE_COLUMNS, make_cues
from stages.media.fullwidth import CLOSING, OPENING, column_width
from stages.tts.engines.xtts.text_chunks import network_text, split_to_fit
from stages.tts.text.sentences import Sentence, join_words, split_pieces, split_text
from stages.tts.text.spoken_words import WordPreparer
from stages.tts.timing import Phone, Word, timed_words
from tests.support.endurance import repeats
from tests.support.stages.sound_jobs import ffmpeg, job, timing

NEWS = (
    "大家好，欢迎来到我们的节目。今天是2026年3月15日，天气很好！价格上涨了50%，达到1,250元……也许明年会好一些。他说：“走吧！”我们就走了。"
    "我们一直没有停顿地继续说下去直到字幕必须在某个地方换行才能让观众看清楚所有的文字内容。"
)
TALK = (
    "今日はとても天気がいいですね。「はい。行きます！」と彼は言った。午後2時30分に、東京タワーで会いましょう。"
    "アーノルド・シュワルツェネッガーさんが出演した映画をみんなで一緒に見てから、コンピューターを買った。"
)


def words_of(text: str, language: str) -> list[Word]:
    """The words of a text as timing.json has them, said at an even pace."""
    found: list[Word] = []
    at = 0.0
    for number, sentence in enumerate(split_text(text, language)):
        for place, word in enumerate(sentence.words):
            found.append(Word(word, at, at + 0.1 * column_width(word), number, place in sentence.glued))
            at = found[-1].end
    return found


@pytest.mark.parametrize(
    ("text", "language", "starts"),
    [
        ("你好。今天天气很好！我们去公园吧？", "zh", ["你好。", "今天天气", "我们"]),
        ("很好.我们走吧!圆周率是3.14。1.先洗手。", "zh", ["很", "我们", "圆周率", "1."]),
        ("他说：“走吧！”我们就走了……也许明天再来。", "zh", ["他"]),
        ("「はい。行きます！」と彼は言った。またね。", "ja", ["「はい。", "行きます！」", "またね。"]),
        ("春眠不觉\n晓处处闻\n啼鸟", "zh-CN", ["春眠"]),
        ("・りんご\n・みかん", "ja", ["・りんご", "・みかん"]),
        ("大家好。这里没有空格，也没有说明语言。", "en", ["大家", "这里"]),
        ("안녕하세요 여러분. 大韓民國 만세.", "ko", ["안녕하세요", "大韓民國"]),
    ],
)
def test_sentences_end_where_no_blank_follows(text: str, language: str, starts: list[str]) -> None:
    assert [sentence.words[0] for sentence in split_text(text, language)] == starts


@pytest.mark.parametrize(("text", "language"), [(NEWS, "zh"), (NEWS, "zh-TW"), (TALK, "ja")])
def test_words_are_what_a_line_may_break_between(text: str, language: str) -> None:
    # Given a text with quotations, numbers, Latin words and long names, in one run
    sentences = split_text(text, language)
    words = [word for sentence in sentences for word in sentence.words]
    # Then nothing of it is lost, nothing is put between, and no word begins or ends where no line may
    assert "".join(sentence.text for sentence in sentences) == text
    assert max(map(len, words)) <= 20
    assert not [word for word in words if word[0] in CLOSING or word[-1] in OPENING]
    # And numbers keep together with what they count
    assert any("2026年3月15日" in word or "2時30分に、" in word for word in words)


def test_blanks_that_were_written_stay() -> None:
    # Given lines wrapped by an editor, a mark without blanks, blanks that mean something, and Latin words
    first, second = split_text("我们今天在这里一起慢慢地\n写了一段话。\n\n春 夏[pause 1s]秋，用Python 3写的。", "zh")
    # Then only the blanks are kept that stood between words
    assert first.text == "我们今天在这里一起慢慢地写了一段话。"
    assert second.text == "春 夏秋，用Python 3写的。"
    assert second.pauses == ((2, 1.0),)
    # And a text of another language is not touched by a few such words in it
    (english,) = split_text("They say 你好。再见 there.", "en")
    assert english.words == ("They", "say", "你好。再见", "there.")
    assert not english.glued


_RUN = st.text("今天気がいい。、！？「」（）…ー々ゃッAb 3,.\n%\u3000“”【】繁體", min_size=1, max_size=60)


@settings(max_examples=repeats("AVATAR_FUZZ", 40, 150))
@given(_RUN, st.sampled_from(["zh", "zh-TW", "ja"]))
def test_no_character_is_lost_in_any_mixture(text: str, language: str) -> None:
    # Given signs, kana, Han, Latin and blanks in any order
    sentences = split_text(text, language)
    # Then all that is not blank is there again, and no sentence begins with what closes another
    assert "".join("".join(sentence.words) for sentence in sentences) == "".join(text.split())
    for one in sentences:
        assert not one.words or join_words(one.words, one.glued) == one.text
    for cue in make_cues(words_of(text, language), 12) if text.split() else []:
        assert all(0 < column_width(line) <= 12 for line in cue.lines)


@pytest.mark.parametrize(("text", "language"), [(NEWS, "zh"), (TALK, "ja")])
def test_captions_break_as_readers_expect(text: str, language: str) -> None:
    # Given sentences, one of which is longer than a cue
    words = words_of(text, language)
    for limit in (42, 16):
        found = make_cues(words, limit)
        lines = [line for cue in found for line in cue.lines]
        # Then lines have at most 18 full-width characters, no blank was put in, and signs stay where they belong
        assert all(column_width(line) <= min(limit, MAX_WIDE_COLUMNS) for line in lines)
        assert "".join(lines) == text
        assert not [line for line in lines if line[0] in CLOSING or line[-1] in OPENING]
        assert all(a.end <= b.start + 1e-9 for a, b in pairwise(found))
    # And they end between words, as far as a word fits on a line
    ends = {end for end, _ in pairwise(found)}
    assert len(ends) > 4


def test_pieces_are_as_long_as_they_take_to_say() -> None:
    # Given a sentence of 240 characters without a stop, which takes three times as long as 240 Latin letters
    (sentence,) = split_text("我们今天要去公园散步，" * 24, "zh")
    spans = list(split_pieces(sentence.words))
    # Then it is cut, and at its clauses
    assert len(spans) >= 3
    assert all(sentence.words[span.stop - 1].endswith("，") for span in spans)


def test_engines_are_given_text_without_false_blanks() -> None:
    # Given words that were found, in the form that XTTS is given
    (sentence,) = split_text("今日は「スーパー」で、時々ｶﾞﾑを３つ買います。", "ja")
    prepared = WordPreparer("ja").prepare(sentence.words)
    text = network_text(prepared.words)
    assert "時々ガムを3つ" in "".join(prepared.words)
    # Then no blank is between them, and none of the marks that lengthen or repeat is lost
    assert text == "今日はスーパーで、時々ガムを3つ買います。"
    # And where it is too long for the network it is cut between words
    (long,) = split_text("我们一直没有停顿地继续说下去直到字幕必须在某个地方换行", "zh")
    parts = list(split_to_fit(network_text(long.words), lambda part: len(part) <= 10))
    assert "".join(parts) == network_text(long.words)
    assert all(
        any("".join(long.words[:at]) == "".join(parts[: n + 1]) for at in range(40)) for n in range(len(parts) - 1)
    )


def test_what_has_no_sound_joins_its_neighbour_as_it_was_written() -> None:
    # Given a word that nobody heard in a run, and a sign after a blank
    sentence = Sentence(("你好", "〓", "世界", "🎉"), True, glued=frozenset({1, 2}))
    # When the words get their times
    _, words, _ = timed_words([sentence], [Phone("a", at, at + 0.5, at, 0) for at in (0, 2)])
    # Then both stand where they stood, and a blank only where one was
    assert [(word.text, word.glued) for word in words] == [("你好〓", False), ("世界 🎉", True)]


@pytest.mark.usefixtures("processes")
def test_the_words_of_a_brought_sound_get_times_by_phrase(tmp_path: Path) -> None:
    # Given a sound of three seconds and its words in Japanese
    ctx = job(tmp_path, text="今日はとても天気がいいですね。公園に行きましょう。", language="ja", audio="said.wav")
    ffmpeg("-f", "lavfi", "-i", "sine=220:d=3", "-f", "wav", str(ctx.path("source.audio")))
    stages.tts.run(ctx)
    found = timing(ctx)
    # Then each phrase has a time of its own, and the sentences are as they were written
    assert found["method"] == "energy"
    assert [word["text"] for word in found["words"]][:3] == ["今日は", "とても", "天気が"]
    assert [sentence["text"] for sentence in found["sentences"]] == [
        "今日はとても天気がいいですね。",
        "公園に行きましょう。",
    ]
    assert all(a["end"] <= b["start"] + 1e-6 for a, b in pairwise(found["words"]))
    assert "glued" not in found["words"][0]
    assert all(word["glued"] for word in found["words"][1:])


def test_an_english_voice_refuses_as_before(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        stages.tts.run(job(tmp_path, text="今天天气很好。我们去公园吧！"))
    assert caught.value.code == "text-not-english"
    # And says what may have been forgotten
    assert "`language: zh`" in caught.value.hint
