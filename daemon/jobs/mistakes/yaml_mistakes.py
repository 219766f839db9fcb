"""Recognises what people mistype in YAML, and says what is wrong and how the line must look."""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon.jobs.manifest import Manifest
from daemon.jobs.mistakes.copied_marks import merge_marks, sign_before_lines, word_quotes
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS
from daemon.jobs.mistakes.key_lines import missing_colon
from daemon.jobs.mistakes.line_mistakes import (
    colon,
    comment,
    mark_of_layout,
    odd_spaces,
    quotes,
    second_colon,
    several_keys,
    sign,
    tab,
)
from daemon.jobs.mistakes.yaml_lines import (
    BLOCK,
    LINE,
    LONG_TEXTS,
    Explanation,
    as_block,
    in_small,
    is_key,
    shown,
    write_entries,
)

#: So many lines before the reported place are looked at, too: YAML often notices a mistake one line late.
_LINES_BEFORE = 4
#: An entry of a JSON object, with the comma after it.
_JSON_ENTRY = re.compile(r"""\s*(["'])(?P<key>\w+)\1\s*:\s*(?P<value>.*\S)\s*,\s*""")
#: What parts the columns of a table.
_COLUMNS = re.compile(r"\s*[;,|\t]\s*")
#: What heads a part of a file in TOML or INI.
_HEADING = re.compile(r"\[{1,2}[\w.\"' -]+\]{1,2}")


def explain_mistake(lines: Sequence[str], line: int, column: int) -> Explanation | None:
    """Explain why a document is no valid YAML; None for a mistake that is not known.

    Args:
        lines: of the document; what stands before it is empty.
        line, column: where YAML notices the mistake, from 0.
    """
    if explanation := merge_marks(lines) or _heading(lines, line) or _end_mark(lines, line):
        return explanation
    for number in range(min(line, len(lines) - 1), max(-1, line - 1 - _LINES_BEFORE), -1):
        text = lines[number]
        found = LINE.match(text)
        known = found if found and is_key(text) else None
        for look in (
            comment,
            odd_spaces,
            tab,
            mark_of_layout,
            several_keys,
            colon,
            quotes,
            sign,
            second_colon,
        ):
            if explanation := look(text, known):
                at = known.start("value") if look is sign and known else column if number == line else None
                place = f"line {number + 1}" if at is None else f"line {number + 1}, column {at + 1}"
                longer = look in (quotes, sign, second_colon) and _goes_on(lines, number)
                return f"{explanation[0]} ({place})", _hint_beyond(known, lines, number, explanation[1], longer)
    looks_below = (_block, _json_entry, _colon_below, _indentation, _line_of_no_key, _json)
    return next(filter(None, (look_below(lines, line) for look_below in looks_below)), None)


def _hint_beyond(known: re.Match[str] | None, lines: Sequence[str], number: int, hint: str, longer: bool) -> str:
    """Return what to do about a value; `longer`: it goes on in the lines below it, so that the hint for its line is too short."""
    if known is None or not longer:
        return hint
    if known["key"].casefold() in LONG_TEXTS:
        return as_block(known["key"])
    if known["key"].casefold() in COLLECTIONS:
        return write_entries(known["key"].casefold(), " ".join((known["value"], *_lines_below(lines, number))))
    return hint


def _lines_below(lines: Sequence[str], number: int) -> list[str]:
    """Return the lines after one, up to the next key or separator."""
    below = []
    for text in lines[number + 1 :]:
        if text.startswith("---") or (is_key(text) and not text[:1].isspace()):
            break
        below.append(text.strip())
    return below


def hint_for_text(lines: Sequence[str], line: int) -> str:
    """Return what to do where a line of a text was read as a key; empty where it follows no text.

    Args:
        lines: of the file.
        line: in which the key stands, from 1.
    """
    before = LINE.match(lines[line - 2]) if 2 <= line <= len(lines) else None
    if (
        before is None
        or before["key"].casefold() not in LONG_TEXTS
        or not before["value"]
        or before["value"][0] in "\"'"
    ):
        return ""
    return (
        f"If this line belongs to `{before['key']}`: {as_block(before['key'])[0].lower()}{as_block(before['key'])[1:]}"
    )


