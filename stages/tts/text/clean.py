"""Cleans text of what typesetting, web pages and PDF files add: ligatures, hyphenation, HTML, invisible characters.

Captions show the result: "oﬃce" with a ligature becomes "office", `<b>now</b>` becomes "now".
"""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

from stages.tts.text.markup import read_markup

#: Ligatures: "ﬁ", "ﬄ".
_LIGATURE = re.compile("[\ufb00-\ufb06]")
#: Soft hyphens, zero-width spaces, byte order marks, and joiners within words of Latin letters.
_UNSEEN = re.compile("[\u00ad\u200b\u2060\ufeff]|(?<=[A-Za-z])[\u200c\u200d](?=[A-Za-z])")
#: "inter-" at the end of a line and "national" on the next.
_BROKEN = re.compile(
    r"(?<![^\s(])([^\s(]{0,40}[^\W\d_]{2})[-\u2010\u00ad][^\S\n]*\n[^\S\n]*(?!(?:and|or|to)\b)(?=[a-zß-öø-ÿ]{2})"
)
#: After these the hyphen at the end of a line belongs to the word: "well-known".
_COMPOUNDS = frozenset(
    {"all", "cross", "ever", "ex", "full", "half", "high", "long", "low", "non", "self", "short", "well"}
)
#: Signs that people type for an apostrophe: between letters, and before words such as "n" in "rock ʼn roll".
_APOSTROPHE = re.compile(
    r"(?<=[^\W\d_])[`´′ʹʼˈ‛‘＇ꞌ՚](?=[^\W\d_])|(?<![\w`´])[`´′ʹʼ‛‘＇](?=(?:n|em|til|tis|twas|twill|cause|cos|bout|round)\b)",
    re.IGNORECASE,
)
_TAGS = "a|abbr|b|big|blockquote|br|center|cite|code|del|div|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|pre|q|s|small|span" \
    "|strike|strong|sub|sup|table|tbody|td|th|thead|tr|u|ul"  # fmt: skip
_ATTRIBUTE = r"[A-Za-z_:][\w:.-]{0,60}(?:\s?=\s?(?:\"[^\"<>]{0,500}\"|'[^'<>]{0,500}'|[^\s\"'<>=]{1,500}))?"
_TAG = re.compile(rf"<(/?)({_TAGS})(?:\s{{1,9}}{_ATTRIBUTE}){{0,20}}\s?/?>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.{0,2000}?-->", re.DOTALL)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_PARAGRAPHS = frozenset({"p", "div", "table", "ul", "ol", "blockquote", "hr", "pre", *(f"h{n}" for n in range(1, 7))})
_LINES = frozenset({"br", "li", "tr"})


def clean_text(text: str) -> str:
    """Return the text as a reader sees it: no invisible characters, hyphenated words joined, HTML as a browser shows it.

    SSML and stage directions are read, too (`read_markup`).
    """
    text = _ENTITY.sub(_decode_entity, _TAG.sub(_tag_space, read_markup(_COMMENT.sub("", text))))
    text = _LIGATURE.sub(lambda letters: unicodedata.normalize("NFKC", letters[0]), _BROKEN.sub(_mend_word, text))
    return _APOSTROPHE.sub("’", _UNSEEN.sub("", text))


def _mend_word(broken: re.Match[str]) -> str:
    first = broken[1]
    return f"{first}-" if "-" in first or first.casefold() in _COMPOUNDS else first


def _tag_space(tag: re.Match[str]) -> str:
    name = tag[2].casefold()
    if name in _PARAGRAPHS:
        return "\n\n"
    if name in _LINES:
        return "\n"
    return " " if name in ("td", "th", "img") else ""


def _decode_entity(entity: re.Match[str]) -> str:
    if entity[0].startswith("&#"):
        return html.unescape(entity[0])
    return html5.get(entity[0][1:], entity[0])
