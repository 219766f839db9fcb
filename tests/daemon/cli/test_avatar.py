"""`avatar avatar`, and a profile from the inbox to a video."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from daemon.cli.doctor.folder_checks import check_avatars
from daemon.config import Settings
from daemon.profiles.avatars import AvatarStore
from tests.conftest import Installation
from tests.support.daemon.known_faces import give_known_faces
from tests.support.stages.picture_jobs import PORTRAIT, drawn, encoded

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def house(installation: Callable[..., Installation]) -> Installation:
    return installation()


def test_an_avatar_made_in_the_inbox_speaks_in_the_folder_whose_defaults_name_it(house: Installation) -> None:
    # Given an avatar that was made by a manifest, and a folder with defaults
    house.start()
    manifest = {"kind": "avatar", "image": "p.png", "aspect": "1:1", "motion": {"head": 0}, "output": "Anna"}
    house.drop("anna.yaml", manifest, p__png=encoded(drawn(400)))
    made = house.finished("Anna")
    assert [output["file"] for output in made["outputs"]] == ["Anna.avatar.jpg", "Anna.avatar.json"]
    record = json.loads((house.outbox / "Anna.avatar.json").read_bytes())
    assert (record["name"], record["source"], record["by"]) == ("Anna", made["job"], made["by"])
    (house.inbox / "films").mkdir()
    (house.inbox / "films" / "_defaults.yaml").write_text("avatar: anna\nquality: draft\n")
    # When a text alone is dropped there
    house.drop("films/hello.yaml", "text: Hello.\n")
    # Then it is a video of the avatar, which names it
    status = house.finished("films/hello")
    assert status["state"] == "done", status
    assert status["defaults"] == ["films/_defaults.yaml"]
    assert (status["stages"]["face"]["profile"], status["stages"]["face"]["avatar"]) == (record["id"], "Anna")
    assert status["outputs"][-1]["file"] == "films/hello.mp4"
    assert status["stages"]["encode"]["width"] == status["stages"]["encode"]["height"]
    # And its profile is no leftover of the spool
    house.stop()
    assert "nothing of ours" not in house.avatar("spool", "check").stdout


def test_a_prompt_without_the_model_fails_at_once_and_a_picture_beside_it_needs_none(house: Installation) -> None:
    said = house.avatar("avatar", "generate", "a man", "--name", "Bo", "--aspect", "9:16", code=1).stderr
    assert "18 of its 18 files are missing" in said
    assert "avatar models fetch sdxl" in said
    house.start()
    house.drop("bo.yaml", {"kind": "avatar", "prompt": "a man"})
    house.drop("eva.yaml", {"kind": "avatar", "image": "p.png"}, p__png=encoded(drawn(400)))
    failed = house.finished("bo")
    assert (failed["state"], failed["error"]["code"], failed["error"]["stage"]) == (
        "failed",
        "model-missing",
        "check",
    )
    made = house.finished("eva")
    assert (made["state"], "generate" in made["stages"]) == ("done", False)


def test_avatars_are_made_shown_and_removed_without_the_daemon(house: Installation) -> None:
    give_known_faces(house, "full")
    added = json.loads(
        house.avatar(
            "avatar", "add", str(PORTRAIT), "--name", "Anna", "--voice", "heart", "--consent", "by letter", "--json"
        ).stdout
    )
    assert (added["source"], added["defaults"], added["consent"]) == ("command", {"voice": "heart"}, "by letter")
    assert added["id"] in house.avatar("avatar", "list").stdout
    # The portrait, which other tests know at both sizes, was not measured again
    assert len(list((house.spool / "cache" / "portraits").iterdir())) == 2
    assert json.loads(house.avatar("avatar", "show", "anna", "--json").stdout)["id"] == added["id"]
    assert "already exists" in house.avatar("avatar", "add", str(PORTRAIT), "--name", "ANNA", code=1).stderr
    # A damaged one is listed with what is wrong, and can be removed
    (house.spool / "avatars" / added["id"] / "rig.npz").unlink()
    assert "avatar-damaged" in house.avatar("avatar", "list").stdout
    settings = Settings.load(house.config)
    assert [finding.verdict for finding in check_avatars(settings)] == ["bad"]
    house.avatar("avatar", "remove", "anna")
    assert json.loads(house.avatar("avatar", "list", "--json").stdout) == []
    assert "no avatar profile 'anna'" in house.avatar("avatar", "show", "anna", code=1).stderr


def test_a_folder_of_pictures_is_checked_on_one_sheet(house: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(PORTRAIT, folder / "good.png")
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "empty.png").write_bytes(encoded(Image.new("RGB", (400, 400), "grey")))
    (folder / "notes.txt").write_text("no picture either")
    sheet = tmp_path / "sheet.jpg"
    answer = json.loads(house.avatar("avatar", "check", str(folder), "-o", str(sheet), "--json", code=1).stdout)
    assert [(row["file"], row["verdict"]) for row in answer["pictures"]] == [
        ("bad.jpg", "refused"),
        ("empty.png", "refused"),
        ("good.png", "good"),
    ]
    codes = [row["error"]["code"] for row in answer["pictures"] if "error" in row]
    assert codes == ["image-unreadable", "no-face"]
    with Image.open(sheet) as drawn_sheet:
        assert drawn_sheet.format == "JPEG"
        assert min(drawn_sheet.size) > 240
    assert not AvatarStore(house.spool / "avatars").all_profiles()


def test_validate_says_whether_there_is_the_avatar_profile_that_a_manifest_names(house: Installation) -> None:
    (house.root / "hello.yaml").write_text("text: Hello.\navatar: Nobody\n")
    assert "There is no avatar profile 'Nobody'" in house.avatar("validate", "hello.yaml", code=1).stdout
    # Where the profiles cannot be read, that is said, and nothing is called good that was not looked at
    (house.spool / "avatars").parent.mkdir(exist_ok=True)
    (house.spool / "avatars").write_text("no folder")
    told = house.avatar("validate", "hello.yaml").stdout
    assert "not checked: whether the service has an avatar profile 'Nobody'" in told


def test_validate_and_submit_apply_the_defaults_of_the_inbox(house: Installation) -> None:
    (house.inbox / "_defaults.yaml").write_text("image: p.png\nspeed: 0.8\n")
    (house.inbox / "p.png").write_bytes(encoded(drawn(400)))
    (house.inbox / "films").mkdir()
    (house.inbox / "films" / "hello.yaml").write_text("text: Hello.\n")
    file = str(house.inbox / "films" / "hello.yaml")
    (checked,) = json.loads(house.avatar("validate", file, "--json").stdout)
    assert (checked["manifest"]["speed"], checked["defaults"]) == (0.8, ["_defaults.yaml"])
    handed = json.loads(house.avatar("submit", "Hello.", "--name", "hi", "--json").stdout)
    assert "image" not in Path(handed["manifest"]).read_text()
    # Wrong ones are told before anything is handed in
    (house.inbox / "_defaults.yaml").write_text("speed: fast\n")
    assert "_defaults.yaml" in house.avatar("validate", file, code=1).stdout
    assert "_defaults.yaml" in house.avatar("submit", "Hello.", code=1).stderr
    # And the file can be checked by itself, although it gives no whole job
    wrong = house.avatar("validate", "inbox/_defaults.yaml", code=1).stdout
    assert "`speed` must be a number from 0.5 to 2" in wrong
    (house.inbox / "_defaults.yaml").write_text("speed: 0.8\n")
    assert "it sets speed" in house.avatar("validate", "inbox/_defaults.yaml").stdout
