"""Says what to write for a background: a colour that is written otherwise, or a word for one that there is."""

from __future__ import annotations

import difflib
import re

from daemon.jobs.manifest_values import BACKGROUNDS
from daemon.jobs.mistakes.values.other_languages import background_in_other_language, yes_or_no

#: The background that the picture has.
_ITS_OWN = r"(?:keep |the )?(?:same|original|own|default|unchanged|picture'?s)(?: (?:one|background|image))?|keep\b.*"
_COLOURS = {
    "black": "#000000", "white": "#ffffff", "red": "#ff0000", "blue": "#0000ff", "yellow": "#ffff00", "grey": "#808080",
    "gray": "#808080", "orange": "#ffa500", "purple": "#800080", "pink": "#ffc0cb", "brown": "#8b4513", "navy": "#000080",
    "darkblue": "#00008b", "lightblue": "#add8e6", "darkgreen": "#006400", "lightgreen": "#90ee90", "darkred": "#8b0000",
    "lightgrey": "#d3d3d3", "lightgray": "#d3d3d3", "darkgrey": "#a9a9a9", "darkgray": "#a9a9a9", "beige": "#f5f5dc",
    "turquoise": "#40e0d0", "cyan": "#00ffff", "magenta": "#ff00ff", "violet": "#ee82ee", "gold": "#ffd700", "silver": "#c0c0c0",
}  # fmt: skip
_RGB = re.compile(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")


def advice_for_background(word: str) -> str | None:
    """Return what to write for a colour that is written otherwise, or for no background."""
    colour = _COLOURS.get(re.sub(r"[\s_-]", "", word), "")
    if found := re.fullmatch(r"#([0-9a-f])([0-9a-f])([0-9a-f])", word):
        colour = "#" + "".join(2 * digit for digit in found.groups())
    elif (found := _RGB.fullmatch(word)) and max(map(int, found.groups())) < 256:
        colour = "#{:02x}{:02x}{:02x}".format(*map(int, found.groups()))
    elif found := re.fullmatch(r"(?:0x)?([0-9a-f]{6})(?:ff)?", word):
        colour = f"#{found[1]}"
    if colour:
        return f'Write `background: "{colour}"`.'
    if meant := background_in_other_language(word):
        return f"Write `background: {meant}`."
    if re.fullmatch(_ITS_OWN, word):
        return "Write `background: keep`."
    if word in ("remove", "removed", "cut") or yes_or_no(word) is False:
        return "Write `background: transparent` for none, or leave it out to keep the picture's own."
    if re.sub(r"[\s_-]", "", word) in ("greenscreen", "chromakey", "chroma"):
        return "Write `background: green`."
    if re.match(r"blur\W", word):
        return "Write `background: blur`; how much is blurred is not set."
    if word in ("blurred", "bokeh", "blurry"):
        return "Write `background: blur`."
    near = difflib.get_close_matches(word, BACKGROUNDS, 1, 0.75)
    return f"Write `background: {near[0]}`." if near and "." not in word else None
