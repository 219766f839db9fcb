"""Mistakes in values that YAML reads otherwise than they are meant: lists, backslashes, text that it takes for a comment."""

from __future__ import annotations

from typing import Any

from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.mistakes.document_errors import Mistake
from daemon.jobs.mistakes.key_descriptions import describe_key
from daemon.jobs.mistakes.key_lines import FREE_TEXTS
from daemon.jobs.mistakes.lost_backslashes import LostBackslashes
from daemon.jobs.mistakes.proposals import allowed_advice, is_allowed
from daemon.jobs.mistakes.value_mistakes import advice_for_list, advice_for_value
from daemon.jobs.yaml_positions import YamlDocument

#: Keys whose text may contain a #.
_FREE_TEXT = (("text",), ("title",), ("profile", "name"), ("profile", "consent"))


def list_mistake(key: str, value: Any, document: YamlDocument) -> Mistake:
    """Return the mistake of a list, or keys, where one value is expected. `value`: the list or mapping."""
    place = document.mark((key,))
    what = f"`{key}` must be one value, not a list or keys of its own ({place})."
    line = f'{key}: "{document.lines[place.line - 1][place.column - 1 :].strip()}"'
    if key in FREE_TEXTS and line.count('"') == 2 and line[len(key) + 3] in "[{" and is_allowed(line):
        what = f"`{key}` begins with {line[len(key) + 3]} and is no text for YAML, but a list or keys ({place})."
        others = (
            f" Or: {advice[0].lower()}{advice[1:]}"
            if (advice := advice_for_list(key, value)) and len(value) > 1
            else ""
        )
        return Mistake(place, what, f"Put the text in quotes: write `{line}`.{others}", key=key)
    return Mistake(place, what, allowed_advice((key,), advice_for_list(key, value)) or describe_key((key,)))


def escape_mistake(found: LostBackslashes, document: YamlDocument) -> Mistake:
    """Return the mistake of a value whose backslashes YAML took for other signs."""
    place, path = document.mark((found.key,)), (found.key,)
    advice = advice_for_value(
        found.key, found.written.replace("\\\\", "\\"), is_number=False, is_file=found.key in COMPANIONS
    )
    return Mistake(
        place,
        f"{found.what} ({place}).",
        found.hint or allowed_advice(path, advice) or describe_key(path),
        key=found.key,
    )


def lost_words(document: YamlDocument) -> list[str]:
    """Sentences about what was written as a value and is a comment to YAML: text after " #", and colours without quotes."""
    found = []
    for path, comment in document.comments.items():
        key, value = ".".join(map(str, path)), document.value
        for step in path:
            value = value[step]
        place = document.mark(path)
        if value is None and len(comment) > 1 and comment[1] not in " #!-":
            found.append(
                f'`{key}` has no value ({place}): {comment} is a comment, since # begins one. Write {key}: "{comment}".'
            )
        elif value is not None and path in _FREE_TEXT:
            found.append(
                f"`{key}` ends before “{comment}” ({place}): # after a blank begins a comment. Put the whole text in quotes."
            )
    return found
