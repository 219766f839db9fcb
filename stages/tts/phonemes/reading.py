"""Converts English words to phonemes with hibari's front end, each character with its word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from types import MappingProxyType

from hibari.g2p import ASSETS, G2P
from hibari.g2p.lexicon import Lexicon
from hibari.g2p.tagger import Tagger
from hibari.g2p.token import Tok
from hibari.g2p.tokenize import Tokenizer

from daemon.errors import JobError
from stages.tts.phonemes.dictionary_files import DictionaryFile
from stages.tts.text.english_normalizer import normalize_english
from stages.tts.text.word_alignment import match_words

#: Owner of a character between words, such as a space.
NO_WORD = -1

# The front end treats square brackets as markup ("[word](/phonemes/)"), so they become round ones.
_BRACKETS = str.maketrans("[]", "()")
#: Quotation marks that its tagger does not know: it takes them for words, and then looks `"maybe"` up as one word, marks and all.
_QUOTES = frozenset('"“”„«»')
#: Tags of signs after which a quotation mark opens.
_OPENING = frozenset({"``", "-LRB-", ":"})
_WORD_END = re.compile(r"(['’]s)?[^\w,.;:!?…]*([,.;:!?…]*)[^\w,.;:!?…]*$")
_VOWELS = frozenset("ɑaɐæʌəᵊɨᵻɔɒɛeœøɜɚɪiʊuoyAIOQWY")
_NO_SOUNDS: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True)
class Reading:
    """The phonemes of a text.

    Attributes:
        chars: phoneme characters in misaki's alphabet.
        owners: index of the word of each character, or `NO_WORD`.
    """

    chars: str
    owners: tuple[int, ...]


@dataclass(frozen=True)
class EnglishFrontEnd:
    """Converts English words to phonemes, British or American."""

    british: bool = False

    def read(self, words: Sequence[str], sounds: Mapping[int, str] = _NO_SOUNDS) -> Reading:
        """Return the phonemes of at most one sentence; empty if nothing in it can be spoken.

        Args:
            sounds: index of a word → its sound in the lexicon: /phonemes/, or a respelling such as AV-uh-tar.

        Raises:
            JobError: `text-unspeakable`: the front end fails.
        """
        parts: list[tuple[str, int]] = []
        try:
            for given, run in groupby(range(len(words)), key=sounds.__contains__):
                indices = list(run)
                if given:
                    parts += [
                        (lexicon_phonemes(sounds[index], self._syllable) + _phonemes_after(words[index]), index)
                        for index in indices
                    ]
                    continue
                groups = self._groups(" ".join(words[index] for index in indices))
                owners = match_words([words[index] for index in indices], [text for text, _ in groups])
                parts += [(phonemes, indices[owner]) for (_, phonemes), owner in zip(groups, owners, strict=True)]
        except (MemoryError, OSError):
            raise  # the machine's fault, not the text's
        except Exception as exc:  # third-party rules may fail on arbitrary text
            raise JobError(
                "text-unspeakable",
                f"The voice cannot read '{quote_words(words)}'.",
                "Write that part in words.",
            ) from exc
        return join_phonemes(parts)

    def _syllable(self, syllable: str) -> str:
        return "".join(phonemes for _, phonemes in self._groups(syllable))

    def _groups(self, text: str) -> list[tuple[str, str]]:
        """Return (spoken word, phonemes) for each space-separated word of the normalised text."""
        groups: list[tuple[str, str]] = []
        word = phonemes = ""
        front_end = _load_g2p(self.british)
        for token in front_end.phonemize_tokens(front_end.tokenize(normalize_english(text.translate(_BRACKETS)))):
            word += token.text
            phonemes += token.phonemes or ""
            if token.whitespace:
                groups.append((word, phonemes))
                word = phonemes = ""
        return [*groups, (word, phonemes)] if word else groups


class _G2P(G2P):  # type: ignore[misc]  # hibari is not typed
    """hibari's front end, which reads of its dictionaries only what it is asked for, as all take longer than a sentence."""

    def __init__(self, british: bool) -> None:
        accent = "gb" if british else "us"
        gold, silver = (
            DictionaryFile(Path(ASSETS, f"lexicon_{accent}_{name}.json.gz")).read() for name in ("gold", "silver")
        )
        self.lexicon = Lexicon(gold, silver, british)
        self.tokenizer = Tokenizer(json.loads(Path(ASSETS, "tokenizer_exceptions.json").read_bytes()))
        self.tagger = Tagger(DictionaryFile(Path(ASSETS, "tagger.json.gz"), large=("tagdict", "weights")).read())
        self._oov = None  # the network for words that stand in none: it is loaded when the first one is asked for
        self.unk, self.british = "", british

    def _tokens(self, text: str) -> list[Tok]:
        """Return the words and signs of a text with their part of speech; quotation marks are tagged as such."""
        pairs = self.tokenizer(text)
        tags = self.tagger(["'" if part in _QUOTES else part for part, _ in pairs]) if pairs else []
        tokens = [Tok(part, tag, blank) for (part, blank), tag in zip(pairs, tags, strict=True)]
        for before, token in pairwise([None, *tokens]):
            if token is not None and token.text in _QUOTES:
                token.tag = "``" if before is None or before.whitespace or before.tag in _OPENING else "''"
        return tokens


@lru_cache(maxsize=2)
def _load_g2p(british: bool) -> G2P:
    """Load the front end with its lexicons once and keep it for later jobs in this process."""
    return _G2P(british)


def dictionaries() -> Sequence[Container[str]]:
    """Return the front end's dictionaries of American English."""
    lexicon = _load_g2p(british=False).lexicon
    return (lexicon.golds, lexicon.silvers)


def lexicon_phonemes(entry: str, read: Callable[[str], str]) -> str:
    """Return the phonemes of a lexicon's entry. Reads a respelling by syllables and stresses the one in capitals.

    Args:
        entry: /phonemes/, or a respelling such as AV-uh-tar.
        read: returns the phonemes of a syllable in lower case.
    """
    if entry.startswith("/"):
        return entry.strip("/")
    phonemes = ""
    for syllable in entry.split("-"):
        plain = read(syllable.lower()).replace("ˈ", "").replace("ˌ", "")
        vowel = next((at for at, char in enumerate(plain) if char in _VOWELS), None)
        stressed = syllable.isupper() and vowel is not None
        phonemes += f"{plain[:vowel]}ˈ{plain[vowel:]}" if stressed else plain
    return phonemes


def join_phonemes(parts: Sequence[tuple[str, int]]) -> Reading:
    """Join (phonemes, word) pairs with spaces."""
    chars, owners = "", []
    for phonemes, owner in parts:
        phonemes = phonemes.strip()
        if not phonemes:
            continue
        if chars:
            chars += " "
            owners.append(NO_WORD)
        chars += phonemes
        owners += [owner] * len(phonemes)
    return Reading(chars, tuple(owners))


def _phonemes_after(word: str) -> str:
    """Return the phonemes after a word from the lexicon: the possessive s, and punctuation, which makes a pause."""
    match = _WORD_END.search(word)
    return ("z" if match and match[1] else "") + (match[2] if match else "")


def quote_words(words: Sequence[str], limit: int = 60) -> str:
    """Quote the beginning of a text in a message, at most `limit` characters."""
    text = " ".join(words)
    return text if len(text) <= limit else text[: limit - 1] + "…"
