"""Converts languages as people write them ("English", "Deutsch", "en_US", "jp") into language tags, and gives their names."""

from __future__ import annotations

import re
from typing import Any

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
#: Primary language tag → English name; those that some voice speaks.
LANGUAGE_NAMES = {
    "ar": "Arabic", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "hi": "Hindi", "hu": "Hungarian",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "ko": "Korean",
    "lb": "Luxembourgish", "lv": "Latvian", "ml": "Malayalam", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip
#: Names of languages in small letters, in English and in the language itself → primary language tag.
TAG_OF_NAME = {name.casefold(): tag for tag, name in LANGUAGE_NAMES.items()} | {
    "dansk": "da", "deutsch": "de", "español": "es", "espanol": "es", "farsi": "fa", "français": "fr", "francais": "fr",
    "italiano": "it", "magyar": "hu", "mandarin": "zh", "nederlands": "nl", "norsk": "no", "polski": "pl",
    "português": "pt", "portugues": "pt", "suomi": "fi", "svenska": "sv", "čeština": "cs",
}  # fmt: skip
#: Country codes that are no language code.
_COUNTRIES = {"cn": "zh", "cz": "cs", "dk": "da", "gr": "el", "jp": "ja", "ua": "uk"}


def language_tag(value: Any) -> Any:
    """Return the language tag (BCP 47) for a text; any other value is returned unchanged.

    Raises:
        ValueError: it is no language tag; the message completes a sentence.
    """
    if not isinstance(value, str):
        return value
    tag = value.strip().replace("_", "-")
    tag = (TAG_OF_NAME | _COUNTRIES).get(tag.casefold(), tag)
    if not _TAG.fullmatch(tag):
        raise ValueError("must be a language tag, such as en, en-GB, es, fr, ja or zh")
    return tag
