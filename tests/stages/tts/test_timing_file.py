"""timing.json: the bytes on disk, and what a reader refuses."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import UnknownError
from stages.tts.text.sentences import Sentence
from stages.tts.timing import Phone, Word
from stages.tts.timing_file import TimedSentence, Timing, read_timing, write_timing

WRITTEN = (
    '{"version": 1, "engine": "kokoro", "method": "exact", "sample_rate": 24000, "duration": 1.0, "language": "zh", '
    '"sentences": [{"text": "你好", "start": 0.1, "end": 0.5}], '
    '"words": [{"text": "你", "start": 0.1, "end": 0.3333, "sentence": 0}, '
    '{"text": "好", "start": 0.3333, "end": 0.5, "sentence": 0, "glued": true}], '
    '"phones": [{"phone": "n", "start": 0.1, "end": 0.3333, "word": 0, "stress": 0}, '
    '{"phone": "x", "start": 0.3333, "end": 0.5, "word": 1, "stress": 1}]}\n'
)


def test_the_file_has_the_form_that_other_versions_read(tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    phones = [Phone("n", 0.1, 1 / 3, 0, 0), Phone("x", 1 / 3, 0.5, 1, 1)]
    sentence = Sentence(("你", "好"), ends_paragraph=True, glued=frozenset({1}))
    timing = write_timing(path, "kokoro", "exact", 24_000, 1.0, "zh", [sentence], phones)
    assert path.read_text(encoding="utf-8") == WRITTEN
    # And it is read back as it was, also where a later version added keys
    later = json.loads(WRITTEN) | {"later": 1}
    later["words"][0]["later"] = 1
    path.write_text(json.dumps(later))
    assert read_timing(path) == timing


def test_long_speech_is_written_in_little_memory(tmp_path: Path) -> None:
    # Given the timing of six minutes
    path = tmp_path / "timing.json"
    words = tuple(Word(f"word{number}", number * 0.3, number * 0.3 + 0.2, 0) for number in range(1200))
    phones = tuple(Phone("ə", number * 0.1, number * 0.1 + 0.1, number // 3, 0) for number in range(3600))
    timing = Timing(
        engine="hibari", method="exact", sample_rate=24_000, duration=360.0, language="en-GB",
        sentences=(TimedSentence("All.", 0.0, 360.0),), words=words, phones=phones,
    )  # fmt: skip
    # When it is written
    tracemalloc.start()
    try:
        timing.save(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Then that takes a fraction of the file's size
    assert most < path.stat().st_size / 4
    assert read_timing(path) == timing


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"duration": None}, "duration: "),
        ({"method": "guessed"}, "method: "),
        ({"words": [{"text": "one", "start": 0.0, "sentence": 0}]}, "words.0.end: "),
        ({"phones": ["n"]}, "phones.0: "),
    ],
)
def test_a_file_that_lacks_something_is_refused_with_its_place(
    tmp_path: Path, change: dict[str, Any], where: str
) -> None:
    path = tmp_path / "timing.json"
    path.write_text(json.dumps(json.loads(WRITTEN) | change))
    with pytest.raises(UnknownError) as refused:
        read_timing(path)
    assert refused.value.code == "timing-unreadable"
    assert f"({where}" in refused.value.message


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    path.write_text(WRITTEN[:100])
    with pytest.raises(UnknownError, match=r"timing\.json cannot be read \(the file: "):
        read_timing(path)
