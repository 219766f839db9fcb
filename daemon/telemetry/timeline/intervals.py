"""Joins stretches of time, and cuts them by each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: Begin and end of something, seconds since the epoch.
Interval = tuple[float, float]


def merged(times: Iterable[Interval]) -> list[Interval]:
    """Return times as disjoint ones, in order."""
    found: list[Interval] = []
    for began, ended in sorted(times):
        if ended <= began:
            continue
        if found and began <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], ended)
        else:
            found.append((began, ended))
    return found


def without(times: Sequence[Interval], others: Iterable[Interval]) -> tuple[list[Interval], list[Interval]]:
    """Return the parts of disjoint ordered times that lie in others, and the parts that do not."""
    inside: list[Interval] = []
    outside: list[Interval] = []
    cover, at = merged(others), 0
    for began, ended in times:
        while at < len(cover) and cover[at][1] <= began:
            at += 1
        here, after = began, at
        while after < len(cover) and cover[after][0] < ended:
            first, last = max(here, cover[after][0]), min(ended, cover[after][1])
            outside.append((here, first))
            inside.append((first, last))
            here, after = last, after + 1
        outside.append((here, ended))
    return merged(inside), merged(outside)
