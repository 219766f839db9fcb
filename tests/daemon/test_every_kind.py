"""Every example of docs/kinds.md runs through a daemon, while another job holds the lane of the GPU."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from daemon.jobs.kinds import KINDS
from tests.conftest import PORTRAIT, Installation
from tests.support.stages.clips import make_clip

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kinds.md"
WRITTEN = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
EXAMPLES = {yaml.safe_load(block).get("kind", "video"): block for block in WRITTEN}
#: A voice engine that never gets ready.
DEAF = [sys.executable, "-c", "import sys; sys.stdin.read()"]
SRT = b"1\n00:00:00,100 --> 00:00:00,900\nHello.\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    one = Installation(
        tmp_path_factory.mktemp("kinds"),
        engines={"deaf": {"command": DEAF, "voices": {"wall": "en"}, "start_s": 10**4}},
    )
    one.start()
    make_clip(one.root / "clip.mp4")
    one.drop("held.yaml", {"kind": "speech", "text": "Hello.", "voice": "wall"})
    one.reaches("held", "running")
    yield one
    one.stop()


def test_every_kind_has_an_example() -> None:
    assert list(EXAMPLES) == list(KINDS)


@pytest.mark.parametrize("kind", ["speech", "detect", "encode", "info", "batch"])
def test_the_example_of_a_kind_is_done_with_its_results(house: Installation, kind: str) -> None:
    # Given a job that holds the GPU
    files: dict[str, bytes | Path] = {
        "portrait__png": PORTRAIT,
        "clip__mp4": house.root / "clip.mp4",
        "words__srt": SRT,
        "people__csv": b"name\nAnna\nBen\n",
    }
    wanted = {name: data for name, data in files.items() if name.replace("__", ".") in EXAMPLES[kind]}
    # When the example of docs/kinds.md is dropped
    house.drop(f"{kind}.yaml", EXAMPLES[kind], **wanted)
    status = house.finished(kind)
    # Then it is done, and its results are there
    assert status["state"] == "done", status
    assert (house.outbox / status["outputs"][-1]["file"]).exists()
    if kind == "info":
        report = json.loads((house.outbox / "info.info.json").read_bytes())
        assert (report["video"][0]["width"], report["damage"]) == (192, [])
    if kind == "encode":
        assert (status["stages"]["transcode"]["width"], status["stages"]["transcode"]["height"]) == (192, 342)
    if kind == "speech":
        assert json.loads((house.outbox / "speech.timing.json").read_bytes())["words"]
    # And the one that holds the GPU still does
    held = house.status("held")
    assert held is not None
    assert held["state"] == "running"


def test_a_video_that_nothing_changes_is_copied_and_a_text_is_none(house: Installation) -> None:
    house.drop("same.yaml", {"kind": "encode", "video": "same.mp4"}, same__mp4=house.root / "clip.mp4")
    house.drop("text.yaml", {"kind": "encode", "video": "text.mp4"}, text__mp4=b"a shopping list\n")
    facts = house.finished("same")["stages"]["transcode"]
    assert (facts["encoder"], facts["sound"], facts["frames"]) == ("copy", "copied", 25)
    assert house.finished("text")["error"]["code"] == "video-unreadable"


def test_a_recording_moves_a_portrait_and_a_picture_without_a_face_gets_its_verdict(house: Installation) -> None:
    # Given a recording of speech, and a picture of a wall
    house.drop("said.yaml", {"kind": "speech", "text": "Hello again."})
    recording = house.outbox / house.finished("said")["outputs"][-1]["file"]
    wall = house.root / "wall.png"
    Image.new("RGB", (320, 320), (90, 120, 150)).save(wall)
    # When the one moves a portrait, and the other is judged
    house.drop("lipsync.yaml", EXAMPLES["lipsync"], recording__wav=recording, portrait__png=PORTRAIT)
    house.drop("judged.yaml", {"kind": "detect", "image": "wall.png"}, wall__png=wall)
    # Then the video is as long as the recording, and the verdict is a result
    status = house.finished("lipsync")
    assert status["state"] == "done", status
    spoken_s = status["stages"]["tts"]["audio_s"]
    assert status["stages"]["encode"]["duration_s"] == pytest.approx(spoken_s, abs=0.05)
    assert status["outputs"][-1]["file"] == "lipsync.mp4"
    judged = house.finished("judged")
    assert judged["state"] == "done", judged
    assert json.loads((house.outbox / "judged.face.json").read_bytes())["verdict"]["code"] == "no-face"
