"""Text and phonemes that track the word of each character, for languages whose front ends rewrite text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from daemon.errors import JobError
from stages.media.fullwidth import is_unspaced
from stages.tts.phonemes.reading import NO_WORD, EnglishFrontEnd, Reading

#: Punctuation of Chinese and Japanese → that of the network, which makes pauses.
PUNCTUATION = {
    "、": ",", "，": ",", "。": ".", "．": ".", "！": "!", "？": "?", "：": ":", "；": ";", "…": "…", "‥": "…", "—": "—",
    "「": "“", "」": "”", "『": "“", "』": "”", "《": "“", "》": "”", "〈": "“", "〉": "”", "“": "“", "”": "”",
    "（": "(", "）": ")", "(": "(", ")": ")", ",": ",", ".": ".", "!": "!", "?": "?", ":": ":", ";": ";", '"': "“",
    "【": "“", "】": "”",
}  # fmt: skip
_OPENING = frozenset("“(")


@dataclass(frozen=True)
class TrackedText:
    """Text, and the index of the word of each character."""

    text: str
    owners: tuple[int, ...]

    @staticmethod
    def of(words: Sequence[str], indices: Sequence[int]) -> TrackedText:
        """Join words, with spaces only between characters of scripts that use them."""
        text, owners = "", []
        for word, index in zip(words, indices, strict=True):
            if text and word and not is_unspaced(text[-1]) and not is_unspaced(word[0]):
                text += " "
                owners.append(index)
            text += word
            owners += [index] * len(word)
        return TrackedText(text, tuple(owners))

    def __getitem__(self, part: slice) -> TrackedText:
        return TrackedText(self.text[part], self.owners[part])

    def sub(self, pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str]) -> TrackedText:
        """Replace every match; the new text belongs to the word in which the match begins."""
        text, owners, done = "", [], 0
        for match in pattern.finditer(self.text):
            new = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
            text += self.text[done : match.start()] + new
            owners += [*self.owners[done : match.start()], *[self.owners[match.start()]] * len(new)]
            done = match.end()
        return TrackedText(text + self.text[done:], (*owners, *self.owners[done:]))


@dataclass
class PhonemeLine:
    """A growing line of phonemes, with the word of each."""

    chars: str = ""
    owners: list[int] = field(default_factory=list)

    def add(self, phonemes: str, owner: int) -> None:
        """Append phonemes of the word `owner`."""
        self.chars += phonemes
        self.owners += [owner] * len(phonemes)

    def gap(self) -> None:
        """Append a space, unless the line is empty or ends in a space or opening sign."""
        if self.chars and self.chars[-1] not in " “(":
            self.add(" ", NO_WORD)

    def mark(self, sign: str, owner: int) -> None:
        """Append a punctuation sign, attached to the word before or after it; an unknown sign becomes a space."""
        shown = PUNCTUATION.get(sign, "")
        if not shown:
            return self.gap()
        if shown in _OPENING:
            self.gap()
            return self.add(shown, owner)
        if self.chars.endswith(" "):
            self.chars = self.chars[:-1]
            self.owners.pop()
        if self.chars and not self.chars.endswith(shown):
            self.add(shown, owner)
        return None

    def reading(self) -> Reading:
        """Return the phonemes, without spaces at the end."""
        end = len(self.chars.rstrip())
        return Reading(self.chars[:end], tuple(self.owners[:end]))


@dataclass(frozen=True)
class TrackedFrontEnd:
    """A front end that takes sounds from the lexicon, and gives other text to `say`, which appends it to a line."""

    say: Callable[[TrackedText, PhonemeLine], None]

    def read(self, words: Sequence[str], sounds: Mapping[int, str]) -> Reading:
        """See `stages.tts.phonemes.FrontEnd`."""
        line = PhonemeLine()
        try:
            for given, run in groupby(range(len(words)), key=sounds.__contains__):
                indices = list(run)
                if not given:
                    line.gap()
                    self.say(TrackedText.of([words[index] for index in indices], indices), line)
                    continue
                for index in indices:
                    add_english(line, EnglishFrontEnd().read([words[index]], {0: sounds[index]}), index)
                    for sign in trailing_marks(words[index]):
                        line.mark(sign, index)
        except (JobError, MemoryError, OSError):
            raise  # already a message, or the machine's fault
        except Exception as exc:  # third-party rules may fail on arbitrary text
            raise JobError(
                "text-unspeakable", f"The voice cannot read '{''.join(words)[:60]}'.", "Write that part in words."
            ) from exc
        return line.reading()


def add_english(line: PhonemeLine, reading: Reading, owner: int) -> None:
    """Append phonemes of the English front end as one word."""
    if reading.chars:
        line.gap()
        line.add(reading.chars, owner)


def trailing_marks(word: str) -> str:
    """Return the signs at the end of a word that are not ASCII, which the English front end ignores."""
    stem = word.rstrip("".join(PUNCTUATION))
    return "".join(sign for sign in word[len(stem) :] if not sign.isascii())