def _goes_on(lines: Sequence[str], number: int) -> bool:
    """Return whether the next line belongs to the text of this one: it is no key, no separator, and not empty."""
    after = lines[number + 1] if number + 1 < len(lines) else ""
    return bool(after.strip()) and not after.startswith("---") and not is_key(after)


def _colon_below(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a colon in a further line of a text, which YAML takes for a key there."""
    keys = [number for number in range(min(line + 1, len(lines))) if is_key(lines[number])]
    for number in range(min(line, len(lines) - 1), 0, -1):
        if keys and keys[-1] == number:
            keys.pop()
            continue
        before = LINE.match(lines[keys[-1]]) if keys else None
        if before and before["value"] and not BLOCK.fullmatch(before["value"]) and re.search(r":(\s|$)", lines[number]):
            what = f"`{before['key']}` goes on in a line with a colon and a blank, which YAML takes for another key"
            if before["key"].casefold() not in LONG_TEXTS:
                what = f"The line “{shown(lines[number].strip())}” fits neither `{before['key']}` before it nor a key of its own"
                return f"{what} (line {number + 1})", _to_end_of_line(before["key"])
            return f"{what} (line {number + 1})", as_block(before["key"])
    return None


def _heading(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise the heading of a part of a TOML or INI file."""
    for number, text in enumerate(lines[: line + 1]):
        if _HEADING.fullmatch(text.rstrip()):
            if not any(LINE.match(one) for one in lines[number + 1 :]):
                return None  # nor is there one below the headings that follow
            what = f"The line {shown(text.strip())} is the heading of a TOML or INI file (line {number + 1})"
            return what, "Remove it, and write a colon and a blank in place of each = after a key."
    return None


def _end_mark(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a line of three points, which ends a document in YAML: YAML complains only about the line after it."""
    last = next((n for n in range(min(line, len(lines) - 1), -1, -1) if lines[n].rstrip() == "..."), None)
    if last is None:
        return None
    before = next((LINE.match(lines[n]) for n in range(last - 1, -1, -1) if lines[n].strip()), None)
    after = next((text for text in lines[last + 1 :] if text.strip()), "")
    if before is not None and before["key"].casefold() in LONG_TEXTS and not is_key(after):
        return f"`{before['key']}` goes on in a line that is not indented (line {last + 1})", as_block(before["key"])
    return f"The line ... ends the job in YAML, and more follows (line {last + 1})", (
        "Remove it. Between two jobs stands a line of three hyphens: ---"
    )


def _line_of_no_key(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a line in the first column that is no `key: value`: a key without its colon, the rest of a text, or anything
    else.
    """
    last = next((n for n in range(min(line, len(lines) - 1), -1, -1) if _is_no_key(lines[n])), None)
    if last is None:
        return None
    if explanation := sign_before_lines(lines):
        return explanation
    while last and _is_no_key(lines[last - 1]):
        last -= 1
    text, place = lines[last].strip(), f"line {last + 1}"
    before = next((LINE.match(lines[n]) for n in range(last - 1, -1, -1) if lines[n].strip()), None)
    is_text = before is not None and before["key"].casefold() in LONG_TEXTS and bool(before["value"])
    given = {found["key"].casefold() for found in map(LINE.match, lines) if found}
    if len(columns := _COLUMNS.split(text.strip("| ").casefold())) > 1 and set(columns) <= set(Manifest.model_fields):
        what = f"The line “{shown(text)}” is the head of a table, which is no manifest ({place})"
        return what, (
            "Save it under a name that ends in .csv, and each row becomes a job. Or write a part for each row, each key in a "
            f"line of its own such as `{columns[0]}: …`, and a line --- between two."
        )
    if (found := missing_colon(text)) and found[0] not in given and (found[1] or not is_text):
        return f"There is no colon after `{found[0]}` ({place})", (
            f"Write {shown(found[1])}"
            if found[1]
            else "Write a colon, a blank and a value after it, or remove the line."
        )
    if before is not None and is_text:
        return f"`{before['key']}` goes on in a line that is not indented ({place})", as_block(before["key"])
    what = f"The line “{shown(text)}” is no `key: value` ({place})"
    if "text" not in given:
        picture = " The picture is named in a line of its own, such as `image: portrait.png`."
        others = "" if given else " Each line --- begins another job." if last else picture
        return what, f"If it is to be said: {in_small(as_block('text'))}{others}"
    return what, _to_end_of_line(before["key"] if before else "")


def _to_end_of_line(key: str) -> str:
    other = f", write it at the end of the line before if it belongs to `{key}`," if key and is_key(f"{key}: ") else ""
    return f"Remove it{other} or begin it with # if it is a comment."


def _is_no_key(text: str) -> bool:
    """Return whether a line in the first column is neither a key with its colon nor a part of a list or of JSON."""
    if not text.strip() or text[0].isspace() or text[0] in "#{}[]\"',":
        return False
    return not text.startswith(("- ", "---", "...")) and not LINE.match(text)


def _json_entry(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise entries of a JSON object without the braces around them."""
    if next((text for text in lines if text.strip()), "").lstrip().startswith(("{", "[")):
        return None
    for number in range(min(line + 2, len(lines))):
        found = _JSON_ENTRY.fullmatch(lines[number])
        if found and found["key"].casefold() in Manifest.model_fields:
            what = f"The line ends in a comma, as in JSON, and no braces stand around it (line {number + 1})"
            return (
                what,
                f"Write each of these lines without a comma, such as {shown(found['key'] + ': ' + found['value'])}",
            )
    return None


def _json(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise JSON whose signs are wrong."""
    objects = [number for number, text in enumerate(lines) if re.fullmatch(r"\s*\{.*\}\s*,?\s*", text)]
    if len(objects) > 1 and len(objects) == sum(bool(text.strip()) for text in lines):
        what = f"Several objects of JSON follow each other (line {objects[1] + 1})"
        return what, "Write a line --- between two jobs, and no comma."
    if not next((text.lstrip() for text in lines if text.strip()), "").startswith(("{", "[{")):
        return None
    if explanation := word_quotes(lines):
        return explanation
    what = f"The manifest is no valid JSON or YAML (line {min(line, len(lines) - 1) + 1}, or shortly before it)"
    return what, "A comma stands between two entries, a colon and a blank after each key, and a } closes each {."


def _block(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a block of lines (`text: |`) that is not indented, or of which a line is indented less than the first."""
    for number in range(min(line, len(lines) - 1), 0, -1):
        found = LINE.match(lines[number - 1])
        if not found or not BLOCK.fullmatch(found["value"]):
            continue
        head = f"`{found['key']}: {found['value']}`"
        if not lines[number].startswith((" ", "\t")):
            what = f"The lines of {head} are not indented (line {number + 1})"
            return what, f"Begin each of them with two blanks: {shown('  ' + lines[number].strip())}"
        indent = len(lines[number]) - len(lines[number].lstrip())
        for below in range(number + 1, min(line + 1, len(lines))):
            text = lines[below]
            if text.strip() and len(text) - len(text.lstrip()) < indent:
                what = (
                    f"The line “{shown(text.strip())}” is indented less than the first line of {head} ({indent} blanks)"
                )
                return f"{what} (line {below + 1})", (
                    f"If it belongs to `{found['key']}`, begin it with {indent} blanks, too; if not, with none."
                )
    return None


def _indentation(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a key that is indented otherwise than the key before it."""
    if not 0 < line < len(lines):
        return None
    before, here = (LINE.match(text) for text in (lines[line - 1], lines[line]))
    if before is None or here is None or len(before["indent"]) == len(here["indent"]):
        return None
    what = f"`{here['key']}` is indented by {len(here['indent'])} and `{before['key']}` by {len(before['indent'])}"
    return f"{what} (line {line + 1})", "Let all keys begin in the same column."
