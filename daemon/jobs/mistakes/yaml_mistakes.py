"""Recognises what people mistype in YAML, and says what is wrong and how the line must look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from daemon.jobs.manifest import Manifest
from daemon.jobs.mistakes.copied_marks import merge_marks, sign_before_lines, word_quotes
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS, how_to_write_entries, mended_line
from daemon.jobs.mistakes.key_descriptions import describe_key
from daemon.jobs.mistakes.key_lines import FREE_TEXTS, keys_in_line, missing_colon
from daemon.jobs.mistakes.proposals import is_allowed

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
_RULE = re.compile(r"-{2,}|_{3,}|={3,}|\*{3,}|\+{3,}|–{1,3}|—{1,3}|([-_=*+~]) +(?:\1 +)+\1")
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
    if explanation := merge_marks(lines) or _heading(lines, line):
        return explanation
    for number in range(min(line, len(lines) - 1), max(-1, line - 1 - _LINES_BEFORE), -1):
        text = lines[number]
        found = _LINE.match(text)
        known = found if found and _is_key(text) else None
        for look in (
            _comment,
            _odd_spaces,
            _tab,
            _mark_of_layout,
            _several_keys,
            _colon,
            _quotes,
            _sign,
            _second_colon,
        ):
            if explanation := look(text, known):
                place = f"line {number + 1}, column {column + 1}" if number == line else f"line {number + 1}"
                longer = look in (_quotes, _sign, _second_colon) and _goes_on(lines, number)
                return f"{explanation[0]} ({place})", _hint_beyond(known, lines, number, explanation[1], longer)
    looks_below = (_block, _json_entry, _colon_below, _indentation, _line_of_no_key, _json)
    return next(filter(None, (look_below(lines, line) for look_below in looks_below)), None)


def _hint_beyond(known: re.Match[str] | None, lines: Sequence[str], number: int, hint: str, longer: bool) -> str:
    """Return what to do about a value; `longer`: it goes on in the lines below it, so that the hint for its line is too short."""
    if known is None or not longer:
        return hint
    if known["key"].casefold() in _LONG_TEXTS:
        return as_block(known["key"])
    if known["key"].casefold() in COLLECTIONS:
        return _entries(known["key"].casefold(), " ".join((known["value"], *_lines_below(lines, number))))
    return hint


def _lines_below(lines: Sequence[str], number: int) -> list[str]:
    """Return the lines after one, up to the next key or separator."""
    below = []
    for text in lines[number + 1 :]:
        if text.startswith("---") or (_is_key(text) and not text[:1].isspace()):
            break
        below.append(text.strip())
    return below


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


def _goes_on(lines: Sequence[str], number: int) -> bool:
    """Return whether the next line belongs to the text of this one: it is no key, no separator, and not empty."""
    after = lines[number + 1] if number + 1 < len(lines) else ""
    return bool(after.strip()) and not after.startswith("---") and not _is_key(after)


def _colon_below(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise a colon in a further line of a text, which YAML takes for a key there."""
    for number in range(min(line, len(lines) - 1), 0, -1):
        if _is_key(lines[number]):
            continue
        before = next((_LINE.match(lines[above]) for above in range(number - 1, -1, -1) if _is_key(lines[above])), None)
        if (
            before
            and before["value"]
            and not _BLOCK.fullmatch(before["value"])
            and re.search(r":(\s|$)", lines[number])
        ):
            what = f"`{before['key']}` goes on in a line with a colon and a blank, which YAML takes for another key"
            if before["key"].casefold() not in _LONG_TEXTS:
                what = f"The line “{_shown(lines[number].strip())}” fits neither `{before['key']}` before it nor a key of its own"
                return f"{what} (line {number + 1})", _to_end_of_line(before["key"])
            return f"{what} (line {number + 1})", as_block(before["key"])
    return None


def _is_key(text: str) -> bool:
    found = _LINE.match(text)
    return bool(found and found["key"].casefold() in Manifest.model_fields)


def _heading(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise the heading of a part of a TOML or INI file."""
    for number, text in enumerate(lines[: line + 1]):
        if _HEADING.fullmatch(text.rstrip()) and any(_LINE.match(one) for one in lines[number + 1 :]):
            what = f"The line {_shown(text.strip())} is the heading of a TOML or INI file (line {number + 1})"
            return what, "Remove it, and write a colon and a blank in place of each = after a key."
    return None


def _several_keys(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise a line with several keys."""
    if (parts := keys_in_line(text.rstrip())) is None:
        return None
    advice = f"Write each in a line of its own: {', then '.join(map(_shown, parts))}."
    found = _LINE.match(text)
    if found and found["colon"] == ":" and found["key"].casefold() in FREE_TEXTS:
        advice += f" If all of it is the {found['key'].casefold()}: {_in_small(_as_line(found))}"
    return "The line has several keys", advice


def _in_small(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}"


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
    before = next((_LINE.match(lines[n]) for n in range(last - 1, -1, -1) if lines[n].strip()), None)
    is_text = before is not None and before["key"].casefold() in _LONG_TEXTS and bool(before["value"])
    given = {found["key"].casefold() for found in map(_LINE.match, lines) if found}
    if len(columns := _COLUMNS.split(text.strip("| ").casefold())) > 1 and set(columns) <= set(Manifest.model_fields):
        what = f"The line “{_shown(text)}” is the head of a table, and tables are not read ({place})"
        return what, (
            f"Write a part for each row, each key in a line of its own such as `{columns[0]}: …`, and a line --- between two."
        )
    if (found := missing_colon(text)) and found[0] not in given and (found[1] or not is_text):
        return f"There is no colon after `{found[0]}` ({place})", (
            f"Write {_shown(found[1])}"
            if found[1]
            else "Write a colon, a blank and a value after it, or remove the line."
        )
    if before is not None and is_text:
        return f"`{before['key']}` goes on in a line that is not indented ({place})", as_block(before["key"])
    what = f"The line “{_shown(text)}” is no `key: value` ({place})"
    if "text" not in given:
        picture = " The picture is named in a line of its own, such as `image: portrait.png`."
        others = "" if given else " Each line --- begins another job." if last else picture
        return what, f"If it is to be said: {_in_small(as_block('text'))}{others}"
    return what, _to_end_of_line(before["key"] if before else "")


def _to_end_of_line(key: str) -> str:
    other = f", write it at the end of the line before if it belongs to `{key}`," if key and _is_key(f"{key}: ") else ""
    return f"Remove it{other} or begin it with # if it is a comment."


def _is_no_key(text: str) -> bool:
    """Return whether a line in the first column is neither a key with its colon nor a part of a list or of JSON."""
    if not text.strip() or text[0].isspace() or text[0] in "#{}[]\"',":
        return False
    return not text.startswith(("- ", "---", "...")) and not _LINE.match(text)


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
                f"Write each of these lines without a comma, such as {_shown(found['key'] + ': ' + found['value'])}",
            )
    return None


