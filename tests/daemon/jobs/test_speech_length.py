"""A text that would be refused after an hour of synthesis is refused when it is handed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.jobs.speech_length import estimated_s
from tests.support.daemon.intake import Room


@pytest.mark.parametrize(
    ("text", "speed", "minutes"),
    [
        ("a word " * 8500, 0.5, "142 minutes"),  # more than two hours at half the pace
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


def test_a_text_of_too_many_characters_is_refused_before_its_picture_is_there(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.look()
    room.put("long.yaml", f"text: {'a word ' * 9000}\nimage: later.png\n")
    assert [job.state for job in room.settle()] == ["failed"]
    error = room.status("long")["error"]
    assert (error["code"], error["stage"]) == ("text-too-long", "intake")
    assert "62,999 characters; 60,000 are allowed" in error["message"]


def test_a_long_text_waits_until_the_disk_has_room_for_its_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 500 MB beyond the reserve, a lecture of 35 minutes, which takes 18 MB a minute while it is spoken, and a greeting
    room = Room(tmp_path)
    room.look()
    free = [500 * 10**6]
    monkeypatch.setattr("daemon.queue.free_space.available_bytes", lambda settings: free[0])
    monkeypatch.setattr("daemon.intake.admission.available_bytes", lambda settings: free[0])
    room.put("lecture.yaml", f"kind: speech\ntext: {'a word ' * 4200}\n")
    room.put("greeting.yaml")
    # Then the greeting is taken, and the lecture waits and says why
    assert room.settle_names() == ["greeting"]
    assert "lecture.yaml needs (622 MB) does not fit" in room.status("lecture")["warnings"][0]
    # When there is room / Then it is taken
    free[0] = 700 * 10**6
    assert room.settle_names() == ["lecture"]


def test_every_allowed_text_at_the_usual_pace_is_taken() -> None:
    settings = Settings()
    assert estimated_s("x" * settings.intake.max_text_chars) < settings.stages.tts.max_audio_s
