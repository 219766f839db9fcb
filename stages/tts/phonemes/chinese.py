"""Front end of Mandarin: figures → characters → pinyin → phonemes of Kokoro, each with the word of its character.

Misaki, the front end by Kokoro's author, supplies the reading of figures and the phonemes of a syllable. Its own text
processing is not used, because it loses the owners of phonemes, and Latin words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import rjieba
from misaki.transcription import pinyin_to_ipa
from misaki.zh_normalization.text_normalization import TextNormalizer, tranditional_to_simplified
from pypinyin import Style, lazy_pinyin

from stages.tts.phonemes.reading import EnglishFrontEnd
from stages.tts.phonemes.tracked_text import PUNCTUATION, PhonemeLine, TrackedFrontEnd, TrackedText, add_english
from stages.tts.text.word_alignment import match_words

_HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
#: A sign outside numbers and times; a Latin word that is not a unit; anything else.
_TEXT_PARTS = re.compile(
    r"(?P<mark>[^\w\s,.:%‰/~+\-°℃℉'&]|(?<!\d)[,.:]|[,.:](?!\d))"
    r"|(?P<latin>(?<![\dA-Za-z/])[A-Za-z]+(?:['’&.-]?[A-Za-z]+)*)"
    r"|(?P<rest>(?:(?!(?<![\dA-Za-z/])[A-Za-z])(?:[\w\s%‰/~+\-°℃℉'&]|(?<=\d)[,.:](?=\d)))+|.)",
    re.DOTALL,
)
_HAN_RUN = re.compile(f"[{_HAN}]+|.", re.DOTALL)
_CURRENCIES = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
#: Corrections before misaki's rules for figures.
_FIGURES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),  # 1,250
    (re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(?!\d)"), r"\1年\2月\3日"),
    (re.compile(r"(?<!\d)(\d{1,3}):(\d)(?!\d)"), r"\1比\2"),
    # Before a measure word two is 两; otherwise it is 二.
    (re.compile(r"(?<![\d.,第/:-])2(?=[个位名种次天周条张本件只块元万千亿点小倍家年](?!级))"), "两"),
)
_MONEY = re.compile(r"([¥￥$€£])(\d[\d,.]*\d|\d)([万亿]?)")
#: Misaki's tones → those of the network; longer ones first, because they contain the shorter ones.
_TONES = (("˧˩˧", "↓"), ("˧˥", "↗"), ("˥˩", "↘"), ("˥", "→"), ("ɻ̩", "ɨ"), ("ɹ̩", "ɨ"), ("̯", ""))


def front_end(_: str) -> TrackedFrontEnd:
    """Return the front end of Mandarin."""
    return TrackedFrontEnd(_add_text)


def _add_text(text: TrackedText, line: PhonemeLine) -> None:
    text = text.sub(_MONEY, lambda money: money[2] + money[3] + _CURRENCIES[money[1]])
    for pattern, replacement in _FIGURES:
        text = text.sub(pattern, replacement)
    for part in _TEXT_PARTS.finditer(text.text):
        here = text[part.start() : part.end()]
        if part["mark"] or here.text in PUNCTUATION:
            line.mark(here.text, here.owners[0])
        elif part["latin"]:
            add_english(line, EnglishFrontEnd().read([here.text]), here.owners[0])
        else:
            _add_characters(_figures_in_characters(here), line)


def _figures_in_characters(text: TrackedText) -> TrackedText:
    simple = tranditional_to_simplified(text.text)
    if simple.isalpha():
        return TrackedText(simple, text.owners)
    read = _normalizer().normalize_sentence(simple)
    places = match_words(list(simple), list(read))
    return TrackedText(read, tuple(text.owners[place] for place in places))


def _add_characters(text: TrackedText, line: PhonemeLine) -> None:
    for run in _HAN_RUN.finditer(text.text):
        if re.match(f"[{_HAN}]", run[0]) is None:
            line.gap()
            continue
        at = run.start()
        for word in rjieba.cut(run[0]):
            line.gap()
            for owner, syllable in zip(text.owners[at:], _syllables(word), strict=False):
                line.add(syllable, owner)
            at += len(word)


def _syllables(word: str) -> list[str]:
    """Return the phonemes of each character; empty for one without a known reading."""
    return [_phonemes(pinyin) for pinyin in lazy_pinyin(word, Style.TONE3, _no_readings, neutral_tone_with_five=True)]


def _no_readings(signs: str) -> Any:  # the annotation says str; a list is one item for each sign
    return [""] * len(signs)


@lru_cache(maxsize=2048)
def _phonemes(pinyin: str) -> str:
    try:
        phonemes = "".join(pinyin_to_ipa(pinyin)[0]) if pinyin else ""
    except ValueError:  # an interjection outside the table, such as "ê̄"
        return ""
    for tone, sign in _TONES:
        phonemes = phonemes.replace(tone, sign)
    return phonemes


@lru_cache(maxsize=1)
def _normalizer() -> TextNormalizer:
    return TextNormalizer()
