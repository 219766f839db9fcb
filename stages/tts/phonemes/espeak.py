"""Front end of languages that espeak-ng reads: its phonemes, in its own alphabet or in that of kokoro's network.

The networks of kokoro and piper were trained on phonemes of espeak-ng. Whole clauses are converted at once, because words change
with their neighbours ("les enfants"). The owner of each phoneme is found by comparison with each word converted alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from daemon.errors import JobError, MachineError
from stages.tts.phonemes.espeak_library import TIE, load_espeak
from stages.tts.phonemes.number_formats import NO_FORMATS, NUMBER_FORMATS, NumberFormats
from stages.tts.phonemes.number_words import spoken_forms
from stages.tts.phonemes.reading import Reading, join_phonemes, lexicon_phonemes, quote_words
from stages.tts.text.word_alignment import match_words

Letters = tuple[tuple[str, str], ...]

#: Language, or language and region where pronunciation or numbers differ → voice of espeak-ng.
_ESPEAK_VOICES = {
    "es": "es-419",
    "es-es": "es",
    "fr": "fr",
    "fr-be": "fr-be",
    "fr-ch": "fr-ch",
    "hi": "hi",
    "it": "it",
    "pt": "pt-br",
}
#: (letters of one sound of espeak-ng, letter of the network) pairs.
KOKORO_LETTERS: Letters = tuple({
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "ɔ^ɪ": "Y",
    "d^z": "ʣ", "d^ʒ": "ʤ", "t^s": "ʦ", "t^ʃ": "ʧ", "s^s": "S",
    "r.": "ɽ", "-": "", "\u0329": "", "\u032a": "",
}.items())  # fmt: skip
#: "(en)": the next word is read in another language.
_LANGUAGE_SWITCH = re.compile(r"\([a-z^-]+\)")
#: Signs before and after words → signs of the network; empty where it has none.
_OPENING = {"(": "(", "[": "(", "{": "(", "«": "“", "“": "“", "„": "“", '"': "“", "‘": "", "'": "", "¿": "", "¡": ""}
_CLOSING = {
    ",": ",", ";": ";", ":": ":", ".": ".", "!": "!", "?": "?", "…": "…", "।": ".", "॥": ".",
    "—": "—", "–": "—", "-": "—", ")": ")", "]": ")", "}": ")", "»": "”", "”": "”", "“": "”", '"': "”", "’": "", "'": "",
}  # fmt: skip
#: Signs between which a clause is converted at once.
_CLAUSE_BREAKS = frozenset(",;:.!?…—()“”")


@dataclass(frozen=True)
class _Word:
    """A word and the signs around it."""

    before: str
    core: str
    after: str


@dataclass(frozen=True)
class EspeakFrontEnd:
    """The front end of one language.

    Attributes:
        voice: name of espeak-ng's voice.
        formats: how the language writes figures and abbreviations.
        letters: letters of one sound of espeak-ng, joined by `TIE` → letter of the network; others keep their letters.
    """

    voice: str
    formats: NumberFormats
    letters: Letters = KOKORO_LETTERS

    def read(self, words: Sequence[str], sounds: Mapping[int, str]) -> Reading:
        """See `FrontEnd.read`.

        Raises:
            MachineError: `model-broken`: espeak-ng cannot be loaded.
        """
        try:
            parts: list[tuple[str, int]] = []
            found = [self._split_signs(word, last=at == len(words) - 1) for at, word in enumerate(words)]
            texts = spoken_forms([word.core for word in found], self.formats)
            clause: list[int] = []
            for at, word in enumerate(found):
                if clause and (at in sounds or _CLAUSE_BREAKS & set(word.before)):
                    parts += self._read_clause(clause, texts, found)
                    clause = []
                if at in sounds:
                    parts.append((word.before + lexicon_phonemes(sounds[at], self._phonemes) + word.after, at))
                    continue
                clause.append(at)
                if _CLAUSE_BREAKS & set(word.after):
                    parts += self._read_clause(clause, texts, found)
                    clause = []
            return join_phonemes(parts + self._read_clause(clause, texts, found))
        except (MachineError, MemoryError):
            raise
        except Exception as exc:  # the library's rules may fail on arbitrary text
            raise JobError(
                "text-unspeakable", f"The voice cannot read '{quote_words(words)}'.", "Write that part in words."
            ) from exc

    def _split_signs(self, word: str, *, last: bool) -> _Word:
        """Separate a word from the signs around it; a full stop inside a sentence stays with its abbreviation."""
        start, stop = 0, len(word)
        while start < stop and word[start] in _OPENING:
            start += 1
        while stop > start and word[stop - 1] in _CLOSING:
            stop -= 1
        core, after = word[start:stop], word[stop:].replace("...", "…")
        if core and after.startswith(".") and (not last or f"{core}.".casefold() in self.formats.words):
            core += "."
            after = after if last else after[1:]
        return _Word("".join(map(_OPENING.__getitem__, word[:start])), core, "".join(map(_CLOSING.__getitem__, after)))

    def _read_clause(
        self, clause: Sequence[int], texts: Sequence[str], found: Sequence[_Word]
    ) -> list[tuple[str, int]]:
        """Return (phonemes, word) of the words of a clause, with the signs around them."""
        spoken = self._phonemes(" ".join(texts[at] for at in clause)).split()
        alone = [(group, at) for at in clause for group in self._phonemes(texts[at]).split()]
        owners = [at for _, at in alone]
        if len(spoken) != len(alone):
            owners = [
                owners[place]
                for place in match_words([_letters_only(group) for group, _ in alone], list(map(_letters_only, spoken)))
            ]
        parts = []
        for at in clause:
            groups = [group for group, owner in zip(spoken, owners, strict=True) if owner == at]
            parts.append((found[at].before + " ".join(groups) + found[at].after, at))
        return parts

    def _phonemes(self, text: str) -> str:
        """Return the phonemes of a text in the network's alphabet."""
        return _phonemes(self.voice, text, self.letters) if text.strip() else ""


@lru_cache(maxsize=4096)
def _phonemes(voice: str, text: str, letters: Letters) -> str:
    read = _LANGUAGE_SWITCH.sub("", load_espeak().phonemes(text, voice))
    for sound, letter in letters:
        read = read.replace(sound, letter)
    return read.replace(TIE, "")


def _letters_only(group: str) -> str:
    """Return the lower-case letters of a group, for comparing words read together with words read alone."""
    return "".join(char for char in group if unicodedata.category(char) == "Ll") or group


def front_end(language: str) -> EspeakFrontEnd:
    """Return the front end of a language (BCP 47 tag)."""
    tag = "es-es" if language.casefold() == "es" else language.casefold()
    primary = tag.partition("-")[0]
    return EspeakFrontEnd(_ESPEAK_VOICES.get(tag) or _ESPEAK_VOICES[primary], NUMBER_FORMATS[primary])


def plain_front_end(voice: str, language: str) -> EspeakFrontEnd:
    """Return a front end that keeps espeak-ng's own letters, for a voice of espeak-ng and a language (BCP 47 tag)."""
    return EspeakFrontEnd(voice, NUMBER_FORMATS.get(language.casefold().partition("-")[0], NO_FORMATS), letters=())
