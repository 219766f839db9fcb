"""A text that would be refused after an hour of synthesis is refused when it is handed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.jobs.speech_length import estimated_s
from tests.support.intake_room import Room


@pytest.mark.parametrize(
    ("text", "speed", "minutes"),
    [
        ("a word " * 9000, 0.5, "150 minutes"),  # more than two hours at half the pace
        ("一二三四五六七八九。" * 5000, 1.0, "179 minutes"),  # fewer signs, each of which takes longer
    ],
)
def test_a_text_of_too_much_speech_is_refused_at_once(tmp_path: Path, text: str, speed: float, minutes: str) -> None:
    room = Room(tmp_path)
    room.look()
    room.put("long.yaml", f"kind: speech\nspeed: {speed}\ntext: {text}\n")
    room.put("recorded.yaml", f"kind: speech\naudio: s.wav\ntext: {text}\n")
    room.put("s.wav", b"x")
    states = {job.name: job.state for job in room.settle()}
    assert states == {"long": "failed", "recorded": "queued"}  # the sound decides, where there is one
    error = room.status("long")["error"]
    assert (error["code"], error["stage"]) == ("audio-too-long", "intake")
    assert f"about {minutes} of speech; 120 minutes are allowed" in error["message"]


def test_every_allowed_text_at_the_usual_pace_is_taken() -> None:
    settings = Settings()
    assert estimated_s("x" * settings.intake.max_text_chars) < settings.stages.tts.max_audio_s
