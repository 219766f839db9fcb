"""Finds names of speakers before their lines, as the script of a dialogue or an interview has them: `ANNA: Hello.`

Such names are left out where the text is clearly a dialogue: at least two lines begin with a name, and

- all the names are in capitals: `ANNA: Hello.`, `BEN: Hi.`; or
- a name comes back, and most of these lines are sentences: `Anna: Hello.`, `Ben: Hi.`, `Anna: Bye.`

and wherever a name cannot be anything else: `@anna: Hello.`, `Anna (laughing): Hello.`, `ANNA (V.O.)` in the line before.

With other signs (`Anna - Hello.`, `Anna> Hello.`, `(Anna) Hello.`, `ANNA` in the line before) they are left out where two
people speak, a name comes back, and most of the lines are theirs, because much else stands before a dash.

The name of a narrator (`Narrator:`, `Voiceover:`, `Speaker 1:`) is left out before a colon anywhere. A single name in capitals is
spoken, with a warning, and so are names of which none comes back. Words before a colon that introduce what follows (`Note:`,
`Question:`, `STEP 1:`) are part of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.tts.text.markup.stage_directions import is_cue


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAME = r"[^\W\d_a-zß-öø-ÿ][\w.'’-]{0,30}(?:[^\S\n](?:[^\W\d_a-zß-öø-ÿ][\w.'’-]{0,30}|\d{1,2})){0,2}"
#: What stands behind a name in brackets: `(V.O.)`, `(smiles, to Ben)`, `[laughing]`.
_CUE = r"(?:[^\S\n]*(?P<cue>\([^()\n]{1,60}\)|\[[^\[\]\n]{1,60}\]))?"
#: `Anna:`, `**Anna:**`, `[Anna]:`, `- Anna:`, `1. Anna:`, `>> ANNA:`, `@anna:`, `ANNA (V.O.):` at the beginning of a line.
_LABEL = re.compile(
    rf"^[^\S\n]*(?:[-–—•>*]{{1,2}}[^\S\n]*|(?P<number>\d{{1,3}}[.)])[^\S\n]+)?(?:\*\*|__|\[)?"
    rf"(?P<name>@[\w.-]{{1,30}}|{_NAME})(?:\*\*|__|\])?{_CUE}(?:\*\*|__)?[^\S\n]*[:：](?:\*\*|__)?"
    r"(?=[^\S\n]|\n|[^\W\d_])[^\S\n]*(?P<line>[^\n]*)",
    re.MULTILINE,
)
#: Other ways to set a name before its line.
_OTHER_LABELS = tuple(
    re.compile(rf"^[^\S\n]*{shape}(?P<line>[^\s-][^\n]*)", re.MULTILINE)
    for shape in (
        rf"(?:\*\*|__)?(?P<name>{_NAME})(?:\*\*|__)?(?:[^\S\n]*\([^()\n]{{1,60}}\))?[^\S\n]+[-–—~]{{1,2}}[^\S\n]+",
        rf"(?P<name>{_NAME})[^\S\n]*(?:>{{1,2}}|[|»→])[^\S\n]*",
        rf"[<(](?P<name>{_NAME})[>)][^\S\n]+",
        rf"(?:\*\*|__)(?P<name>{_NAME})(?:\*\*|__)[^\S\n]+",
    )
)
#: A name in capitals in a line of its own, as in a screenplay; the line after it is hers.
_NAME_LINE = re.compile(
    rf"^[^\S\n]*(?P<name>(?=[^a-zß-öø-ÿ\n]{{2}}){_NAME}){_CUE}[^\S\n]*\n(?:[^\S\n]*\n)?(?P<line>[^\n]*[a-zß-öø-ÿ][^\n]*)",
    re.MULTILINE,
)
_NARRATORS = re.compile(
    r"(?:narrator(?:in)?|voice ?-?over|v\.?o\.?|speaker(?: \w{1,2})|announcer|presenter|sprecher(?:in)?(?: \d{1,2})?"
    r"|erzähler(?:in)?|narrateur|narratrice|narrador|narradora|narratore|locutor|locutora|voix off)",
    re.IGNORECASE,
)
#: Words that introduce what follows, in the languages that most texts are in; a number may come after them.
_INTRODUCING = _words(
    """
    appendix note notes tip tips hint hints warning caution important attention question questions answer answers q a step part
    chapter section lesson example examples fact facts myth myths pro pros con cons do don't dos don'ts reason problem
    solution result results before after input output who what when where why how summary conclusion introduction
    intro outro ps p.s nb n.b fyi tldr todo update breaking news today tomorrow yesterday next first second third
    finally remember warning disclaimer source sources title subject name date time price phone email address location
    contact website ingredients method breakfast lunch dinner monday tuesday wednesday thursday friday saturday sunday
    january february march april may june july august september october november december morning evening spoiler
    bonus rule rules goal goals option day week year level round number no item point key idea quote hinweis hinweise
    tipp tipps achtung wichtig frage fragen antwort antworten schritt teil kapitel beispiel beispiele fazit zutaten
    zubereitung titel thema preis datum ort uhrzeit heute morgen grund lösung ergebnis tag woche montag dienstag
    mittwoch donnerstag freitag samstag sonntag vorteil vorteile nachteil nachteile remarque conseil question réponse
    étape partie chapitre exemple attention important ingrédients prix titre jour lundi mardi mercredi jeudi vendredi
    samedi dimanche nota consejo pregunta respuesta paso parte capítulo ejemplo atención importante ingredientes
    precio título día lunes martes miércoles jueves viernes sábado domingo consiglio domanda risposta passo capitolo
    esempio attenzione ingredienti prezzo titolo giorno
    """
)
_SENTENCE_END = re.compile(r"[.!?…。！？।][\"'”’»)*]*\s*$")


@dataclass(frozen=True)
class Speaker:
    """A name before a line.

    Attributes:
        start, end: place in the text of the name, with its signs, colon and blanks.
        name: as written, with what stands in brackets behind it.
        spoken: whether it is spoken, because it may be a part of the text.
    """

    start: int
    end: int
    name: str
    spoken: bool


def find_speakers(text: str) -> Iterator[Speaker]:
    """Yield what may be names of speakers, in order."""
    found = _before_colons(text)
    if not any(not one.spoken for one in found):
        found += next(filter(None, (_before_other_signs(text, shape) for shape in (*_OTHER_LABELS, _NAME_LINE))), [])
    yield from sorted(found, key=lambda one: one.start)


def _before_colons(text: str) -> list[Speaker]:
    labels = [found for found in _LABEL.finditer(text) if not _introduces(found["name"])]
    several = len(labels) > 1
    in_capitals = bool(labels) and all(found["name"].isupper() and len(found["name"]) > 1 for found in labels)
    before_sentences = several and _mostly_sentences(labels)
    is_list = any(found["number"] for found in labels)
    is_dialogue = several and ((in_capitals and not is_list) or (before_sentences and _comes_back(labels)))
    return [
        Speaker(found.start(), found.start("line"), _with_cue(found), spoken)
        for found in labels
        if not (spoken := not (is_dialogue or _is_certain(found))) or in_capitals or before_sentences
    ]


def _is_certain(label: re.Match[str]) -> bool:
    """Return whether a name before a line can be nothing else."""
    if label["name"].startswith("@") or _NARRATORS.fullmatch(label["name"]):
        return True
    return label["cue"] is not None and is_cue(label["cue"])


def _with_cue(label: re.Match[str]) -> str:
    return f"{label['name']} {label['cue']}" if label.groupdict().get("cue") else label["name"]


def _before_other_signs(text: str, shape: re.Pattern[str]) -> list[Speaker]:
    """Return the names that stand in one of the other shapes; none where the text is not clearly a dialogue of this shape."""
    labels = [found for found in shape.finditer(text) if not _introduces(found["name"])]
    certain = [found for found in labels if shape is _NAME_LINE and _is_certain(found)]
    of_names = len(labels) * (2 if shape is _NAME_LINE else 1)
    if (
        len({found["name"].casefold() for found in labels}) < 2
        or not _comes_back(labels)
        or not _mostly_sentences(labels)
        or 2 * of_names < sum(map(bool, map(str.strip, text.split("\n"))))
    ):
        labels = certain
    return [Speaker(found.start(), found.start("line"), _with_cue(found), spoken=False) for found in labels]


def _mostly_sentences(labels: Sequence[re.Match[str]]) -> bool:
    return 2 * sum(_SENTENCE_END.search(found["line"]) is not None for found in labels) > len(labels)


def _comes_back(labels: Sequence[re.Match[str]]) -> bool:
    return max(Counter(found["name"].casefold() for found in labels).values(), default=0) > 1


def without_speakers(text: str) -> str:
    """Return the text without the names of speakers."""
    for one in reversed(list(find_speakers(text))):
        if not one.spoken:
            text = text[: one.start] + text[one.end :]
    return text


def _introduces(name: str) -> bool:
    return name.split()[0].casefold().replace("’", "'").rstrip(".0123456789") in _INTRODUCING
