"""Gives what is known of each of kokoro's voices: the grade of its author, and pitch and pace as measured.

The grades (A is best, F worst) are those of the model's card, which has none for Spanish and Portuguese. They judge how well the
voice was learned, by the quality and length of the recordings.
"""

from __future__ import annotations

#: Published name → grade.
_GRADES = {
    "af_heart": "A", "af_alloy": "C", "af_aoede": "C+", "af_bella": "A-", "af_jessica": "D", "af_kore": "C+",
    "af_nicole": "B-", "af_nova": "C", "af_river": "D", "af_sarah": "C+", "af_sky": "C-", "am_adam": "F+", "am_echo": "D",
    "am_eric": "D", "am_fenrir": "C+", "am_liam": "D", "am_michael": "C+", "am_onyx": "D", "am_puck": "C+", "am_santa": "D-",
    "bf_alice": "D", "bf_emma": "B-", "bf_isabella": "C", "bf_lily": "D", "bm_daniel": "D", "bm_fable": "C",
    "bm_george": "C", "bm_lewis": "D+", "ff_siwis": "B-", "hf_alpha": "C", "hf_beta": "C", "hm_omega": "C", "hm_psi": "C",
    "if_sara": "C", "im_nicola": "C", "jf_alpha": "C+", "jf_gongitsune": "C", "jf_nezumi": "C-", "jf_tebukuro": "C",
    "jm_kumo": "C-", "zf_xiaobei": "D", "zf_xiaoni": "D", "zf_xiaoxiao": "D", "zf_xiaoyi": "D", "zm_yunjian": "D",
    "zm_yunxi": "D", "zm_yunxia": "D", "zm_yunyang": "D",
}  # fmt: skip
_ORDER = ("A", "A-", "B-", "C+", "C", "C-", "", "D+", "D", "D-", "F+")


def grade_rank(name: str) -> int:
    """Return the place of a voice's grade among all grades, 0 for the best; one without a grade stands in the middle."""
    return _ORDER.index(_GRADES.get(name, ""))


def about_voice(name: str) -> str:
    """Return what is known of a voice, by its published name, as a phrase; empty for nothing."""
    grade = _GRADES.get(name)
    return f"grade {grade}" if grade else ""
