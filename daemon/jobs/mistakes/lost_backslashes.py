r"""Finds Windows paths in double quotes, where YAML makes other characters of \t, \n and their kin: "C:\temp\new.png"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daemon.jobs.mistakes.key_lines import FREE_TEXTS
from daemon.jobs.mistakes.proposals import is_allowed
from daemon.jobs.yaml_positions import YamlDocument

#: Keys whose value is a name, beside those of files next to the manifest.
_NAMES = ("output", "background", "base", "avatar", "voice")
#: What YAML makes of a letter after a backslash. Letters by their number (\x, \u, \U) are meant, as are \\, \" and \/.
_MADE = {"t": "a tab", "n": "a line end", "r": "a line end", "N": "a line end", "L": "a line end", "P": "a line end",
         " ": "a blank", "_": "a no-break space", **dict.fromkeys("0abevf", "a control character")}  # fmt: skip
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SIGN = re.compile(r"\\(.)", re.DOTALL)
#: In a text, where "\n" may be a new line: a drive with its folders, or a share.
_PATH = re.compile(r"(?<!\w)(?:[A-Za-z]:(?:\\[\w.-]+)+|\\\\[\w.-]+(?:\\[\w.-]+)+)")
_LONGEST_SHOWN = 200


class LostBackslashes(NamedTuple):
    """A value in double quotes that was meant otherwise.

    Attributes:
        key: of the manifest.
        what: the sentence about it, without place and full stop.
        written: the value as it was written.
        hint: what to write; empty where the value itself is not allowed either.
    """

    key: str
    what: str
    written: str
    hint: str


def lost_backslashes(document: YamlDocument, files: Sequence[str]) -> Iterator[LostBackslashes]:
    """Yield the values of a document whose backslashes were meant as such. `files`: the keys that name files."""
    for key in (key for key in document.value if (key,) in document.values):
        is_name = key in files or key in _NAMES
        if not (is_name or key in FREE_TEXTS) or (written := _in_double_quotes(document, key)) is None:
            continue
        parts = [written] if is_name else _PATH.findall(written)
        signs = dict.fromkeys(sign for part in parts for sign in _SIGN.findall(part) if sign in _MADE)
        if not signs:
            continue
        made = " and ".join(f"\\{sign} is {_MADE[sign]}" for sign in signs)
        what = f"In double quotes, {made}: “{parts[0]}” in `{key}` is no {'name' if is_name else 'path'}"
        yield LostBackslashes(key, what, written, _hint(key, written, is_name))


def _in_double_quotes(document: YamlDocument, key: str) -> str | None:
    """Return a value as it is written between double quotes; None for one without."""
    place = document.values[key,]
    rest = "\n".join(document.lines[place.line - 1 :])[place.column - 1 :]
    found = _QUOTED.match(rest)
    return found[1] if found else None


def _hint(key: str, written: str, is_name: bool) -> str:
    if not is_name and ("\n" in written or len(written) > _LONGEST_SHOWN):
        return "Put the text in single quotes."
    if is_name:
        line = f"{key}: {written.replace(2 * chr(92), '/').replace(chr(92), '/')}"
    else:
        line = f"{key}: '{written.replace(chr(39), chr(39) * 2)}'"
    return f"Write `{line}`." if is_allowed(line) else ""
