"""Finds the written word that each spoken word comes from.

Text front ends rewrite: "7:30 pm" becomes "seven thirty P.M.", "Dr." becomes "Doctor", "Rs 500" becomes "500 rupees".
Unchanged words are matched first. Between them dynamic programming assigns the rest in order, and gives words without a
similar written word to figures and signs, which usually expand.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

#: Cost of a written word without any spoken one; high enough that plain words prefer a poor match.
_SKIP = 0.7
#: Highest cost of a spoken word under a written word with a figure or sign, however different they are.
_EXPANSION = 0.35


def match_words(written: Sequence[str], spoken: Sequence[str]) -> list[int]:
    """Return the index of the written word for each spoken word, never decreasing.

    Raises:
        ValueError: there are spoken words but no written ones.
    """
    if spoken and not written:
        raise ValueError("spoken words need a written one to belong to")
    left, right = [_key(word) for word in written], [_key(word) for word in spoken]
    owners: list[int] = []
    for kind, i, i_end, j, j_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            owners += range(i, i_end)
        elif kind == "insert":  # goes with the word before: "$5 million" → "5 million | dollars"
            owners += [max(0, i - 1)] * (j_end - j)
        elif kind == "replace":
            owners += [i + step for step in _match_between(written[i:i_end], spoken[j:j_end])]
    return owners


def _key(word: str) -> str:
    return "".join(char for char in word.casefold() if char.isalnum()) or word


@lru_cache(maxsize=4096)
def _cost(written: str, spoken: str) -> float:
    likeness = SequenceMatcher(None, _key(written), _key(spoken), autojunk=False).ratio()
    return min(1.0 - likeness, 1.0 if written.isalpha() else _EXPANSION)


def _match_between(written: Sequence[str], spoken: Sequence[str]) -> list[int]:
    """Assign `spoken` to `written` in order at the lowest cost; a written word may get several words, or none."""
    rows = len(written)
    # best[i]: cheapest cost so far with the last spoken word on written word i; trail: where its predecessor was.
    best = [_SKIP * i + _cost(written[i], spoken[0]) for i in range(rows)]
    trail: list[list[int]] = []
    for word in spoken[1:]:
        came, now = [], []
        ahead, ahead_from = float("inf"), 0  # cheapest way to come from a written word further left
        for i in range(rows):
            stays = best[i] <= ahead
            came.append(i if stays else ahead_from)
            now.append(min(best[i], ahead) + _cost(written[i], word))
            ahead, ahead_from = min((ahead + _SKIP, ahead_from), (best[i], i))
        best = now
        trail.append(came)
    i = min(range(rows), key=lambda row: best[row] + _SKIP * (rows - 1 - row))
    owners = [i]
    for came in reversed(trail):
        i = came[i]
        owners.append(i)
    return owners[::-1]
