"""Rewrites sentences by rules, and tracks which written word each letter comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stages.tts.text.word_alignment import match_words

_WORD = re.compile(r"\S+")
#: A word with the blanks around it.
_SPACED = re.compile(r"^\s*\S+\s*|\S+\s*")


@dataclass(frozen=True)
class Rule:
    """A pattern, and its replacement.

    Attributes:
        shape: searched for in the words of a sentence, joined with spaces. Its repetitions are bounded, so that matching
            stays fast for any text.
        say: returns the replacement; None leaves the match unchanged.
        each: apply `say` to each word of the match, and separate the results by commas.
    """

    shape: re.Pattern[str]
    say: Callable[[re.Match[str]], str | None]
    each: bool = False


def apply_rules(words: Sequence[str], rules: Iterable[Rule]) -> list[tuple[str, int]]:
    """Apply rules in order. Return the spoken words, each with the index of its written word, never decreasing."""
    text = " ".join(words)
    owners = [index for index, word in enumerate(words) for _ in range(len(word) + 1)][: len(text)]
    for rule in rules:
        text, owners = _apply_rule(rule, text, owners)
    return [(word[0], owners[word.start()]) for word in _WORD.finditer(text)]


def _apply_rule(rule: Rule, text: str, owners: list[int]) -> tuple[str, list[int]]:
    out, of_out, at = "", list[int](), 0
    for found in rule.shape.finditer(text):
        start, stop = found.span()
        written = [(part, owners[start + part.start()]) for part in _WORD.finditer(found[0])]
        said = _replacement(rule, found, written)
        if said is None:
            continue
        out += text[at:start] + "".join(word for word, _ in said)
        of_out += owners[at:start] + [owner for word, owner in said for _ in word]
        at = stop
    return out + text[at:], of_out + owners[at:]


def _replacement(
    rule: Rule, found: re.Match[str], written: Sequence[tuple[re.Match[str], int]]
) -> list[tuple[str, int]] | None:
    """Return the replacement of a match in parts, each with its owner; None for none. `written`: the matched words."""
    if rule.each:
        said = [(rule.say(part) or part[0], owner) for part, owner in written]
        return [(f"{text}, ", owner) for text, owner in said[:-1]] + said[-1:]
    text = rule.say(found)
    if text is None:
        return None
    if len(written) == 1:
        return [(text, written[0][1])]
    words = _SPACED.findall(text)
    places = match_words([part[0] for part, _ in written], [word.strip() for word in words])
    return [(word, written[place][1]) for word, place in zip(words, places, strict=True)]
