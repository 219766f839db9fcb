"""Recognises mistakes within one line of YAML.

Each function takes a line, and its parts if it begins with a key, and returns what is wrong and what to do; None if nothing is.
"""

from __future__ import annotations

import re
from typing import cast

from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.mistakes.flow_mistakes import COLLECTIONS, how_to_write_entries
from daemon.jobs.mistakes.key_descriptions import describe_key
from daemon.jobs.mistakes.key_lines import FREE_TEXTS, keys_in_line
from daemon.jobs.mistakes.proposals import is_allowed
from daemon.jobs.mistakes.value_mistakes import advice_for_value
from daemon.jobs.mistakes.yaml_lines import (
    BLOCK,
    LINE,
    LONG_TEXTS,
    LONGEST_SHOWN,
    Explanation,
    as_block,
    in_small,
    shown,
    write_entries,
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
#: How comments begin in JavaScript and its kin. JSON has none; what reads a manifest is YAML in any case.
COMMENTS_ELSEWHERE = ("//", "/*")
#: What to do about them.
NO_COMMENTS = "JSON has no comments. Remove it; a line of a manifest that begins with # is a comment."
_COMMENT_AT_END = re.compile(r"""^\s*[{"'].*["'\]}\de,{[]\s*(?P<comment>(?://|/\*).*)$""")
_RULE = re.compile(r"-{2,}|_{3,}|={3,}|\*{3,}|\+{3,}|–{1,3}|—{1,3}|([-_=*+~]) +(?:\1 +)+\1")


def several_keys(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise a line with several keys."""
    if (parts := keys_in_line(text.rstrip())) is None:
        return None
    advice = f"Write each in a line of its own: {', then '.join(map(shown, parts))}."
    found = LINE.match(text)
    if found and found["colon"] == ":" and found["key"].casefold() in FREE_TEXTS:
        advice += f" If all of it is the {found['key'].casefold()}: {in_small(_as_line(found))}"
    return "The line has several keys", advice


def comment(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise a comment of JavaScript, as some programs allow it in JSON."""
    bare = text.strip()
    if bare.startswith(COMMENTS_ELSEWHERE):
        return f"The line {shown(bare)} is no comment here", NO_COMMENTS
    if found := _COMMENT_AT_END.match(text):
        return f"{shown(found['comment'])} is no comment here", NO_COMMENTS
    return None


def mark_of_layout(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise the marks of a code block, which are copied with what is in it, and lines that part something elsewhere."""
    bare = text.strip()
    if bare.startswith(("```", "~~~")):
        return f"The line {shown(bare)} is the mark of a code block", "Remove it, and the one at the end of the block."
    if _RULE.fullmatch(bare) and bare != "---":
        return f"The line {shown(bare)} is no separator", "Between two jobs stands a line of three hyphens: ---"
    return None


def tab(text: str, _: re.Match[str] | None) -> Explanation | None:
    """Recognise a tab before the first word."""
    if "\t" not in text[: len(text) - len(text.lstrip())]:
        return None
    return (
        "The line is indented with a tab, which YAML does not allow",
        f"Indent with blanks: {shown('  ' + text.strip())}",
    )


def odd_spaces(text: str, found: re.Match[str] | None) -> Explanation | None:
    """Recognise a sign that looks like a blank and is none."""
    places = text[: len(text) - len(text.lstrip())] + (found["gap"] + found["blank"] if found else "")
    for char in places:
        if char in _ODD_SPACES:
            return f"There is {_ODD_SPACES[char]} where a blank is needed", "Type that blank again, with the space bar."
    return None


def colon(_: str, found: re.Match[str] | None) -> Explanation | None:
    """Recognise a colon that is another sign, or has no blank after it."""
    if found is None or not found["value"]:
        return None
    advice = _as_line(found, f"Write a colon and a blank after `{found['key']}`.")
    if found["colon"] != ":":
        return f"`{found['key']}` is followed by {found['colon']}, which is no colon", advice
    if not found["blank"]:
        return f"There is no blank after `{found['key']}:`", advice
    return None


def quotes(_: str, found: re.Match[str] | None) -> Explanation | None:
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
            if len(value) < LONGEST_SHOWN
            else "Write it at the end of the text.",
        )
    if inner is None:
        what = f"The text begins with a {_QUOTED[sign]} quote, so YAML expects that the next one ends it"
        advice = _as_line(found)
        return what, f"Quote the whole text with the other sign: {advice[6:]}" if "|`" not in advice else advice
    return None


def sign(_: str, found: re.Match[str] | None) -> Explanation | None:
    """Recognise a value that begins with a sign of YAML."""
    if found is None or found["value"][:1] not in _SIGNS or BLOCK.fullmatch(found["value"]):
        return None
    sign, key = found["value"][0], found["key"].casefold()
    if sign in "|>" and (rest := re.sub(r"^[|>][-+0-9]*\s*", "", found["value"])):
        what = f"After {sign} the text begins in the next line, with two blanks before it"
        return what, _as_line(cast("re.Match[str]", re.match(LINE, f"{found['key']}: {rest}")))
    if sign in "{[" and key in COLLECTIONS:
        form = "{…}" if sign == "{" else "[…]"
        what = f"The value of `{key}` is no valid {form}: commas stand between its entries, a colon and a blank after each key"
        return f"{what}, and {form[-1]} at its end", write_entries(key, found["value"])
    if sign in "-?" and found["value"][1:2] != " ":
        return None
    advice = how_to_write_entries(key) if sign == "-" and key in COLLECTIONS else _as_line(found)
    return f"The value begins with {sign}, which is {_SIGNS[sign]} in YAML", advice


def second_colon(_: str, found: re.Match[str] | None) -> Explanation | None:
    """Recognise a colon and a blank in a value."""
    if found is None or found["value"][:1] in _QUOTED or not re.search(r":(\s|$)", found["value"]):
        return None
    if (key := found["key"].casefold()) in COLLECTIONS:
        return f"The entries of `{key}` stand in its line without braces", write_entries(key, found["value"])
    what = "text" if key in FREE_TEXTS else "value"
    return f"The {what} contains a colon and a blank, which YAML takes for another key", _as_line(found)


def _as_line(found: re.Match[str], otherwise: str = "") -> str:
    """Return the line as it must be, as advice. A long one would be cut, and somebody would copy it so.

    Args:
        otherwise: what to do where no such line is allowed; default: what the key is for.
    """
    key, value = found["key"], found["value"].strip()
    if len(key) + len(value) + 4 > LONGEST_SHOWN and key.casefold() in LONG_TEXTS:
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
        return f"Write {shown(line)}"
    is_file = key.casefold() in COMPANIONS
    if (is_file or key.casefold() == "text") and (
        advice := advice_for_value(key.casefold(), value, is_number=False, is_file=is_file)
    ):
        return advice
    return otherwise or f"Write one value after `{key}:`. {describe_key((key.casefold(),))}"
