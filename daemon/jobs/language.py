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
#: The same in the languages of neighbours.
TAG_OF_NAME |= {
    name: tag
    for tag, names in {
        "de": "allemand alemán aleman alemão tedesco duits niemiecki němčina",
        "en": "englisch anglais inglés ingles inglês inglese engels angielski",
        "es": "spanisch espagnol spagnolo espanhol spaans castellano hiszpański",
        "fr": "französisch francés frances francese francês frans francuski",
        "it": "italienisch italien italiaans", "ja": "japanisch japonais japonés giapponese", "nl": "niederländisch néerlandais",
        "pl": "polnisch polonais polaco", "pt": "portugiesisch portugais portugués portoghese",
        "ru": "russisch russe ruso русский", "tr": "türkisch turc türkçe", "zh": "chinesisch chinois chino cinese",
    }.items()
    for name in names.split()
}  # fmt: skip
#: Codes of three letters (ISO 639-2) of languages that have one of two.
_THREE_LETTERS = {
    "ara": "ar", "cat": "ca", "ces": "cs", "cze": "cs", "cym": "cy", "wel": "cy", "dan": "da", "deu": "de", "ger": "de",
    "ell": "el", "gre": "el", "eng": "en", "spa": "es", "fas": "fa", "per": "fa", "fin": "fi", "fra": "fr", "fre": "fr",
    "hin": "hi", "hun": "hu", "isl": "is", "ice": "is", "ita": "it", "jpn": "ja", "kat": "ka", "geo": "ka", "kaz": "kk",
    "kor": "ko", "ltz": "lb", "lav": "lv", "mal": "ml", "nep": "ne", "nld": "nl", "dut": "nl", "nor": "no", "nob": "no",
    "pol": "pl", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "slk": "sk", "slo": "sk", "slv": "sl", "srp": "sr",
    "swe": "sv", "swa": "sw", "tur": "tr", "ukr": "uk", "vie": "vi", "zho": "zh", "chi": "zh",
}  # fmt: skip
#: Words for a region beside the name of a language, as in "British English" and "English (US)".
_REGIONS = {
    "british": "GB", "uk": "GB", "gb": "GB", "american": "US", "us": "US", "usa": "US", "australian": "AU", "canadian": "CA",
    "indian": "IN", "irish": "IE", "brazilian": "BR", "mexican": "MX", "austrian": "AT", "swiss": "CH", "belgian": "BE",
    "traditional": "Hant", "simplified": "Hans",
}  # fmt: skip
#: Countries, by a code that is no language's and by what is called after them → the language that is meant.
_COUNTRIES = {
    "cn": "zh", "cz": "cs", "dk": "da", "gr": "el", "jp": "ja", "ua": "uk", "us": "en-US", "usa": "en-US", "gb": "en-GB",
    "american": "en-US", "british": "en-GB", "australian": "en-AU", "brazilian": "pt-BR", "mexican": "es-MX", "austrian": "de-AT",
}  # fmt: skip


def language_tag(value: Any) -> Any:
    """Return the language tag (BCP 47) for a text; any other value is returned unchanged.

    Raises:
        ValueError: it is no language tag; the message completes a sentence.
    """
    if not isinstance(value, str):
        return value
    tag = value.strip().rstrip(".").replace("_", "-")
    tag = (TAG_OF_NAME | _COUNTRIES | _THREE_LETTERS).get(tag.casefold(), tag)
    if len(words := re.findall(r"[^\s()\[\],]+", value.casefold())) == 2:
        names, regions = ([table[word] for word in words if word in table] for table in (TAG_OF_NAME, _REGIONS))
        tag = f"{names[0]}-{regions[0]}" if names and regions else tag
    tag = re.sub(r"^en-uk$", "en-GB", tag, flags=re.IGNORECASE)
    if not _TAG.fullmatch(tag):
        raise ValueError("must be a language tag, such as en, en-GB, es, fr, ja or zh")
    return tag
