"""What the network of an engine needs of the text, beyond what all voices are given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """Attributes:
    least_letters: fewest that it says well at once; a shorter sentence is said together with its neighbour.
    in_words: its own front end reads figures badly in English ("7:30" as "seven thirty" it does not), so it gets words.
    """

    least_letters: int = 0
    in_words: bool = False


#: By engine, also where it runs in another Python. XTTS babbles on after "Yes." and says "1990" as a number.
_KNOWN = {"xtts": Needs(least_letters=15, in_words=True)}


def needs_of(engine: str) -> Needs:
    """What the engine of this name needs; nothing where nothing is known."""
    return _KNOWN.get(engine, Needs())
