"""Converts phonemes of our front end (misaki's alphabet) to the espeak-style IPA that the VITS models were trained on.

The models usually run the program espeak-ng for each sentence. Our front end has better lexicons and maps every sound to its
written word; only its alphabet differs.
"""

from __future__ import annotations

#: One character of misaki → the characters of espeak.
_PAIRS = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "Q": "əʊ", "W": "aʊ", "Y": "ɔɪ", "ʤ": "dʒ", "ʧ": "tʃ", "ʣ": "dz", "ʦ": "ts",
    "ᵊ": "ə", "T": "ɾ", "“": '"', "”": '"', "—": ",",
}  # fmt: skip
#: Vowels that espeak always writes long; i only where stressed ("see", but "happy").
_LONG = frozenset("uɑɔɜ")
_STRESS = frozenset("ˈˌ")


def to_espeak(chars: str) -> list[tuple[str, int]]:
    """Return the characters in espeak's alphabet, each with the index in `chars` of the one that it stands for."""
    found: list[tuple[str, int]] = []
    skip = -1
    for index, char in enumerate(chars):
        following = chars[index + 1 : index + 2]
        if index == skip:
            continue
        if char in "ɜə" and following == "ɹ":  # one sound: "bird", "letter"
            found += [(part, index) for part in ("ɜː" if char == "ɜ" else "ɚ")]
            skip = index + 1
        elif char in _PAIRS:
            found += [(part, index) for part in _PAIRS[char]]
        else:
            found.append((char, index))
            long = char in _LONG or (char == "i" and chars[index - 1 : index] in _STRESS)
            if long and following != "ː":
                found.append(("ː", index))
    return found
