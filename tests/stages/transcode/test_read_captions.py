"""What is said of a caption file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.errors import JobError
from stages.transcode.read_captions import read_captions


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1\n00:00:00,000 --> 00:00:01,000\nCafé\n".encode("cp1252"), ("is not a text in UTF-8.", "encoding UTF-8")),
        (
            b"[Script Info]\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,Hi\n",
            ("format ASS or SSA", "as SubRip (.srt)"),
        ),
        (b"\n", ("is empty.", "as SubRip (.srt)")),
        (b"Hello\n", ("has no captions.", "00:00:01,000 --> 00:00:03,500")),
        (b"00:03.000 --> 00:01.000\nHello\n", ("ends before it starts: 00:03.000 --> 00:01.000.", "00:00:01,000 -->")),
    ],
)
def test_a_caption_file_that_cannot_be_used_is_told_with_its_own_remedy(
    tmp_path: Path, content: bytes, told: tuple[str, str]
) -> None:
    (tmp_path / "a.srt").write_bytes(content)
    with pytest.raises(JobError) as error:
        read_captions(tmp_path / "a.srt")
    assert error.value.code == "subtitles-unreadable"
    assert told[0] in error.value.message
    assert told[1] in error.value.hint
