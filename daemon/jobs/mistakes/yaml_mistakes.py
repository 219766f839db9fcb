"""Recognises what people mistype in YAML, and says what is wrong and how the line must look."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

#: What is wrong, as a sentence, and what to do.
Explanation = tuple[str, str]

#: `key: value` with a key that manifests know.
_LINE = re.compile(
    r"^(?P<indent>\s*(?:- )?)(?P<key>[A-Za-z_]+)(?P<gap>\s*)(?P<colon>[:：﹕꞉∶=])(?P<blank>\s*)(?P<value>.*)$"
)
_ODD_SPACES = {"\u00a0": "a no-break space", "\u202f": "a narrow no-break space", "\u3000": "a full-width space",
               "\u2007": "a figure space", "\u200b": "a space without width", "\ufeff": "a byte order mark"}  # fmt: skip
#: Signs that mean something in YAML at the start of a value.
_SIGNS = {
    "[": "a list", "{": "a mapping", "*": "an alias", "&": "an anchor", "!": "a tag", "|": "a block of lines",
    ">": "a folded block", "%": "a directive", "@": "a reserved sign", "`": "a reserved sign", "?": "a key",
    "-": "an item of a list",
}  # fmt: skip
_QUOTED = {'"': "double", "'": "single"}
_BLOCK = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?")
#: So many lines before the reported place are looked at, too: YAML often notices a mistake one line late.
_LINES_BEFORE = 4
_LONGEST_SHOWN = 60
#: Keys whose text may have several lines.
_LONG_TEXTS = ("text", "prompt", "negative")
#: How comments begin in JavaScript and its kin. JSON has none; what reads a manifest is YAML in any case.
COMMENTS_ELSEWHERE = ("//", "/*")
NO_COMMENTS = "JSON has no comments. Remove it; a line of a manifest that begins with # is a comment."
_COMMENT_AT_END = re.compile(r"""^\s*[{"'].*["'\]}\de,{[]\s*(?P<comment>(?://|/\*).*)$""")
_RULE = re.compile(r"-{2,}|_{3,}|={3,}|\*{3,}|\+{3,}|–{1,3}|—{1,3}")


def explain_mistake(lines: Sequence[str], line: int, column: int, keys: Collection[str]) -> Explanation | None:
    """Explain why a document is no valid YAML; None for a mistake that is not known.

    Args:
        lines: of the file.
        line, column: where YAML notices the mistake, from 0.
        keys: the keys that manifests know.
    """
    for number in range(min(line, len(lines) - 1), max(-1, line - 1 - _LINES_BEFORE), -1):
        text = lines[number]
        found = _LINE.match(text)
        known = found if found and found["key"].casefold() in keys else None
        for look in (_comment, _odd_spaces, _tab, _mark_of_layout, _colon, _quotes, _sign, _second_colon):
            if explanation := look(text, known):
                place = f"line {number + 1}, column {column + 1}" if number == line else f"line {number + 1}"
                longer = look in (_quotes, _sign, _second_colon) and _goes_on(lines, number, keys)
                hint = as_block(known["key"]) if longer and known else explanation[1]
                return f"{explanation[0]} ({place})", hint
    return (
        _block(lines, line)
        or _colon_below(lines, line, keys)
        or _indentation(lines, line)
        or _next_line(lines, line, keys)
    )


def as_block(key: str) -> str:
    """Return how a text of several lines is written, whatever signs it contains."""
    return f"Write `{key}: |`, and under it the whole text, with two blanks before each line."


def hint_for_text(lines: Sequence[str], line: int) -> str:
    """Return what to do where a line of a text was read as a key; empty where it follows no text.

    Args:
        lines: of the file.
        line: in which the key stands, from 1.
    """
    before = _LINE.match(lines[line - 2]) if 2 <= line <= len(lines) else None
    if (
        before is None
        or before["key"].casefold() not in _LONG_TEXTS
        or not before["value"]
        or before["value"][0] in "\"'"
    ):
        return ""
    return (
        f"If this line belongs to `{before['key']}`: {as_block(before['key'])[0].lower()}{as_block(before['key'])[1:]}"
    )


def _goes_on(lines: Sequence[str], number: int, keys: Collection[str]) -> bool:
    """Return whether the next line belongs to the text of this one: it is no key, no separator, and not empty."""
    after = lines[number + 1] if number + 1 < len(lines) else ""
    found = _LINE.match(after)
    return bool(after.strip()) and not after.startswith("---") and not (found and found["key"].casefold() in keys)


def _colon_below(lines: Sequence[str], line: int, keys: Collection[str]) -> Explanation | None:
    """Recognise a colon in a further line of a text, which YAML takes for a key there."""
    for number in range(min(line, len(lines) - 1), 0, -1):
        found = _LINE.match(lines[number])
        if found and found["key"].casefold() in keys:
            continue
        before = next(
            (_LINE.match(lines[above]) for above in range(number - 1, -1, -1) if _is_key(lines[above], keys)), None
        )
        if (
            before
            and before["value"]
            and not _BLOCK.fullmatch(before["value"])
            and re.search(r":(\s|$)", lines[number])
        ):
            what = f"`{before['key']}` goes on in a line with a colon and a blank, which YAML takes for another key"
            return f"{what} (line {number + 1})", as_block(before["key"])
    return None


def _is_key(text: str, keys: Collection[str]) -> bool:
    found = _LINE.match(text)
    return bool(found and found["key"].casefold() in keys)


def _comment(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise a comment of JavaScript, as some programs allow it in JSON."""
    bare = text.strip()
    if bare.startswith(COMMENTS_ELSEWHERE):
        return f"The line {_shown(bare)} is no comment here", NO_COMMENTS
    if found := _COMMENT_AT_END.match(text):
        return f"{_shown(found['comment'])} is no comment here", NO_COMMENTS
    return None


def _mark_of_layout(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise the marks of a code block, which are copied with what is in it, and lines that part something elsewhere."""
    bare = text.strip()
    if bare.startswith(("```", "~~~")):
        return f"The line {_shown(bare)} is the mark of a code block", "Remove it, and the one at the end of the block."
    if _RULE.fullmatch(bare) and bare != "---":
        return f"The line {_shown(bare)} is no separator", "Between two jobs stands a line of three hyphens: ---"
    return None


def _next_line(lines: Sequence[str], line: int, keys: Collection[str]) -> Explanation | None:
    """Recognise a text that goes on in the next line, in the first column."""
    for number in range(min(line, len(lines) - 1), 0, -1):
        found, before = _LINE.match(lines[number]), _LINE.match(lines[number - 1])
        if found and found["key"].casefold() in keys:
            continue
        if before and before["key"].casefold() in keys and before["value"] and lines[number].strip():
            key = before["key"]
            return (
                f"`{key}` goes on in a line that is not indented (line {number + 1})",
                as_block(key),
            )
    return None


def _block(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a block of lines (`text: |`) that is not indented."""
    for number in range(min(line, len(lines) - 1), 0, -1):
        found = _LINE.match(lines[number - 1])
        if found and _BLOCK.fullmatch(found["value"]) and not lines[number].startswith((" ", "\t")):
            what = f"The lines of `{found['key']}: {found['value']}` are not indented (line {number + 1})"
            return what, f"Begin each of them with two blanks: {_shown('  ' + lines[number].strip())}"
    return None


def _indentation(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a key that is indented otherwise than the key before it."""
    if not 0 < line < len(lines):
        return None
    before, here = (_LINE.match(text) for text in (lines[line - 1], lines[line]))
    if before is None or here is None or len(before["indent"]) == len(here["indent"]):
        return None
    what = f"`{here['key']}` is indented by {len(here['indent'])} and `{before['key']}` by {len(before['indent'])}"
    return f"{what} (line {line + 1})", "Let all keys begin in the same column."


def _tab(text: str, _: re.Match[str] | None) -> Explanation | None:
    if "\t" not in text[: len(text) - len(text.lstrip())]:
        return None
    return (
        "The line is indented with a tab, which YAML does not allow",
        f"Indent with blanks: {_shown('  ' + text.strip())}",
    )


def _odd_spaces(text: str, found: re.Match[str] | None) -> Explanation | None:
    places = text[: len(text) - len(text.lstrip())] + (found["gap"] + found["blank"] if found else "")
    for char in places:
        if char in _ODD_SPACES:
            return f"There is {_ODD_SPACES[char]} where a blank is needed", "Type that blank again, with the space bar."
    return None


def _colon(_: str, found: re.Match[str] | None) -> Explanation | None:
    if found is None or not found["value"]:
        return None
    if found["colon"] != ":":
        return f"`{found['key']}` is followed by {found['colon']}, which is no colon", _as_line(found)
    if not found["blank"]:
        return f"There is no blank after `{found['key']}:`", _as_line(found)
    return None


def _quotes(_: str, found: re.Match[str] | None) -> Explanation | None:
    """Recognise backslashes and further text in and after quotes."""
    if found is None or found["value"][:1] not in _QUOTED:
        return None
    value = found["value"].rstrip()
    sign = value[0]
    inner = re.fullmatch(rf"{sign}([^{sign}]*){sign}", value)
    if (
        sign == '"'
        and "\\" in value
        and re.search(r"\\(?![\\\"/abefnrtvxuUNLP0_ \t])|\\[xuU](?![0-9a-fA-F]{2})", value)
    ):
        plain = value.strip('"')
        if re.match(r"[A-Za-z]:|\\", plain):
            name = re.split(r"[\\/]", plain)[-1]
            advice = f"Put {name} next to the manifest, and write {found['key']}: {name}"
            return "In double quotes, \\ begins a special sign", advice
        return (
            "In double quotes, \\ begins a special sign",
            f"Write {found['key']}: '{plain.replace(chr(39), chr(39) * 2)}'",
        )
    if inner is None and sign not in value[1:]:
        return (
            f"The {_QUOTED[sign]} quote that ends the text is missing",
            f"Write {found['key']}: {value}{sign}"
            if len(value) < _LONGEST_SHOWN
            else "Write it at the end of the text.",
        )
    if inner is None:
        what = f"The text begins with a {_QUOTED[sign]} quote, so YAML expects that the next one ends it"
        advice = _as_line(found)
        return what, f"Quote the whole text with the other sign: {advice[6:]}" if "|`" not in advice else advice
    return None


def _sign(_: str, found: re.Match[str] | None) -> Explanation | None:
    if found is None or found["value"][:1] not in _SIGNS or _BLOCK.fullmatch(found["value"]):
        return None
    sign = found["value"][0]
    if sign in "-?" and found["value"][1:2] != " ":
        return None
    return f"The value begins with {sign}, which is {_SIGNS[sign]} in YAML", _as_line(found)


def _second_colon(_: str, found: re.Match[str] | None) -> Explanation | None:
    if found is None or found["value"][:1] in _QUOTED or not re.search(r":(\s|$)", found["value"]):
        return None
    return "The text contains a colon and a blank, which YAML takes for another key", _as_line(found)


def _as_line(found: re.Match[str]) -> str:
    """Return the line as it must be, as advice. A long one would be cut, and somebody would copy it so."""
    value = found["value"].strip()
    if len(found["key"]) + len(value) + 4 > _LONGEST_SHOWN and found["key"].casefold() in _LONG_TEXTS:
        return as_block(found["key"])
    if '"' not in value and "\\" not in value:
        quoted = f'"{value}"'
    elif "'" not in value:
        quoted = f"'{value}'"
    else:
        quoted = "'" + value.replace("'", "''") + "'"
    plain = value if re.fullmatch(r"\w[\w./ -]*", value) else quoted
    return f"Write {_shown(found['key'] + ': ' + plain)}"


def _shown(line: str) -> str:
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
