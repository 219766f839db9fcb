"""Which letters an English voice can read. Cheap: no numpy, no model."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

#: First word of a letter's Unicode name → what people call the script. Scripts not listed go by their Unicode name.
_SCRIPTS = {
    "CJK": "Chinese",
    "KANGXI": "Chinese",
    "BOPOMOFO": "Chinese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
}
_LATIN = frozenset({"Latin"})
#: What languages are written in beside Latin letters, as `script_of` names it.
_READ = {
    **dict.fromkeys(("ru", "uk", "be", "bg", "sr", "mk", "kk", "mn"), frozenset({"Cyrillic"})),
    **dict.fromkeys(("ar", "fa", "ur"), frozenset({"Arabic"})),
    **dict.fromkeys(("hi", "mr", "ne"), frozenset({"Devanagari"})),
    "bn": frozenset({"Bengali"}),
    "el": frozenset({"Greek"}),
    "he": frozenset({"Hebrew"}),
    "ja": frozenset({"Japanese", "Chinese"}),
    "ka": frozenset({"Georgian"}),
    "ko": frozenset({"Korean", "Chinese"}),
    "ta": frozenset({"Tamil"}),
    "th": frozenset({"Thai"}),
    "zh": frozenset({"Chinese"}),
}
#: Letters of other blocks that English text uses: ª and º, the micro sign and ohm, all of which the voice reads.
_ENGLISH_TOO = frozenset("ªºµΩ")
#: Digits that are not read as such: "x²" is "x squared".
_SAID_AS_POWERS = frozenset("²³")


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """Script of one letter, such as "Latin", "Cyrillic" or "Chinese"; "" for what is no letter or only modifies one."""
    if not letter.isalpha() or unicodedata.category(letter) == "Lm":
        return ""
    if letter in _ENGLISH_TOO:
        return "Latin"
    first = unicodedata.name(letter, "").partition(" ")[0]
    if first in ("LATIN", "FEMININE", "MASCULINE"):
        return "Latin"
    return _SCRIPTS.get(first, first.capitalize() or "an unknown script")


@lru_cache(maxsize=4096)
def plain_char(char: str) -> str:
    """A styled or full-width character as its plain self ("𝓐" → "A", "７" → "7", "⑦" → "7", "Ⅳ" → "IV")."""
    if char in _SAID_AS_POWERS:
        return char
    if char.isdigit():
        return str(unicodedata.digit(char))
    styled = unicodedata.decomposition(char).startswith(("<font>", "<wide>", "<narrow>"))
    return unicodedata.normalize("NFKC", char) if styled or unicodedata.category(char) == "Nl" else char


def plain_text(text: str) -> str:
    """`plain_char` of every character, with accents composed (NFC), as lexicons write them."""
    # Once more after it: "ｶﾞ" has become "カ" with a mark of its own.
    return unicodedata.normalize("NFC", "".join(map(plain_char, unicodedata.normalize("NFC", text))))


def scripts_of(language: str) -> frozenset[str]:
    """Scripts that a voice of this language reads; all but a few languages read Latin letters and no others."""
    return _READ.get(language.casefold().partition("-")[0], _LATIN) | _LATIN


def can_say(text: str, scripts: frozenset[str] = _LATIN) -> bool:
    """Whether anything in `text` has a reading: a letter of these scripts, or a digit."""
    return any(char.isdigit() or script_of(char) in scripts for char in plain_text(text))
