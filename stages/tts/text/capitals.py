"""Tells words in capitals from abbreviations that are spelled: "HE IS IN" is said as words, "the FBI and NASA" is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

#: A word in capitals with the signs around it.
_CAPITALS = re.compile(r"^([\"'“‘«(¿¡–—-]*)([A-Z]+(?:['’][A-Z]+)?)([\"'”’»).,;:!?…–—-]*)$")
#: Several of them joined: "WELL-KNOWN", "TOM/ANNA".
_COMPOUND = re.compile(r"^([^A-Za-z0-9]*)([A-Z]+(?:[-/‐‑][A-Z]+)+)([^A-Za-z0-9]*)$")
_SMALL = re.compile(r"[^\W\d_A-Z]")
_LETTERS = re.compile(r"[^\W\d_]")
_IRISH = re.compile(r"([OD]['’])([A-Z])([A-Z]{2,})")
_CONTRACTED = re.compile(r"([A-Z]+)(['’])(M|LL|RE|VE|D|S|T)")
#: A run of at least this many words in capitals is emphasis, also among other words.
_EMPHASIS = 3
#: Nobody spells so many letters; longer ones are names. Of one letter less only those without a vowel are spelled.
_LONGEST_SPELLED = 6
_NAME = re.compile(r"(?!.*AA)(?=.*[AEIOUY])[A-Z]{5}")
#: Words that front ends spell when they stand in capitals, though hardly anybody means the letters.
_ALWAYS_WORDS = frozenset({"AN", "AS", "AT", "BE", "BY", "HE", "HI", "IN", "IS", "ME", "MY", "OH", "SHE", "TO", "WE"})
#: Abbreviations of states ("Columbus, OH") among them; they follow a comma.
_STATES = frozenset({"HI", "IN", "ME", "OH"})
#: Abbreviations that are words in small letters, too, and in a text of capitals usually mean the abbreviation.
_ABBREVIATIONS = frozenset(
    {"AI", "AIDS", "ID", "IDS", "PM", "TV", "UN", "EU", "UK", "VIP", "CD", "PC", "DJ", "LA", "OS", "ER"}
)
#: What follows makes it the abbreviation: "IT SUPPORT", "US DOLLARS".
_THE_ABBREVIATION = {
    "IT": frozenset(
        {"DEPARTMENT", "SUPPORT", "TEAM", "SECURITY", "MANAGER", "SYSTEM", "SYSTEMS", "SERVICES", "INDUSTRY", "STAFF"}
    ),
    "US": frozenset(
        {"ARMY", "CITIZEN", "CITIZENS", "CONGRESS", "DOLLAR", "DOLLARS", "ECONOMY", "GOVERNMENT", "MARKET", "NAVY",
         "PRESIDENT", "SENATE", "TROOPS"}
    ),
}  # fmt: skip


def lower_capitals(words: Sequence[str], is_word: Callable[[str], bool]) -> list[str]:
    """Return the words of an English sentence with those in capitals that are words in small letters.

    Args:
        words: as written, punctuation attached.
        is_word: whether a word, given in small letters, is in the dictionary.
    """
    found = [_CAPITALS.match(word) for word in words]
    emphasised = _emphasised(words, found)
    return [
        _as_word(words, found, at, emphasised[at], is_word) if match else _as_compound(word, emphasised[at], is_word)
        for at, (word, match) in enumerate(zip(words, found, strict=True))
    ]


def _emphasised(words: Sequence[str], found: Sequence[re.Match[str] | None]) -> list[bool]:
    """Return whether each word stands in a run of capitals: the whole sentence, or several words in it.

    What has capitals and other signs ("COVID-19", "U.S.") is part of the run.
    """
    with_letters = [at for at, word in enumerate(words) if _LETTERS.search(word)]
    marks = [False] * len(words)
    run: list[int] = []
    for at in [*with_letters, -1]:
        if at >= 0 and (found[at] is not None or not _SMALL.search(words[at])):
            run.append(at)
            continue
        if len(run) >= _EMPHASIS or len(run) == len(with_letters):
            for place in run:
                marks[place] = True
        run = []
    return marks


def _as_word(
    words: Sequence[str],
    found: Sequence[re.Match[str] | None],
    at: int,
    emphasised: bool,
    is_word: Callable[[str], bool],
) -> str:
    match = found[at]
    assert match is not None
    before, core, after = match.groups()
    if contracted := _CONTRACTED.fullmatch(core):
        stem, sign, ending = contracted.groups()
        if stem == "I" or (stem + ending).lower() in ("cant", "wont") or is_word(f"{stem.lower()}'{ending.lower()}"):
            whole = "I" if stem == "I" else stem.lower()
            return f"{before}{whole}{sign}{ending.lower()}{after}"
        lowered = stem.lower() if emphasised and _is_meant(stem, "", False, is_word) else stem
        return f"{before}{lowered}{sign}{ending.lower()}{after}"
    if irish := _IRISH.fullmatch(core):
        return f"{before}{irish[1]}{irish[2]}{irish[3].lower()}{after}"
    if len(core) < 2:  # "I", "A", and letters
        return words[at]
    next_match = found[at + 1] if at + 1 < len(words) else None
    following = next_match[2] if next_match else ""
    follows_the = at > 0 and words[at - 1].upper() == "THE"
    if emphasised:
        meant = _is_meant(core, following, follows_the, is_word)
    else:
        a_state = core in _STATES and at > 0 and words[at - 1].endswith(",") and words[at - 1][:1].isupper()
        meant = core in _ALWAYS_WORDS and not a_state
    return f"{before}{core.lower()}{after}" if meant else words[at]


def _as_compound(word: str, emphasised: bool, is_word: Callable[[str], bool]) -> str:
    """Return a compound ("WELL-KNOWN") of a run of capitals with its parts that are words in small letters."""
    match = _COMPOUND.match(word) if emphasised else None
    if match is None:
        return word
    before, core, after = match.groups()
    parts = re.split("([-/‐‑])", core)
    listed = is_word(core.lower())
    parts = [part.lower() if listed or _is_meant_in_compound(part, is_word) else part for part in parts]
    return f"{before}{''.join(parts)}{after}"


def _is_meant_in_compound(part: str, is_word: Callable[[str], bool]) -> bool:
    return len(part) > 1 and part not in _THE_ABBREVIATION and _is_meant(part, "", False, is_word)


def _is_meant(core: str, following: str, follows_the: bool, is_word: Callable[[str], bool]) -> bool:
    """Return whether capitals in a run of capitals stand for the word."""
    if core in _ABBREVIATIONS or following in _THE_ABBREVIATION.get(core, ()) or (core == "US" and follows_the):
        return False
    return len(core) >= _LONGEST_SPELLED or bool(_NAME.fullmatch(core)) or is_word(core.lower())
