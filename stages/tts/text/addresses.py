"""Spells out web and mail addresses as people say them: "example dot com slash docs"."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class SignNames:
    """Names of the signs in addresses, in one language."""

    dot: str
    at: str
    slash: str
    dash: str
    underscore: str
    plus: str = "plus"


#: By language; in other languages addresses are left to the voice.
SIGN_NAMES = {
    "en": SignNames("dot", "at", "slash", "dash", "underscore"),
    "de": SignNames("Punkt", "at", "Schrägstrich", "Bindestrich", "Unterstrich"),
    "es": SignNames("punto", "arroba", "barra", "guion", "guion bajo", "más"),
    "fr": SignNames("point", "arobase", "barre oblique", "tiret", "tiret bas"),
    "it": SignNames("punto", "chiocciola", "barra", "trattino", "trattino basso", "più"),
    "nl": SignNames("punt", "apenstaartje", "schuine streep", "streepje", "liggend streepje"),
    "pt": SignNames("ponto", "arroba", "barra", "hífen", "sublinhado", "mais"),
}
#: Most parts of a path that are spoken.
_PATH_PARTS = 3
#: Without "http" or "www", a word is an address only with one of these endings; "etc.and" is not.
_ENDINGS = "com|org|net|edu|gov|io|dev|ai|app|info|eu|uk|us|de|fr|es|it|nl|ch|at|jp|ca|au|tv|me|co"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{1,6}}"
_WEB = re.compile(
    rf"(?:(?:https?://(?:www\.)?|www\.)({_HOST}|localhost)(?::\d{{1,5}})?"
    rf"|((?:{_LABEL}\.){{1,5}}(?:{_ENDINGS}))(?![\w-]))((?:/[^\s?#]*)?)(?:[?#]\S*)?",
    re.IGNORECASE,
)
_MAIL = re.compile(rf"(?:mailto:)?([A-Za-z0-9._%+-]{{1,64}})@({_HOST})")
_TAIL = re.compile(r"[.,;:!?)\]}>\"'”’»]*$")


def spoken_address(word: str, language: str) -> list[str] | None:
    """Return an address as spoken words, its closing punctuation kept; None if `word` is not an address."""
    signs = SIGN_NAMES.get(language)
    if signs is None or ("." not in word and "//" not in word) or len(word) > 2000:
        return None
    core = word.lstrip("(<[{\"'“‘«")
    tail = _TAIL.search(core)
    end = tail.start() if tail else len(core)
    body, closing = core[:end], "".join(sign for sign in core[end:] if sign in ".,;:!?")
    if match := _MAIL.fullmatch(body):
        said = [*_parts(match[1], signs), signs.at, *_host(match[2], signs)]
    elif match := _WEB.fullmatch(body):
        said = _host(match[1] or match[2], signs) + _path(match[3], signs)
    else:
        return None
    said[-1] += closing
    return said


def _host(host: str, signs: SignNames) -> list[str]:
    said: list[str] = []
    labels = host.split(".")
    for number, label in enumerate(labels):
        short = number == len(labels) - 1 and len(label) == 2  # "uk", "io": said letter by letter
        said += ([signs.dot] if number else []) + ([label.upper()] if short else _parts(label, signs))
    return said


def _path(path: str, signs: SignNames) -> list[str]:
    said: list[str] = []
    for part in [part for part in path.split("/") if part][:_PATH_PARTS]:
        said += [signs.slash, *_parts(part, signs)]
    return said


def _parts(text: str, signs: SignNames) -> list[str]:
    """Split a text into letters, figures and names of the signs between them."""
    names = {".": signs.dot, "-": signs.dash, "_": signs.underscore, "+": signs.plus}
    pieces = re.findall(r"[^\W\d_]+|\d+|[.\-_+]", text)
    return [names.get(piece, piece) for piece in pieces] or [text]
