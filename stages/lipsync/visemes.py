"""The viseme of each phone: its mouth shape, and the weight of each parameter when visemes are blended.

Phones are misaki's alphabet (the one the default voice speaks in). The shapes follow the classes that ARKit-style
animation uses; the strengths were set by looking at frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Parameter -> value at the middle of the sound.
Shape = dict[str, float]


@dataclass(frozen=True)
class Viseme:
    """One mouth shape.

    Attributes:
        shape: parameters that are not 0.
        jaw: dominance of the jaw's values (`jaw` and `round`) over the neighbours', 0 to about 2.
        lips: the same for the lips' parameters.
        rounding: the same for pucker and wide; nearly 0 for tongue sounds, so that they take a neighbour's rounding.
        seal: "lips" or "teeth" for sounds that need a touch, which is enforced after all smoothing.
        spread_s: time over which the shape fades in and out, s; longer for sounds made with the lips.
    """

    shape: Shape = field(default_factory=dict)
    jaw: float = 1.0
    lips: float = 1.0
    rounding: float = 1.0
    seal: str = ""
    spread_s: float = 0.045


#: The mouth at rest, in pauses.
REST = Viseme({}, jaw=1.2, lips=1.2, rounding=0.8, spread_s=0.03)

_AA = Viseme({"jaw": 0.93, "lower_lip": 0.22, "upper_lip": 0.30, "tongue": 0.05})
_AE = Viseme({"jaw": 0.76, "wide": 0.24, "lower_lip": 0.38, "upper_lip": 0.34, "tongue": 0.25})
_AH = Viseme({"jaw": 0.60, "lower_lip": 0.26, "upper_lip": 0.20, "tongue": 0.15})
_SCHWA = Viseme({"jaw": 0.28, "lower_lip": 0.28, "upper_lip": 0.12, "tongue": 0.25}, jaw=0.7, lips=0.7, rounding=0.4)
_AO = Viseme({"round": 0.70, "pucker": 0.20, "upper_lip": -0.10}, jaw=1.3, rounding=1.1, spread_s=0.055)
_EH = Viseme({"jaw": 0.56, "wide": 0.24, "lower_lip": 0.40, "upper_lip": 0.28, "tongue": 0.40})
_OE = Viseme(
    {"round": 0.46, "jaw": 0.06, "pucker": 0.52, "upper_lip": 0.20, "tongue": 0.3}, rounding=1.2, spread_s=0.055
)
_ER = Viseme(
    {"round": 0.20, "jaw": 0.14, "pucker": 0.22, "lower_lip": 0.26, "upper_lip": 0.16, "tongue": 0.5}, spread_s=0.055
)
_IH = Viseme({"jaw": 0.28, "wide": 0.24, "lower_lip": 0.44, "upper_lip": 0.24, "tongue": 0.55}, jaw=0.9, lips=0.9)
_IY = Viseme({"jaw": 0.20, "wide": 0.64, "lower_lip": 0.58, "upper_lip": 0.38, "smile": 0.15, "tongue": 0.7})
_UH = Viseme({"round": 0.31, "jaw": 0.06, "pucker": 0.42, "lower_lip": 0.06, "upper_lip": -0.20}, spread_s=0.055)
#: Japanese u: the lips come near each other from the sides, and are not pushed forward.
_UM = Viseme(
    {"jaw": 0.10, "round": 0.14, "pucker": 0.28, "lower_lip": 0.16, "upper_lip": 0.06, "tongue": 0.3}, rounding=0.8
)
_UW = Viseme({"round": 0.33, "pucker": 1.0}, jaw=1.3, rounding=1.6, spread_s=0.06)
_OH = Viseme({"round": 0.52, "pucker": 0.30, "upper_lip": -0.20}, rounding=1.3, spread_s=0.055)
_PP = Viseme({"press": 0.75, "jaw": 0.16}, jaw=1.2, lips=1.6, rounding=0.3, seal="lips")
#: Spanish b and v between vowels, Japanese f: the lips come near, and do not touch.
_BV = Viseme({"jaw": 0.06, "press": 0.10, "lower_lip": 0.10}, jaw=1.4, lips=1.4, rounding=0.3)
_FF = Viseme({"tuck": 0.80, "upper_lip": 0.60, "jaw": 0.12}, jaw=1.2, lips=1.5, rounding=0.3, seal="teeth")
_TH = Viseme({"jaw": 0.18, "lower_lip": 0.42, "upper_lip": 0.26, "tongue": 1.0}, jaw=0.9, lips=0.7, rounding=0.2)
_DD = Viseme({"jaw": 0.17, "lower_lip": 0.40, "upper_lip": 0.20, "tongue": 0.95}, jaw=0.8, lips=0.5, rounding=0.15)
_LL = Viseme({"jaw": 0.28, "lower_lip": 0.34, "upper_lip": 0.18, "tongue": 1.1}, jaw=0.8, lips=0.5, rounding=0.15)
_SS = Viseme(
    {"jaw": 0.07, "wide": 0.24, "lower_lip": 0.58, "upper_lip": 0.36, "tongue": 0.7}, jaw=1.3, lips=1.0, rounding=0.5
)
_SH = Viseme(
    {"jaw": 0.10, "pucker": 0.30, "lower_lip": 0.54, "upper_lip": 0.45, "tongue": 0.6},
    jaw=1.3,
    rounding=1.2,
    spread_s=0.06,
)
_KK = Viseme({"jaw": 0.26, "lower_lip": 0.30, "upper_lip": 0.10, "tongue": 0.3}, jaw=0.5, lips=0.35, rounding=0.1)
_HH = Viseme({"jaw": 0.34, "lower_lip": 0.25}, jaw=0.25, lips=0.2, rounding=0.05)

#: Phone -> its visemes in time; a diphthong has two, of which the first takes FIRST_PART of the time.
PHONES: dict[str, tuple[Viseme, ...]] = {
    **dict.fromkeys(("ɑ", "a"), (_AA,)),
    **dict.fromkeys(("æ",), (_AE,)),
    **dict.fromkeys(("ʌ", "ɤ", "ɐ"), (_AH,)),
    **dict.fromkeys(("ə", "ᵊ", "ɨ", "ᵻ"), (_SCHWA,)),
    **dict.fromkeys(("ɔ", "ɒ"), (_AO,)),
    **dict.fromkeys(("ɛ", "e"), (_EH,)),
    **dict.fromkeys(("œ", "ø"), (_OE,)),
    **dict.fromkeys(("ɜ", "ɚ", "ɹ", "ɜɹ", "ɻ"), (_ER,)),
    **dict.fromkeys(("ɪ",), (_IH,)),
    **dict.fromkeys(("i", "j", "ʝ", "ɟ"), (_IY,)),
    **dict.fromkeys(("ʊ",), (_UH,)),
    **dict.fromkeys(("ɯ", "ɰ"), (_UM,)),
    **dict.fromkeys(("u", "w", "y", "ɥ"), (_UW,)),
    **dict.fromkeys(("o",), (_OH,)),
    "A": (_EH, _IY), "I": (_AA, _IH), "O": (_OH, _UH), "Q": (_SCHWA, _UH), "W": (_AA, _UW), "Y": (_AO, _IH),
    **dict.fromkeys(("p", "b", "m"), (_PP,)),
    **dict.fromkeys(("β", "ɸ"), (_BV,)),
    **dict.fromkeys(("f", "v", "ʋ"), (_FF,)),
    **dict.fromkeys(("θ", "ð"), (_TH,)),
    **dict.fromkeys(("t", "d", "n", "ɾ", "r", "T", "ɖ", "ʈ", "ɳ", "ɲ", "ɽ"), (_DD,)),
    **dict.fromkeys(("l", "ʎ"), (_LL,)),
    **dict.fromkeys(("s", "z", "ʦ", "ʣ", "ɕ", "ʨ", "ʥ", "ç"), (_SS,)),
    **dict.fromkeys(("ʃ", "ʒ", "ʧ", "ʤ", "ʂ", "ꭧ"), (_SH,)),
    **dict.fromkeys(("k", "ɡ", "g", "ŋ", "x", "ɣ", "c", "q", "χ", "ʁ", "ɴ"), (_KK,)),
    **dict.fromkeys(("h", "ʔ"), (_HH,)),
}  # fmt: skip

FIRST_PART = 0.6
#: Visemes of an unknown phone: an unstressed vowel's.
UNKNOWN = (_SCHWA,)
#: Vowels carry stress and take the voice's intensity.
VOWELS = frozenset("ɑaɐæʌɤəᵊɨᵻɔɒɛeœøɜɚɪiʊuɯoyAIOQWY") | {"ɜɹ"}
