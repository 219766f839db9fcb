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
#: Published name → median pitch in Hz and words a minute (0: unknown), measured by `python -m benchmarks.voice.voice_facts`.
_MEASURED = {
    "af_alloy": (138, 196), "af_aoede": (173, 241), "af_bella": (196, 231), "af_heart": (196, 231), "af_jessica": (203, 216),
    "af_kore": (149, 235), "af_nicole": (146, 156), "af_nova": (158, 202), "af_river": (180, 214), "af_sarah": (192, 227),
    "af_sky": (161, 208), "am_adam": (113, 221), "am_echo": (101, 190), "am_eric": (157, 216), "am_fenrir": (132, 243),
    "am_liam": (119, 208), "am_michael": (109, 204), "am_onyx": (85, 173), "am_puck": (113, 249), "am_santa": (194, 177),
    "bf_alice": (227, 194), "bf_emma": (176, 213), "bf_isabella": (206, 205), "bf_lily": (176, 181), "bm_daniel": (121, 195),
    "bm_fable": (115, 162), "bm_george": (139, 168), "bm_lewis": (88, 185), "ef_dora": (172, 159), "em_alex": (132, 154),
    "em_santa": (137, 155), "ff_siwis": (204, 193), "hf_alpha": (212, 144), "hf_beta": (177, 159), "hm_omega": (122, 142),
    "hm_psi": (128, 145), "if_sara": (235, 156), "im_nicola": (107, 141), "jf_alpha": (281, 0), "jf_gongitsune": (250, 0),
    "jf_nezumi": (234, 0), "jf_tebukuro": (321, 0), "jm_kumo": (86, 0), "pf_dora": (174, 167), "pm_alex": (133, 162),
    "pm_santa": (143, 163), "zf_xiaobei": (260, 0), "zf_xiaoni": (240, 0), "zf_xiaoxiao": (246, 0), "zf_xiaoyi": (305, 0),
    "zm_yunjian": (115, 0), "zm_yunxi": (171, 0), "zm_yunxia": (292, 0), "zm_yunyang": (111, 0),
}  # fmt: skip
_ORDER = ("A", "A-", "B-", "C+", "C", "C-", "", "D+", "D", "D-", "F+")


def grade_rank(name: str) -> int:
    """Return the place of a voice's grade among all grades, 0 for the best; one without a grade stands in the middle."""
    return _ORDER.index(_GRADES.get(name, ""))


def about_voice(name: str) -> str:
    """Return what is known of a voice, by its published name, as a phrase; empty for nothing."""
    grade = _GRADES.get(name)
    pitch, pace = _MEASURED.get(name, (0, 0))
    parts = (
        f"grade {grade}" if grade else "",
        f"pitch {pitch} Hz" if pitch else "",
        f"{pace} words a minute" if pace else "",
    )
    return ", ".join(filter(None, parts))
