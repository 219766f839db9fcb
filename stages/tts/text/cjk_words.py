"""Splits Chinese and Japanese text, which has no spaces between words, into words.

A word is a unit of timing.json and of line breaks in captions: a word in Chinese, a word with its particles in Japanese.
Jieba's dictionary covers simplified Chinese. For Japanese and traditional Chinese the line breaker budoux finds phrases.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from stages.media.fullwidth import CLOSING, OPENING, TRADITIONAL, UNSPACED, is_unspaced

_LETTERS = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_KANA = re.compile("[\u3041-\u30ff\uff66-\uff9f]")
_WRAPPED = re.compile(f"(?<=[{UNSPACED}])[^\\S\\n]*\\n[^\\S\\n]*(?=[{UNSPACED}])")
_BLANKS = re.compile(
    f"(?<=[{UNSPACED}])\\s+(?=[{UNSPACED}\\d])|(?<=\\d)\\s+(?=[{UNSPACED}])|(?<=[{UNSPACED}][,.:;!?])\\s+(?=[{UNSPACED}])"
)
#: Units in dates and times, which a figure may follow without a break.
_DATED = "年月点點时時分"
#: A clause with its closing punctuation. Words are found in each clause separately.
_CLAUSE = re.compile(r"[^、。，．：；！？…‥—,;:!?]*[、。，．：；！？…‥—,;:!?]*[」』）】〕〉》”’]*")


class WordBreaker:
    """Finds words in text of one language.

    Args:
        parts: splits a clause into parts, in order and complete.
    """

    def __init__(self, parts: Callable[[str], list[str]]) -> None:
        self._parts = parts

    def words(self, run: str) -> list[str]:
        """Return the words of a text without spaces, in order; joined they are the text."""
        found: list[str] = []
        for clause in _CLAUSE.findall(run):
            for part in self._parts(clause):
                if found and not _may_break(found[-1], part):
                    found[-1] += part
                else:
                    found.append(part)
        return found


def breaker_for(language: str, text: str) -> WordBreaker | None:
    """Return the word breaker for a text; None where spaces separate its words.

    Text that is mostly Han or kana gets one even if `language` is another, because a recording's may be unset.
    """
    tag = language.casefold()
    primary = tag.partition("-")[0]
    if primary == "ko" or not (letters := _LETTERS.findall(text)):
        return None
    if primary not in ("zh", "yue", "ja"):
        if 2 * len(letters) <= sum(map(str.isalpha, text)):
            return None
        tag = primary = "ja" if _KANA.search(text) else "zh"
    return _load_breaker("ja" if primary == "ja" else "zh-hant" if tag.startswith(TRADITIONAL) else "zh")


@lru_cache(maxsize=3)
def _load_breaker(name: str) -> WordBreaker:
    if name == "zh":
        import rjieba

        return WordBreaker(rjieba.cut)
    import budoux

    load = budoux.load_default_japanese_parser if name == "ja" else budoux.load_default_traditional_chinese_parser
    return WordBreaker(load().parse)


def join_wrapped_lines(line: str) -> str:
    """Join lines that were wrapped between two characters of such scripts, without a space."""
    return _WRAPPED.sub("", line)


def without_blanks(text: str) -> str:
    """Remove spaces between two characters of such scripts, or one and a figure."""
    return _BLANKS.sub("", text)


def _may_break(before: str, after: str) -> bool:
    """Return whether a line may break between two parts; keeps Latin words, dates, and numbers with their unit whole."""
    left, right = before[-1], after[0]
    if left in OPENING or right in CLOSING or (left in _DATED and right.isdigit()):
        return False
    return (is_unspaced(left) or is_unspaced(right)) and not (left.isdigit() and _LETTERS.match(right) is not None)
