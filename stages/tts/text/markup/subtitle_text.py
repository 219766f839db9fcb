"""Takes the words out of a text that was copied from a subtitle file or a transcript: SubRip, WebVTT, ASS, LRC, YouTube."""

from __future__ import annotations

import re

_CLOCK = r"(?:\d{1,2}:)?\d{1,2}:\d{2}"
#: A time of hours, minutes and seconds, which hardly is one of a day.
_LONG_CLOCK = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,3})?"
#: The number or name of a cue, and its times.
_CUE_TIMES = re.compile(
    rf"^(?:[^\S\n]*\d{{1,5}}[^\S\n]*\n)?[^\S\n]*{_CLOCK}[.,]\d{{3}}[^\S\n]*-->[^\n]*(?:\n|$)", re.MULTILINE
)
_VTT_HEAD = re.compile(r"\A\s*WEBVTT\b[^\n]*(?:\n(?![^\n]*-->)[^\n]*\S[^\n]*)*(?:\n|$)")
_VTT_BLOCK = re.compile(r"^(?:NOTE|STYLE|REGION)\b[^\n]*(?:\n[^\n]*\S[^\n]*)*(?:\n|$)", re.MULTILINE)
#: The speaker, the class, or the time of a word within a WebVTT cue: <v Anna>, <c.yellow>, <00:00:01.500>.
_VTT_TAG = re.compile(
    rf"<(?:v(?:\.[\w.-]{{1,60}})?(?:\s[^<>\n]{{1,100}})?|/v|c(?:\.[\w.-]{{1,60}})?|/c|{_CLOCK}\.\d{{3}})>"
)
#: A line of ASS: layer, start, end, six more fields, the words.
_ASS_LINE = re.compile(
    r"^[^\S\n]*Dialogue:[^\S\n]*\d{1,4},\d{1,2}:\d\d:\d\d\.\d\d,\d{1,2}:\d\d:\d\d\.\d\d,(?:[^,\n]{0,200},){6}([^\n]*)$",
    re.MULTILINE,
)
_ASS_TAG = re.compile(r"\{\\[^{}\n]{0,300}\}")
#: The time of a line of lyrics: [00:12.50].
_LRC_TIME = re.compile(rf"^[^\S\n]*(?:\[{_CLOCK}(?:[.:]\d{{1,3}})?\][^\S\n]*){{1,9}}", re.MULTILINE)
#: What a recogniser writes: [00:00.000 --> 00:04.000].
_BRACKET_TIMES = re.compile(
    rf"^[^\S\n]*\[{_CLOCK}[.,]\d{{1,3}}[^\S\n]*(?:-->|→|-|–)[^\S\n]*{_CLOCK}[.,]\d{{1,3}}\][^\S\n]*", re.MULTILINE
)
#: A transcript whose lines begin with hours, minutes and seconds, or a time in round brackets of the first minute.
_LONG_TIME = re.compile(rf"^[^\S\n]*(?:\({_LONG_CLOCK}\)|{_LONG_CLOCK})(?:[^\S\n]+|[^\S\n]*(?:\n|$))", re.MULTILINE)
_ROUND_TIMES = re.compile(r"\A\s*\((?:0?0:)?0{1,2}:\d{2}\)")
_ROUND_TIME = re.compile(rf"^[^\S\n]*\({_CLOCK}\)[^\S\n]*", re.MULTILINE)
#: The heading of a part of a script that begins at 0: "Hook (0:00–0:05)", "**[Scene 1 (0:00 - 0:05)]**".
_HEADING_TIMES = re.compile(
    rf"^[^\S\n]*(?=[^\W\d_]|[*#_\[])[^\n.!?:;]{{1,60}}[\[(]{_CLOCK}[^\S\n]*[-–—][^\S\n]*{_CLOCK}[\])][:*_\]]{{0,4}}[^\S\n]*(?:\n|$)",
    re.MULTILINE,
)
_FROM_START = re.compile(r"[\[(](?:0?0:)?0{1,2}:00[^\S\n]*[-–—]")
#: Who speaks, and when, in a line before the words, as meetings are written down: "Anna Smith  0:03", "Speaker 1 (00:12):".
_SPEAKER_TIME = re.compile(
    rf"^[^\S\n]*(?=[^\W\d_])[^\n\d:.!?;]{{1,40}}(?:[^\S\n]\d{{1,2}})?[^\S\n]+[\[(]?{_CLOCK}[\])]?:?[^\S\n]*\n",
    re.MULTILINE,
)
#: A transcript begins in its first minute, and each of its lines or pairs of lines begins with a time.
_TRANSCRIPT = re.compile(r"\A\s*(?:0?0:)?0{1,2}:\d{2}(?:[^\S\n]+(?=[^\W\d_])(?![a-z])|[^\S\n]*\n)")
#: From when to when, in a script that begins at 0: "(0:00 - 0:05) Hello", "00:00–00:05 | Hello".
_FROM_TO = rf"[\[(]?{_CLOCK}[^\S\n]*[-–—][^\S\n]*{_CLOCK}[\])]?[^\S\n]*[|:]?[^\S\n]*"
_SCRIPT_TIMES = re.compile(rf"\A\s*(?=[\[(]?(?:0?0:)?0{{1,2}}:\d{{2}}){_FROM_TO}")
_FROM_TO_LINE = re.compile(rf"^[^\S\n]*{_FROM_TO}", re.MULTILINE)
_LINE_TIME = re.compile(rf"^[^\S\n]*{_CLOCK}(?:[^\S\n]+|[^\S\n]*(?:\n|$))", re.MULTILINE)


def without_cues(text: str) -> str:
    """Return the text without the numbers, times, notes and marks of a subtitle file; a text that is none as it is."""
    if _ASS_LINE.search(text):
        return "\n".join(
            _ASS_TAG.sub("", words).replace(r"\N", "\n").replace(r"\n", " ") for words in _ASS_LINE.findall(text)
        )
    if head := _VTT_HEAD.match(text):
        text = _VTT_BLOCK.sub("", text[head.end() :])
    if head or _CUE_TIMES.search(text):
        return _VTT_TAG.sub("", _CUE_TIMES.sub("", text))
    if _SCRIPT_TIMES.match(text):
        return _FROM_TO_LINE.sub("", text)
    text = _LRC_TIME.sub("", _BRACKET_TIMES.sub("", text))
    if _ROUND_TIMES.match(text):
        text = _ROUND_TIME.sub("", text)
    if any(map(_FROM_START.search, _HEADING_TIMES.findall(text))):
        text = _HEADING_TIMES.sub("", text)
    if len(_SPEAKER_TIME.findall(text)) > 1:
        text = _SPEAKER_TIME.sub("", text)
    lines = sum(map(bool, map(str.strip, text.split("\n"))))
    if 2 * len(_LONG_TIME.findall(text)) >= lines:
        return _LONG_TIME.sub("", text)
    return _LINE_TIME.sub("", text) if _TRANSCRIPT.match(text) else text
