"""Identifies the scripts of letters and which of them a voice can read. Needs neither numpy nor a model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

#: First word of a letter's Unicode name → common name of the script. Others keep the Unicode name.
_SCRIPTS = {
    "CJK": "Chinese",
    "KANGXI": "Chinese",
    "BOPOMOFO": "Chinese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
}
_LATIN = frozenset({"Latin"})
#: Scripts of languages, beside Latin, by the names of `script_of`.
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
#: Letters of other scripts that count as Latin, because English voices read them.
_ENGLISH_TOO = frozenset("ªºµΩ")
#: The figure dash is made for "555‒0142".
_BETWEEN_FIGURES = re.compile(r"(?<=\d)‒(?=\d)")
#: Digits that are not read as such: "x²" is "x squared".
_SAID_AS_POWERS = frozenset("²³")


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """Return the script of a letter, such as "Latin" or "Chinese"; an empty string for other characters and modifiers."""
    if not letter.isalpha() or unicodedata.category(letter) == "Lm":
        return ""
    if letter in _ENGLISH_TOO:
        return "Latin"
    first = unicodedata.name(letter, "").partition(" ")[0]
    if first in ("LATIN", "FEMININE", "MASCULINE"):
        return "Latin"
    return _SCRIPTS.get(first, first.capitalize() or "an unknown script")


#: Signs that are typed or pasted for a dash: figure dash, horizontal bar, box drawings, two- and three-em dash, minus forms.
_DASHES = dict.fromkeys(map(ord, "‒―─━┄┅┈┉╌╍═⸺⸻⸗⸚﹘︱︲⎯⏤—"), "—")


@lru_cache(maxsize=4096)
def plain_char(char: str) -> str:
    """Convert a styled or full-width character to plain ones ("𝓐" → "A", "７" → "7", "⑦" → "7", "Ⅳ" → "IV")."""
    if char in _SAID_AS_POWERS:
        return char
    if char.isdigit():
        return str(unicodedata.digit(char))
    styled = unicodedata.decomposition(char).startswith(("<font>", "<wide>", "<narrow>"))
    return unicodedata.normalize("NFKC", char) if styled or unicodedata.category(char) == "Nl" else char


def plain_text(text: str) -> str:
    """Apply `plain_char` to every character, compose accents (NFC), as in lexicons, and write all dashes as "—"."""
    # Compose again, because "ｶﾞ" has become "カ" with a combining mark.
    plain = unicodedata.normalize("NFC", "".join(map(plain_char, unicodedata.normalize("NFC", text))))
    return _BETWEEN_FIGURES.sub("-", plain).translate(_DASHES)


def scripts_of(language: str) -> frozenset[str]:
    """Return the scripts that voices of a language read: Latin, and for some languages others."""
    return _READ.get(language.casefold().partition("-")[0], _LATIN) | _LATIN


def scripts_of_others(text: str, language: str) -> Counter[str]:
    """Count the letters of a text by script, without those of its language (BCP 47 tag); empty where these are the most."""
    scripts = Counter(filter(None, map(script_of, plain_text(text))))
    own = sum(scripts.pop(script, 0) for script in scripts_of(language))
    return scripts if scripts.total() > own else Counter()


def script_names(scripts: Counter[str]) -> str:
    """Return the names of the most common scripts for a message."""
    # Japanese is written with Chinese characters too: where kana occur, it is one script for the reader.
    if "Japanese" in scripts:
        scripts = Counter(scripts)
        scripts["Japanese"] += scripts.pop("Chinese", 0)
    return " and ".join(name for name, _ in scripts.most_common(2))


def can_say(text: str, scripts: frozenset[str] = _LATIN) -> bool:
    """Return whether `text` contains a letter of these scripts, or a digit."""
    return any(char.isdigit() or script_of(char) in scripts for char in plain_text(text))
