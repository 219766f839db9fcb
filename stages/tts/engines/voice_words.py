"""Reads a voice that is described in words, such as "british female", and says in words what a voice is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.jobs.language import LANGUAGE_NAMES, TAG_OF_NAME
from stages.tts.engines.base import Voice, primary_language

#: Adjective → the language that it implies ("" where several are spoken there), and the region.
_ACCENTS = {
    "american": ("en", "US"), "us": ("en", "US"), "usa": ("en", "US"), "british": ("en", "GB"), "uk": ("en", "GB"),
    "gb": ("en", "GB"), "australian": ("en", "AU"), "irish": ("en", "IE"), "indian": ("", "IN"), "canadian": ("", "CA"),
    "argentinian": ("es", "AR"), "mexican": ("es", "MX"), "castilian": ("es", "ES"), "brazilian": ("pt", "BR"),
    "austrian": ("de", "AT"), "swiss": ("", "CH"), "belgian": ("", "BE"), "flemish": ("nl", "BE"), "taiwanese": ("zh", "TW"),
}  # fmt: skip
#: Language → regions in which it has an accent that people name.
_NAMED_REGIONS = {
    "de": ("AT", "CH"), "en": ("AU", "CA", "GB", "IE", "IN", "US"), "es": ("AR", "ES", "MX"), "fr": ("BE", "CA", "CH"),
    "nl": ("BE",), "pt": ("BR",), "zh": ("TW",),
}  # fmt: skip
_ADJECTIVES = {region: word for word, (_, region) in reversed(_ACCENTS.items())} | {"BE": "belgian"}
_GENDERS = {
    "female": "female", "woman": "female", "women": "female", "feminine": "female", "lady": "female", "weiblich": "female",
    "frau": "female", "femme": "female", "mujer": "female", "donna": "female",
    "male": "male", "man": "male", "men": "male", "masculine": "male", "gentleman": "male", "männlich": "male",
    "mann": "male", "homme": "male", "hombre": "male", "uomo": "male",
}  # fmt: skip
#: Words that say nothing about the voice.
_EMPTY = frozenset({"a", "an", "the", "voice", "speaker", "person", "accent", "with", "native", "any"})
_KNOWN = (*_GENDERS, *TAG_OF_NAME, *_ACCENTS, *_EMPTY)
_TAG = re.compile(r"([a-z]{2,3})[-_]([a-z]{2})")
_PARTS = re.compile(r"[\s,;/_-]+")
_LIKENESS = 0.75  # of a word to the one that was probably meant
_SHORT, _LIKENESS_OF_SHORT = 4, 0.8  # Anna, the name of a person, is near to mann


@dataclass(frozen=True)
class VoiceWords:
    """What a description asks for; empty texts ask for nothing.

    Attributes:
        gender: "female" or "male".
        language: primary language tag, such as "en".
        region: of the accent, such as "GB".
    """

    gender: str = ""
    language: str = ""
    region: str = ""

    def fit(self, voice: Voice, language: str) -> bool:
        """True if the voice is known to be as described, and speaks a language (BCP 47 tag) with the accent that is asked for."""
        return (not self.gender or voice.gender == self.gender) and self.fit_but_for_gender(voice, language)

    def fit_but_for_gender(self, voice: Voice, language: str) -> bool:
        """True if the voice speaks a language (BCP 47 tag) with the accent that is asked for."""
        if not self.region:
            return voice.speaks(language)
        return f"{primary_language(language)}-{self.region}".casefold() in map(str.casefold, voice.languages)

    def describe(self, language: str) -> str:
        """Return a noun phrase for a message: "a female voice for British English"."""
        primary = primary_language(language)
        name = language_name(f"{primary}-{self.region}" if self.region else primary)
        return f"a {f'{self.gender} ' if self.gender else ''}voice for {name}"


def read_voice_words(wanted: str) -> VoiceWords | None:
    """Read a description; None where a word of it is not known, or where it says nothing."""
    gender = language = accent_language = region = ""
    for word in _words(wanted):
        if word in _GENDERS and gender in ("", _GENDERS[word]):
            gender = _GENDERS[word]
        elif word in TAG_OF_NAME and language in ("", TAG_OF_NAME[word]):
            language = TAG_OF_NAME[word]
        elif word in _ACCENTS and region in ("", _ACCENTS[word][1]):
            accent_language, region = _ACCENTS[word]
        elif (tag := _TAG.fullmatch(word)) and tag[1] in LANGUAGE_NAMES and not language and not region:
            language, region = tag[1], tag[2].upper()
        elif word not in _EMPTY:
            return None
    found = VoiceWords(gender, language or accent_language, region)
    return None if found == VoiceWords() else found


def voices_meant(wanted: str, voices: Sequence[Voice]) -> list[Voice]:
    """Return the voices of a name; where there is none, those that are as the words describe, in a language that they speak.

    A voice of a person (profile) has to be named.
    """
    if named := [voice for voice in voices if voice.is_called(wanted.strip().casefold())]:
        return named
    if (words := read_voice_words(wanted)) is None:
        return []
    return [v for v in voices if not v.is_profile and words.fit(v, words.language or v.languages[0])]


def correct_voice_words(wanted: str) -> str:
    """Return a description with its misspelt words corrected; empty where it is none."""
    near = [
        difflib.get_close_matches(word, _KNOWN, 1, _LIKENESS if len(word) > _SHORT else _LIKENESS_OF_SHORT)
        for word in _words(wanted)
    ]
    corrected = " ".join(words[0] for words in near if words)
    return corrected if near and all(near) and read_voice_words(corrected) else ""


def words_not_known(wanted: str) -> list[str]:
    """Return the words of a description that are not known; empty where none is known, since it is then a name."""
    unknown = [word for word in _words(wanted) if word not in _KNOWN]
    return unknown if read_voice_words(" ".join(word for word in _words(wanted) if word in _KNOWN)) else []


def language_name(tag: str) -> str:
    """Return the English name of a language: "British English" for en-GB, "German" for de-DE; for an unknown one its tag."""
    primary, _, region = tag.partition("-")
    primary, region = primary.casefold(), region.upper()
    if primary not in LANGUAGE_NAMES:
        return tag
    adjective = f"{_ADJECTIVES[region].capitalize()} " if region in _NAMED_REGIONS.get(primary, ()) else ""
    return f"{adjective}{LANGUAGE_NAMES[primary]}"


def describe_voice(voice: Voice) -> str:
    """Return one line about a voice: its language and accent, its gender where known, and what else is known of it."""
    first = language_name(voice.languages[0])
    more = len(set(map(primary_language, voice.languages))) - 1
    spoken = f"{first} and {more} other languages" if more > 1 else first
    who = "a person's voice (profile)" if voice.is_profile else voice.gender
    line = ", ".join(filter(None, (spoken, who)))
    return f"{line}; {voice.about}" if voice.about else line


def _words(wanted: str) -> list[str]:
    """Split a description into words in small letters; a language tag stays one word."""
    found: list[str] = []
    for word in re.split(r"[\s,;/]+", wanted.casefold().strip()):
        found += (
            [word] if (tag := _TAG.fullmatch(word)) and tag[1] in LANGUAGE_NAMES else filter(None, _PARTS.split(word))
        )
    return found
