"""Written words → the phonemes the model reads, each character knowing its written word."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hibari.g2p import G2P
from hibari.g2p.normalize import normalize

from daemon.errors import JobError
from stages.tts.align import align
from stages.tts.letters import plain_text, script_of

#: Owner of a character that belongs to no word, such as the space between two.
NO_WORD = -1

# Longer figures have no name in the front end (it ends at decillions) and are read figure by figure.
_LONG_NUMBER = re.compile(r"\d[\d,.]{15,}")
# The front end's patterns take time that grows with the square of a word's length, and its models only know real words.
_LONG_WORD = re.compile(r"(\S{48})(?=\S)")
# Square brackets are markup to the front end ("[word](/phonemes/)"); a person means brackets.
_BRACKETS = str.maketrans("[]", "()")
#: Unicode categories that are neither sound nor pause: controls, formats, private use, emoji, modifiers of letters.
_MUTE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk", "Me", "Lm"})
_READ_SYMBOLS = frozenset("°№©®™^`´")


@dataclass(frozen=True)
class Reading:
    """Phoneme characters of a piece of text, in the model's alphabet, and for each the index of its word."""

    chars: str
    owners: tuple[int, ...]


@dataclass
class Reader:
    """The voice's text front end, with the way back to the words as they were written.

    Attributes:
        left_out: what had no reading and was left out: script or "emoji and signs" → how many words.
    """

    british: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    def read(self, words: Sequence[str]) -> Reading:
        """Phonemes for up to one sentence of words; empty if nothing in them can be spoken.

        Raises:
            JobError: `text-unspeakable` where the front end gives up.
        """
        spoken = [self._spoken_form(word) for word in words]
        kept = [index for index, form in enumerate(spoken) if form]
        try:
            groups = self._groups(" ".join(spoken[index] for index in kept))
        except (MemoryError, OSError):
            raise  # the machine's fault, not the text's
        except Exception as exc:  # third-party rules on arbitrary text: whatever they trip over is in the text
            raise JobError(
                "text-unspeakable",
                f"The voice cannot read '{_shortened(words)}'.",
                "Write that part in words.",
            ) from exc
        owners = align([spoken[index] for index in kept], [text for text, _ in groups])
        return _join([(phonemes, kept[owner]) for (_, phonemes), owner in zip(groups, owners, strict=True)])

    def _groups(self, text: str) -> list[tuple[str, str]]:
        """(spoken word, its phonemes) for each space-separated word of the normalised text."""
        groups: list[tuple[str, str]] = []
        word = phonemes = ""
        front_end = _front_end(self.british)
        for token in front_end.phonemize_tokens(front_end.tokenize(normalize(text))):
            word += token.text
            phonemes += token.phonemes or ""
            if token.whitespace:
                groups.append((word, phonemes))
                word = phonemes = ""
        return [*groups, (word, phonemes)] if word else groups

    def _spoken_form(self, word: str) -> str:
        """The word with only what the voice can read; "" if that is nothing. Keeps count of what is lost."""
        text = plain_text(word).translate(_BRACKETS)
        scripts = {script for script in map(script_of, text) if script not in ("", "Latin")}
        if scripts == {"Greek"} and sum(map(str.isalpha, text)) == 1:  # "π", "5Ω": the voice knows their names
            scripts = set()
        mute = [char for char in text if unicodedata.category(char) in _MUTE and char not in _READ_SYMBOLS]
        if any(unicodedata.category(char) == "So" for char in mute):
            self.left_out["emoji and signs"] += 1
        self.left_out.update(f"{script} letters" for script in scripts)
        dropped = set(mute) | {char for char in text if script_of(char) in scripts}
        text = "".join(char for char in text if char not in dropped)
        text = _LONG_NUMBER.sub(lambda number: " ".join(filter(str.isdigit, number[0])), text)
        return _LONG_WORD.sub(r"\1 ", text).strip()


def left_out(counts: Counter[str]) -> str:
    """A sentence for the person about what `Reader.left_out` counted."""
    what = " and ".join(f"{name} ({count} {'word' if count == 1 else 'words'})" for name, count in counts.items())
    return f"The voice cannot read {what}; the speech goes around them."


@lru_cache(maxsize=2)
def _front_end(british: bool) -> G2P:
    """The front end with its lexicons, loaded once and kept for the jobs that follow in this process."""
    return G2P(british=british)


def _join(parts: Sequence[tuple[str, int]]) -> Reading:
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


def _shortened(words: Sequence[str], limit: int = 60) -> str:
    text = " ".join(words)
    return text if len(text) <= limit else text[: limit - 1] + "…"
