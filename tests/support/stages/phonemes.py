"""Checks the phonemes that a front end gives."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from stages.lipsync.visemes import PHONES
from stages.tts.engines.assets import hibari_file
from stages.tts.engines.durations import PAD, Utterance, phones_of
from stages.tts.phonemes import sound_replacements


def check_phonemes(language: str, phonemes: Iterable[str]) -> None:
    """Check that the network can say all these phonemes of a language, and that the mouth has a shape for each phone."""
    known = json.loads(hibari_file("vocab.json").read_text(encoding="utf-8"))
    chars = sorted({char for each in phonemes for char in each})
    assert [char for char in chars if char not in known] == []
    # A phone is what is no mark on the one before it.
    line = (PAD, "a", *chars, PAD)
    phones = phones_of(Utterance(np.zeros(600 * len(line), np.float32), line, (0,) * len(line), (1,) * len(line)))
    assert len(phones) > 20
    assert [
        phone.phone for phone in phones if sound_replacements(language).get(phone.phone, phone.phone) not in PHONES
    ] == []
