"""Says what to write where no mistake is recognised: the nearest allowed number, an end of a range, or a usual value."""

from __future__ import annotations

import re

from daemon.jobs.mistakes.values.other_languages import yes_or_no

#: Words for as much, or as little, as there is.
_MOST = frozenset(["max", "maximum", "maximal", "most", "highest", "full", "very", "extreme"])
_LEAST = frozenset(["min", "minimum", "minimal", "least", "lowest", "tiny"])
#: Words for leaving a value to the program, or for having nothing of it.
_LEFT_OUT = frozenset({
    "off", "no", "none", "false", "never", "nothing", "empty", "null", "auto", "automatic", "default", "original", "usual",
    "any", "normal", "natural", "standard",
})  # fmt: skip
#: 5-10, 5 to 10 s, 5..10.
_RANGE = re.compile(
    r"(\d{1,5}(?:\.\d{1,3})?)\s*(?:-|–|—|\.\.\.?|…|to|bis)\s*(\d{1,5}(?:\.\d{1,3})?)(?:\s*[a-z]{1,7}\.?)?"
)
_NUMBER = re.compile(r"([+-]?\d{1,9}(?:\.\d{1,9})?)\s*(%?)")
#: Key → a value that everybody may write.
_EXAMPLES = {
    "quality": "medium", "format": "mp4", "codec": "h264", "fps": "25", "size": "1280x720", "aspect": "16:9", "fit": "crop",
    "captions": "srt", "duration": "15", "face": "largest", "language": "en", "priority": "high", "sync_mode": "cut",
    "crop": "640x640+120+0", "background": "blur", "speed": "1.1", "expressions.name": "smile", "expressions.at": "4.5",
    "motion": "{head: 0.5}", "lexicon": "{nginx: engine ex}", "expressions": "[{at: 0, name: smile}]",
    "metadata": "{project: spring}", "seed": "1", "limit": "3", "on_error": "continue",
    "motion.head": "1", "motion.gaze": "1", "motion.brow": "1", "motion.blink": "1", "motion.breath": "1",
    "motion.seed": "1", "expressions.intensity": "0.5",
}  # fmt: skip

#: Keys that are true or false.
_SWITCHES = frozenset({"accept_partial", "dedupe", "stream", "enhance_prompt"})


def nearest_allowed(key: str, value: object, limits: tuple[float, float] | None) -> str:
    """Return what may be written in place of a value that is not understood; empty where nothing is known.

    Args:
        key: with its group, such as "motion.head".
        limits: of the number that the key expects; None where it expects another thing.
    """
    name, word = key.rpartition(".")[2], str(value).strip().casefold()
    if key in _SWITCHES:
        is_on = yes_or_no(word)
        return (
            f"Write `{name}: true` or `{name}: false`." if is_on is None else f"Write `{name}: {str(is_on).lower()}`."
        )
    if key == "notify":
        return "Write an address such as https://example.com/done, or leave `notify` out."
    if limits and (near := _within(word, *limits)) is not None:
        return f"Write `{name}: {near:g}`."
    if (limits or key == "duration") and (found := _RANGE.fullmatch(word)):
        return f"Write one number: `{name}: {found[1]}` or `{name}: {found[2]}`."
    if word in _LEFT_OUT and key in _EXAMPLES and "." not in key:
        return f"Leave `{name}` out."
    example = _EXAMPLES.get(key)
    leave_out = "" if key.startswith("expressions.") else f", or leave `{name}` out"
    return f"Write for example `{name}: {example}`{leave_out}." if example else ""


def _within(word: str, least: float, most: float) -> float | None:
    """Return the allowed number that is nearest to a word for much or little, or to a number; None for any other word."""
    if word in _MOST or word in _LEAST:
        return most if word in _MOST else least
    found = _NUMBER.fullmatch(word)
    return min(max(float(found[1]) / (100 if found[2] else 1), least), most) if found else None
