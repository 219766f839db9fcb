"""`avatar voice`, which needs no daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import wave
from collections.abc import Callable

import pytest

from tests.conftest import Installation


def test_every_voice_is_listed_with_its_licence(installation: Callable[..., Installation]) -> None:
    # Given an installation without kokoro's files, and an engine of its own
    house = installation(engines={"casa": {"command": ["true"], "voices": {"luz": "es-ES"}, "licence": "CC0-1.0"}})
    # When its voices are listed, then each says what it is, under which licence, and what to do where it is not there
    rows = {row["id"]: row for row in json.loads(house.avatar("voice", "list", "--json").stdout)}
    assert (rows["hibari/heart"]["installed"], rows["hibari/heart"]["licence"]) == (True, "Apache-2.0")
    assert (rows["casa/luz"]["languages"], rows["casa/luz"]["licence"]) == (["es-ES"], "CC0-1.0")
    assert rows["kokoro/emma"]["installed"] is False
    assert "avatar models fetch kokoro" in rows["kokoro/emma"]["remedy"]
    assert all(row["licence"] and row["languages"] for row in rows.values())
    british = house.avatar("voice", "list", "--language", "en-gb").stdout
    assert "kokoro/emma" in british
    assert "kokoro/bella" not in british


def test_a_voice_is_heard_without_the_daemon(installation: Callable[..., Installation]) -> None:
    # Given no daemon
    house = installation()
    out = house.root / "hello.wav"
    # When a text is said, then the file is there, and the answer on standard output is JSON and nothing else
    answer = json.loads(house.avatar("voice", "speak", "heart", "Hello there.", "-o", str(out), "--json").stdout)
    with wave.open(str(out)) as source:
        assert source.getnframes() / source.getframerate() == answer["timing"]["duration"]
    assert (answer["voice"], answer["licence"]) == ("hibari/heart", "Apache-2.0")
    assert [word["text"] for word in answer["timing"]["words"]] == ["Hello", "there."]
    # And the spool was not touched
    assert not house.spool.exists()


def test_a_voice_of_an_engine_is_shown_and_is_not_removed(installation: Callable[..., Installation]) -> None:
    house = installation()
    assert "Apache-2.0" in house.avatar("voice", "show", "heart").stdout
    assert json.loads(house.avatar("voice", "show", "hibari/heart", "--json").stdout)["installed"] is True
    told = house.avatar("voice", "remove", "heart", code=1).stderr
    assert "is a voice of the engine hibari" in told


def test_the_ending_of_the_file_names_the_format_of_the_sound(installation: Callable[..., Installation]) -> None:
    house = installation()
    begins = {"mp3": b"ID3", "flac": b"fLaC", "opus": b"OggS", "WAV": b"RIFF"}
    for ending, head in begins.items():
        out = house.root / f"hello.{ending}"
        house.avatar("voice", "speak", "heart", "Hello.", "-o", str(out))
        assert out.read_bytes()[: len(head)] == head
    told = house.avatar("voice", "speak", "heart", "Hello.", "-o", str(house.root / "hello.ogg"), code=2).stderr
    assert "end it in .wav, .mp3, .opus, .flac" in told
    assert not (house.root / "hello.ogg").exists()


def test_without_a_text_a_voice_says_a_sample(installation: Callable[..., Installation]) -> None:
    house = installation()
    out = str(house.root / "sample.wav")
    answer = json.loads(house.avatar("voice", "speak", "american woman", "-o", out, "--json").stdout)
    assert answer["voice"] == "hibari/heart"
    assert [word["text"] for word in answer["timing"]["words"]][:2] == ["Good", "morning"]
    # And a description of another language is spoken in it, or says what lacks
    told = house.avatar("voice", "speak", "german woman", "-o", out, code=1).stderr
    assert "avatar models fetch piper/de_DE-kerstin-low" in told


def test_a_pipe_or_a_link_is_written_to_and_stays(installation: Callable[..., Installation]) -> None:
    # Given a pipe that somebody reads, and a link to a file
    house = installation()
    pipe, link, file = house.root / "pipe", house.root / "link.wav", house.root / "file.wav"
    os.mkfifo(pipe)
    file.touch()
    link.symlink_to(file)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()), daemon=True)
    reader.start()
    # When a voice speaks into each
    house.avatar("voice", "speak", "heart", "Hello.", "-o", str(link))
    house.avatar("voice", "speak", "heart", "Hello.", "-o", str(pipe))
    reader.join()
    # Then the sound came through, and both are what they were
    assert heard == [file.read_bytes()]
    assert heard[0].startswith(b"RIFF")
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_text_from_a_pipe_that_is_not_utf_8_is_one_sentence(installation: Callable[..., Installation]) -> None:
    house = installation()
    command = [sys.executable, "-m", "daemon.cli", "--config", str(house.config), "voice", "speak", "heart", "-"]
    result = subprocess.run(command, input="Café".encode("latin-1"), capture_output=True, check=False, cwd=house.root)
    assert result.returncode == 2
    assert b"not UTF-8 text (byte 4)" in result.stderr
    assert b"Traceback" not in result.stderr


def test_what_cannot_be_said_is_one_sentence_and_leaves_the_file_alone(
    installation: Callable[..., Installation],
) -> None:
    house = installation()
    out = house.root / "hello.wav"
    out.write_bytes(b"what was there")
    for arguments, says in (
        (("emmma", "Hi."), "Did you mean 'emma'?"),
        (("heart", "?!"), "no letters or digits"),
        (("heart", "Hi.", "--speed", "9"), "`speed`"),
    ):
        result = house.avatar("voice", "speak", *arguments, "-o", str(out), code=1)
        assert says in result.stderr
        assert "Traceback" not in result.stderr + result.stdout
    assert out.read_bytes() == b"what was there"
    # And a file that cannot be written is a fault of the disk, as for every command
    assert "No such file" in house.avatar("voice", "speak", "heart", "Hi.", "-o", "absent/hello.wav", code=74).stderr


@pytest.mark.usefixtures("processes")
def test_listing_voices_loads_no_model_code() -> None:
    code = (
        "import sys; from daemon.config import Settings; from stages.tts.engines.voices import list_voices; "
        "list_voices(Settings()); import daemon.cli.commands.voices.voice; "
        "bad = {'numpy', 'onnxruntime', 'hibari', 'torch'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
