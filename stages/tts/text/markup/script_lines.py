"""Finds what the script of a film or a talk says of its pictures: headings of scenes, transitions, slides, lines for sound."""

from __future__ import annotations

import re

_SCENE = r"scene|act|shot|szene|akt|scène|acte|escena|acto|scena|atto|cena"
_SLIDE = r"slide|folie|diapositive?|diapositiva"
_NUMBER = r"(?:\d{1,3}[a-z]?|[ivx]{1,5})"
#: Lines of a script that are not spoken, or what is not spoken of them.
_LINE = re.compile(
    # SFX: door slams
    r"^[^\S\n]*(?:(?:SFX|FX|VFX|GFX|SOUND EFFECTS?|B-ROLL|(?:TEXT )?ON[- ]SCREEN(?: TEXT)?|TITLE CARD|LOWER THIRD|CHYRON)"
    r"[^\S\n]*:[^\n]*"
    # INT. GARDEN - DAY
    r"|(?:\d{1,3}[.)]?[^\S\n]+)?(?:(?:INT|EXT)\.?(?:/(?:INT|EXT)\.?)?|I/E\.?)[^\S\n]+(?!\d)[^a-zß-öø-ÿ\n]{2,80}(?<![!?])"
    r"|(?:(?i:int|ext)\.)[^\S\n]+[^\n.!?]{2,60}[^\S\n][-–—][^\S\n](?i:day|night|morning|evening|dawn|dusk|later|continuous)"
    # FADE IN:
    r"|(?i:(?:fade|iris)[ -](?:in|out|up)(?: (?:to|from|on) (?:black|white))?|fade to (?:black|white)"
    r"|(?:(?:smash|match|jump|hard|quick) )?cut to(?: black| white)?|back to scene|(?:cross)?(?:dissolve|fade|wipe) to"
    r"|end credits(?: roll)?|roll (?:intro|outro|credits))[.:]?"
    # Scene 3: The garden, Slide 4
    rf"|(?i:{_SCENE})[^\S\n]+(?i:{_NUMBER})(?:[^\S\n]*[:.–—-][^\S\n]*[^\n.!?…]{{1,60}}|[.:])?"
    rf"|(?i:{_SLIDE})[^\S\n]+\d{{1,3}}[.:]?)[^\S\n]*$"
    # The beginning of: Slide 4: Here we are.
    rf"|^[^\S\n]*(?i:{_SLIDE}|{_SCENE})[^\S\n]+\d{{1,3}}[^\S\n]*(?::|(?<=\s)[-–—])[^\S\n]+(?=\S)",
    re.MULTILINE,
)
#: What stands in square brackets anywhere: [Slide 1], [cut to the garden], [camera zooms in], [text on screen: 50% off].
_CUE = re.compile(
    rf"(?:(?:{_SCENE}|{_SLIDE}|clip|video|graphic|image|take)[ #]+{_NUMBER}\b"
    rf"|(?:next|previous|last|new|change|nächste) (?:{_SLIDE})\b"
    r"|(?:camera|kamera|b-?roll|sfx|gfx|vfx|voice-?over|close-?up|title card|lower third|split ?screen|stock footage)\b"
    r"|(?:visuals?|video|image|picture|sound|music|caption|text|super|title|action|note to \w+):"
    r"|(?:text )?on[- ]screen(?: text)?\b|(?:smash )?cut to\b|(?:zoom|zooms|pan|pans|fade|fades) (?:in|out|to|left|right|up)\b"
    r"|(?:show|shows|insert|play) (?:(?:the|a|an|our) )?(?:logo|slide|video|clip|graphic|image|picture|photo|screen|map|chart)\b)"
    r".{0,60}",
    re.IGNORECASE,
)


def find_script_lines(text: str) -> list[tuple[int, int]]:
    """Return the places of the lines of a script, or of what stands before their words, that are not spoken: (start, end)."""
    return [found.span() for found in _LINE.finditer(text)]


def is_script_cue(words: str) -> bool:
    """Return whether words in square brackets say what is to be seen or heard beside the speech."""
    return _CUE.fullmatch(words) is not None
