"""Chinese and Japanese put no blanks between words: where in such text a line, and what counts as a word, may end.

A word of timing.json is there what a reader takes in at once and what a caption may break after: a word in Chinese, a
word with its particles in Japanese. Jieba's dictionary knows the words of simplified Chinese; the phrases of Japanese and of
traditional Chinese, which that dictionary has not, are found by budoux, a line breaker with small models of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from stages.media.fullwidth import CLOSING, OPENING, TRADITIONAL, UNSPACED, unspaced

_LETTERS = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_KANA = re.compile("[\u3041-\u30ff\uff66-\uff9f]")
_WRAPPED = re.compile(f"(?<=[{UNSPACED}])[^\\S\\n]*\\n[^\\S\\n]*(?=[{UNSPACED}])")
_BLANKS = re.compile(
    f"(?<=[{UNSPACED}])\\s+(?=[{UNSPACED}\\d])|(?<=\\d)\\s+(?=[{UNSPACED}])|(?<=[{UNSPACED}][,.:;!?])\\s+(?=[{UNSPACED}])"
)
#: What is counted in dates and times, which go on with a figure.
_DATED = "年月点點时時分"
#: After these a clause is over, and nothing beyond says where a word before them ends.
_CLAUSE = re.compile(r"[^、。，．：；！？…‥—,;:!?]*[、。，．：；！？…‥—,;:!?]*[」』）】〕〉》”’]*")


class WordBreaker:
    """Finds words in the text of one language."""

    def __init__(self, parts: Callable[[str], list[str]]) -> None:
        self._parts = parts

    def words(self, run: str) -> list[str]:
        """The words of a text without blanks, in order; joined they are the text."""
        found: list[str] = []
        for clause in _CLAUSE.findall(run):
            for part in self._parts(clause):
                if found and not _may_break(found[-1], part):
                    found[-1] += part
                else:
                    found.append(part)
        return found


def breaker_for(language: str, text: str) -> WordBreaker | None:
    """What finds the words of a text: None where blanks do.

    Where the language is another (a recording's may not be told), a text that is mostly Han or kana speaks for itself.
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
    """Lines that were wrapped between two such characters as one, which no blank joins."""
    return _WRAPPED.sub("", line)


def without_blanks(text: str) -> str:
    """The text without blanks between two such characters, or one and a figure, as it is to be said."""
    return _BLANKS.sub("", text)


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two parts; Latin words, numbers with what they count, and dates stay whole."""
    left, right = before[-1], after[0]
    if left in OPENING or right in CLOSING or (left in _DATED and right.isdigit()):
        return False
    return (unspaced(left) or unspaced(right)) and not (left.isdigit() and _LETTERS.match(right) is not None)
