"""Converts between the phoneme alphabets of the voices (misaki's IPA) and of the aligner (ARPAbet)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ARPABET_OF_MISAKI = {
    **{char: char.upper() for char in "bdfklmnpstvwz"},
    "A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY",
    "ɑ": "AA", "ɒ": "AA", "æ": "AE", "a": "AE", "ʌ": "AH", "ɐ": "AH", "ə": "AH", "ᵊ": "AH", "ɔ": "AO", "ɛ": "EH",
    "ɜ": "ER", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "ʊ": "UH", "u": "UW", "e": "EH", "o": "OW",
    "T": "T", "ɾ": "T", "ʔ": "T", "ʧ": "CH", "ʤ": "JH", "ʃ": "SH", "ʒ": "ZH", "θ": "TH", "ð": "DH",
    "ŋ": "NG", "ɡ": "G", "g": "G", "j": "Y", "ɹ": "R", "r": "R", "h": "HH", "x": "K",
}  # fmt: skip
#: Sounds that English lacks → the nearest sound of the aligner's American English model.
_NEAREST_ARPABET = {
    "y": "UW", "ø": "ER", "œ": "AH", "ɨ": "IH",
    "ɣ": "G", "β": "V", "ʋ": "V", "ʁ": "HH", "ɽ": "R", "ɖ": "D", "ʈ": "T", "ɳ": "N", "ɲ": "N", "ʎ": "L",
    "ʝ": "Y", "ɟ": "Y", "ɥ": "W", "ʦ": "S", "ʣ": "Z", "ç": "SH", "χ": "HH",
}  # fmt: skip
_MISAKI_OF_ARPABET = {
    **{arpa: (misaki,) for misaki, arpa in reversed(_ARPABET_OF_MISAKI.items())},
    "AA": ("ɑ",), "AE": ("æ",), "AH": ("ʌ",), "EY": ("A",), "OW": ("O",), "T": ("t",), "G": ("ɡ",), "R": ("ɹ",),
    "ER": ("ə", "ɹ"), "IH": ("ɪ",), "EH": ("ɛ",), "K": ("k",),
}  # fmt: skip
_STRESS = {"ˈ": 1, "ˌ": 2}
#: All sounds of ARPAbet.
ARPABET = tuple(_MISAKI_OF_ARPABET)
VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})


@dataclass(frozen=True)
class ArpabetSound:
    """One sound of the aligner.

    Attributes:
        arpa: its ARPAbet symbol.
        symbols: misaki symbols of its phones; ER has two, "ə" and "ɹ", with different mouth shapes.
        stress: 0 none, 1 primary, 2 secondary.
    """

    arpa: str
    symbols: tuple[str, ...]
    stress: int


#: The sounds of a word in one pronunciation.
WordSounds = tuple[ArpabetSound, ...]


def sounds_of_misaki(phonemes: str) -> WordSounds:
    """Convert a word in misaki's alphabet; ignores length marks and punctuation."""
    found: list[ArpabetSound] = []
    stress = 0
    for char in phonemes:
        if char in _STRESS:
            stress = _STRESS[char]
        elif char == "ɹ" and found and found[-1].symbols in (("ə",), ("ɜ",)):
            before = found[-1]
            symbols = ("ɜɹ",) if before.symbols == ("ɜ",) else ("ə", "ɹ")
            found[-1] = ArpabetSound("ER", symbols, before.stress)
        elif arpa := _ARPABET_OF_MISAKI.get(char) or _NEAREST_ARPABET.get(char):
            found.append(ArpabetSound(arpa, (char,), stress))
            stress = 0
    return tuple(found)


def sounds_of_arpabet(phones: Sequence[str], like: Sequence[ArpabetSound]) -> WordSounds:
    """Convert a dictionary's entry, which has no stress; takes that from another pronunciation, `like`."""
    known = [sound.stress for sound in like if sound.arpa in VOWELS]
    found, vowel = [], 0
    for arpa in phones:
        stress = 0
        if arpa in VOWELS:
            stress = known[min(vowel, len(known) - 1)] if known else 1
            vowel += 1
        symbols = _MISAKI_OF_ARPABET[arpa]
        if not stress and arpa == "AH":
            symbols = ("ə",)
        elif stress and arpa == "ER":
            symbols = ("ɜɹ",)
        found.append(ArpabetSound(arpa, symbols, stress))
    return tuple(found)