def _json(lines: Sequence[str], line: int) -> Explanation | None:
    """Recognise JSON whose signs are wrong."""
    objects = [number for number, text in enumerate(lines) if re.fullmatch(r"\s*\{.*\}\s*,?\s*", text)]
    if len(objects) > 1 and all(not text.strip() or number in objects for number, text in enumerate(lines)):
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
        found = _LINE.match(lines[number - 1])
        if not found or not _BLOCK.fullmatch(found["value"]):
            continue
        head = f"`{found['key']}: {found['value']}`"
        if not lines[number].startswith((" ", "\t")):
            what = f"The lines of {head} are not indented (line {number + 1})"
            return what, f"Begin each of them with two blanks: {_shown('  ' + lines[number].strip())}"
        indent = len(lines[number]) - len(lines[number].lstrip())
        for below in range(number + 1, min(line + 1, len(lines))):
            text = lines[below]
            if text.strip() and len(text) - len(text.lstrip()) < indent:
                what = f"The line “{_shown(text.strip())}” is indented less than the first line of {head} ({indent} blanks)"
                return f"{what} (line {below + 1})", (
                    f"If it belongs to `{found['key']}`, begin it with {indent} blanks, too; if not, with none."
                )
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
    advice = _as_line(found, f"Write a colon and a blank after `{found['key']}`.")
    if found["colon"] != ":":
        return f"`{found['key']}` is followed by {found['colon']}, which is no colon", advice
    if not found["blank"]:
        return f"There is no blank after `{found['key']}:`", advice
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
    sign, key = found["value"][0], found["key"].casefold()
    if sign in "|>" and (rest := re.sub(r"^[|>][-+0-9]*\s*", "", found["value"])):
        what = f"After {sign} the text begins in the next line, with two blanks before it"
        return what, _as_line(cast("re.Match[str]", re.match(_LINE, f"{found['key']}: {rest}")))
    if sign in "{[" and key in COLLECTIONS:
        form = "{…}" if sign == "{" else "[…]"
        what = f"The value of `{key}` is no valid {form}: commas stand between its entries, a colon and a blank after each key"
        return f"{what}, and {form[-1]} at its end", _entries(key, found["value"])
    if sign in "-?" and found["value"][1:2] != " ":
        return None
    advice = how_to_write_entries(key) if sign == "-" and key in COLLECTIONS else _as_line(found)
    return f"The value begins with {sign}, which is {_SIGNS[sign]} in YAML", advice


def _second_colon(_: str, found: re.Match[str] | None) -> Explanation | None:
    if found is None or found["value"][:1] in _QUOTED or not re.search(r":(\s|$)", found["value"]):
        return None
    if (key := found["key"].casefold()) in COLLECTIONS:
        return f"The entries of `{key}` stand in its line without braces", _entries(key, found["value"])
    what = "text" if key in FREE_TEXTS else "value"
    return f"The {what} contains a colon and a blank, which YAML takes for another key", _as_line(found)


def _as_line(found: re.Match[str], otherwise: str = "") -> str:
    """Return the line as it must be, as advice. A long one would be cut, and somebody would copy it so.

    Args:
        otherwise: what to do where no such line is allowed; default: what the key is for.
    """
    key, value = found["key"], found["value"].strip()
    if len(key) + len(value) + 4 > _LONGEST_SHOWN and key.casefold() in _LONG_TEXTS:
        return as_block(key)
    if '"' not in value and "\\" not in value:
        quoted = f'"{value}"'
    elif "'" not in value:
        quoted = f"'{value}'"
    else:
        quoted = "'" + value.replace("'", "''") + "'"
    is_plain = re.fullmatch(r"""\w[\w./ -]*|"[^"\\]*"|'[^']*'""", value)
    line = f"{key}: {value if is_plain else quoted}"
    if is_allowed(f"{key.casefold()}{line[len(key) :]}"):
        return f"Write {_shown(line)}"
    return otherwise or f"Write one value after `{key}:`. {describe_key((key.casefold(),))}"


def _entries(key: str, value: str) -> str:
    """Return how a value with entries must be written, as advice."""
    line = mended_line(key, value)
    return f"Write {line}" if line and len(line) <= _LONGEST_SHOWN else how_to_write_entries(key)


def _shown(line: str) -> str:
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
