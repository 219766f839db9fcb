"""Our front end's phonemes (misaki's alphabet) → the espeak-style IPA that the VITS models were trained on.

The models' own way is to run the program espeak-ng for each sentence. The front end that the other voices use has better
lexicons, and knows which written word every sound belongs to; only its spelling differs.
"""

from __future__ import annotations

#: One character of ours for two of espeak's.
_PAIRS = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "Q": "əʊ", "W": "aʊ", "Y": "ɔɪ", "ʤ": "dʒ", "ʧ": "tʃ", "ʣ": "dz", "ʦ": "ts",
    "ᵊ": "ə", "T": "ɾ", "“": '"', "”": '"', "—": ",",
}  # fmt: skip
#: Vowels that espeak writes long; i only where it is stressed ("see", but "happy").
_LONG = frozenset("uɑɔɜ")
_STRESS = frozenset("ˈˌ")


def to_espeak(chars: str) -> list[tuple[str, int]]:
    """Each character of espeak's spelling, with the index of ours that it stands for."""
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
