"""`avatar video …` and `avatar avatar detect`: one job of each kind by command, by the service or without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from daemon.cli.commands.video import ENCODE_OPTIONS
from daemon.jobs.stages import BY_NAME
from tests.conftest import PORTRAIT, Installation
from tests.support.stages.clips import make_clip
from tests.support.stages.sound_jobs import ffmpeg

SRT = "1\n00:00:00,100 --> 00:00:00,900\nHello.\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    one = Installation(tmp_path_factory.mktemp("video"))
    one.start()
    make_clip(one.root / "clip.mp4")
    (one.root / "words.srt").write_text(SRT)
    yield one
    one.stop()


def test_info_tells_what_is_in_a_file(house: Installation) -> None:
    told = house.avatar("video", "info", "clip.mp4").stdout
    assert "h264 192x108" in told
    assert "aac" in told
    # Of a picture, too; and under the name that was given
    found = json.loads(house.avatar("video", "info", str(PORTRAIT), "--json").stdout)
    with Image.open(PORTRAIT) as picture:
        assert (found["file"], found["picture"]["width"]) == (str(PORTRAIT), picture.width)
    # And a file of another kind is refused on standard error
    refused = house.avatar("video", "info", "words.srt", code=1)
    assert (refused.stdout, "video-unreadable" in refused.stderr) == ("", True)
    assert "but a text file" in refused.stderr


def test_validate_expects_a_conversion_to_take_as_long_as_its_video_asks(house: Installation) -> None:
    ffmpeg("-stream_loop", "599", "-i", str(house.root / "clip.mp4"), "-c", "copy", str(house.root / "long.mp4"))
    expected = []
    for name in ("clip", "long"):
        (house.root / "m.yaml").write_text(f"kind: encode\nvideo: {name}.mp4\nquality: high\n")
        (told,) = json.loads(house.avatar("validate", "m.yaml", "--json").stdout)
        expected.append(told["expected"]["stages"]["transcode"])
    assert expected[1] > 3 * expected[0]


def test_encode_writes_the_format_of_the_ending_and_the_captions_beside_it(house: Installation) -> None:
    out = house.avatar("video", "encode", "clip.mp4", "-o", "out.webm", "--subtitles", "words.srt", "--captions", "vtt",
                       "--aspect", "1:1").stdout  # fmt: skip
    assert [Path(line).name for line in out.split()] == ["out.vtt", "out.webm"]
    found = json.loads(house.avatar("video", "info", "out.webm", "--json").stdout)
    assert ("webm" in found["container"], found["video"][0]["width"] == found["video"][0]["height"]) == (True, True)
    assert (house.root / "out.vtt").read_text().startswith("WEBVTT")


def test_encode_refuses_what_would_not_be_what_was_asked_for(house: Installation) -> None:
    (house.root / "linked.mp4").symlink_to("clip.mp4")
    before = (house.root / "clip.mp4").read_bytes()
    for arguments, said in (
        (("-o", "out.avi"), "end it in .mp4, .webm, .mov"),
        (("-o", "out.mp4", "--set", "format=webm"), "does not end in .webm"),
        (("-o", "out.mp4", "--set", "kind=info"), "kind cannot be 'info'"),
        (("-o", "out.mp4", "--quality", "high", "--set", "quality=low"), "quality cannot be 'low'"),
        (("-o", "out.mp4", "--timeout", "-1"), "not in the range"),
        (("-o", "out.mp4", "--timeout", "nan"), "no number of seconds"),
        (("-o", "words.mp4", "--subtitles", "words.srt", "--captions", "srt"), "would be replaced"),
        (("-o", "./clip.mp4", "--quality", "low"), "would be replaced"),
        (("-o", "linked.mp4"), "would be replaced"),
    ):
        assert said in house.avatar("video", "encode", "clip.mp4", *arguments, code=2).stderr
    # And a place that cannot be written to is a fault of the disk
    told = house.avatar("video", "encode", "clip.mp4", "-o", "absent/out.mp4", code=74)
    assert "No such folder" in told.stderr
    assert (house.root / "words.srt").read_text() == SRT
    assert (house.root / "clip.mp4").read_bytes() == before
    assert not (house.root / "out.mp4").exists()


def test_no_command_passes_over_in_silence_what_set_says(house: Installation) -> None:
    picture, sound = str(PORTRAIT), str(house.root / "sound.wav")
    Path(sound).touch()
    for command, said in (
        (("video", "lipsync", "-i", picture, "-a", sound, "--set", "kind=video"), "kind"),
        (("pipeline", "run", "Hi.", "-i", picture, "--set", "image=other.png"), "image"),
        (("avatar", "detect", picture, "--set", "kind=video"), "kind"),
        (("avatar", "add", picture, "--name", "anna", "--set", "profile.name=bert"), "profile.name"),
        (("submit", "Hi.", "--set", "text=Bye."), "text"),
        (("submit", "-i", picture, "--set", "image=other.png"), "image"),
    ):
        assert f"{said} cannot be" in house.avatar(*command, code=2).stderr
    # And what says the same twice is no mistake
    assert "Watch" in house.avatar("submit", "Hi.", "--set", "text=Hi.", "--set", "kind=speech").stdout


def test_encode_has_an_option_for_every_key_of_its_kind() -> None:
    assert {*ENCODE_OPTIONS, "video", "format"} == set(BY_NAME["transcode"].uses)


def test_lipsync_moves_a_portrait_by_a_recording(house: Installation) -> None:
    house.avatar("voice", "speak", "heart", "Good morning.", "-o", "speech.wav")
    out = house.avatar("video", "lipsync", "--image", str(PORTRAIT), "--audio", "speech.wav", "--text", "Good morning.",
                       "-q", "draft", "--set", "size=256x256", "-o", "face.mp4").stdout  # fmt: skip
    assert Path(out.strip()).stat().st_size > 1000


def test_detect_tells_the_verdict_and_brings_the_annotated_picture(house: Installation) -> None:
    told = house.avatar("avatar", "detect", str(PORTRAIT), "-o", "checked").stdout
    assert f"{PORTRAIT}: " in told
    assert "* 0" in told
    names = {path.name for path in (house.root / "checked").iterdir()}
    assert names == {f"{PORTRAIT.stem}.face.jpg", f"{PORTRAIT.stem}.face.json"}
    # And a picture without a face is an answer, with exit code 1
    Image.new("RGB", (400, 400), "white").save(house.root / "white.png")
    found = json.loads(house.avatar("avatar", "detect", "white.png", "--json", code=1).stdout)
    assert (found["faces_found"], found["verdict"]["accepted"]) == (0, False)
