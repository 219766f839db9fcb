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
                return f"{explanation[0]} ({place})", explanation[1]
    return _block(lines, line) or _indentation(lines, line) or _next_line(lines, line, keys)


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
                f"Write `{key}: |`, and under it the whole text, with two blanks before each line.",
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
            f"Write {_shown(found['key'] + ': ' + value + sign)}",
        )
    if inner is None:
        what = f"The text begins with a {_QUOTED[sign]} quote, so YAML expects that the next one ends it"
        return what, f"Quote the whole text with the other sign: {_as_line(found)[6:]}"
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
    """Return the line as it must be, as advice."""
    value = found["value"].strip()
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
