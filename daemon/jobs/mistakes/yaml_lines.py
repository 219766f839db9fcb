"""Reads a line of a manifest that is no valid YAML, and shows one as it must be."""

from __future__ import annotations

import re

from daemon.jobs.manifest import Manifest
from daemon.jobs.mistakes.flow_mistakes import how_to_write_entries, mended_line

#: What is wrong, as a sentence, and what to do.
Explanation = tuple[str, str]
#: `key: value` with a key that manifests know.
LINE = re.compile(
    r"^(?P<indent>\s*(?:- )?)(?P<key>[A-Za-z_]+)(?P<gap>\s*)(?P<colon>[:：﹕꞉∶=])(?P<blank>\s*)(?P<value>.*)$"
)
#: A value that is the head of a block of lines.
BLOCK = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?")
#: Length of the longest line that a message shows whole.
LONGEST_SHOWN = 60
#: Keys whose text may have several lines.
LONG_TEXTS = ("text", "prompt", "negative")


def as_block(key: str) -> str:
    """Return how a text of several lines is written, whatever signs it contains."""
    return f"Write `{key}: |`, and under it the whole text, with two blanks before each line."


def is_key(text: str) -> bool:
    """Return whether a line begins with a key of manifests and its colon."""
    found = LINE.match(text)
    return bool(found and found["key"].casefold() in Manifest.model_fields)


def in_small(sentence: str) -> str:
    """Return a sentence for the middle of another one."""
    return f"{sentence[:1].lower()}{sentence[1:]}"


def write_entries(key: str, value: str) -> str:
    """Return how a value with entries must be written, as advice."""
    line = mended_line(key, value)
    return f"Write {line}" if line and len(line) <= LONGEST_SHOWN else how_to_write_entries(key)


def shown(line: str) -> str:
    """Return a line as a message shows it: the beginning of a long one."""
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}…"
