"""Files that are there under a name that a person or another system takes for the same as the one in the manifest."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.conftest import PORTRAIT
from tests.support.daemon.intake import SETTLE_S, Room

PICTURE = PORTRAIT.read_bytes()


def detect(image: str) -> str:
    return f"kind: detect\nimage: {image}\n"


@pytest.mark.parametrize("taken_apart", ["file", "manifest"])
@pytest.mark.parametrize("folder", ["", "Größe/"])
def test_a_name_with_letters_taken_apart_is_the_same_name(room: Room, taken_apart: str, folder: str) -> None:
    one, other = (unicodedata.normalize("NFC", f"{folder}Zoë.png"), unicodedata.normalize("NFD", f"{folder}Zoë.png"))
    room.put(other if taken_apart == "file" else one, PICTURE)
    room.put("a.yaml", detect(one if taken_apart == "file" else other))
    (job,) = room.settle()
    assert (job.state, room.copy_of(job), job.manifest_warnings) == ("queued", PICTURE, [])


@pytest.mark.parametrize("there", ["Portrait.JPG", "portrait.JPG", "PORTRAIT.jpg"])
def test_the_only_file_that_differs_in_capitals_is_taken_with_a_word(room: Room, there: str) -> None:
    room.put(there, PICTURE)
    room.put("a.yaml", detect("portrait.jpg"))
    (job,) = room.settle()
    assert (job.state, room.copy_of(job)) == ("queued", PICTURE)
    (warning,) = room.status("a")["warnings"]
    assert "portrait.jpg is not there" in warning
    assert there in warning


def test_a_file_of_exactly_the_name_is_taken_whatever_else_is_there(room: Room) -> None:
    for name in ("anna.png", "Anna.png", "ANNA.png"):
        room.put(name, PICTURE + name.encode())
    room.put("a.yaml", detect("Anna.png"))
    (job,) = room.settle()
    assert (room.copy_of(job), job.manifest_warnings) == (PICTURE + b"Anna.png", [])


@pytest.mark.parametrize("beside", [[], ["portrait.wav", "portrait.txt"]])
def test_a_name_without_ending_means_the_only_picture_of_that_name(room: Room, beside: list[str]) -> None:
    for name in beside:
        room.put(name, b"no picture")
    room.put("Portrait.JPG", PICTURE)
    room.put("a.yaml", detect("portrait"))
    (job,) = room.settle()
    assert room.copy_of(job) == PICTURE
    (warning,) = room.status("a")["warnings"]
    assert "portrait has no ending; Portrait.JPG was taken" in warning


def test_a_name_without_ending_that_several_pictures_have_says_at_once_which_are_there(room: Room) -> None:
    for name in ("portrait.jpg", "portrait.png", "portrait.wav"):
        room.put(name, PICTURE)
    room.put("a.yaml", detect("portrait"))
    assert room.settle() == []
    (hint,) = room.status("a")["warnings"]
    assert "portrait is not there, but portrait.jpg, portrait.png are" in hint


@pytest.mark.parametrize("there", [["Anna.PNG", "ANNA.png"], ["anna.jpeg"], ["anna.png.jpg"]])
def test_the_status_names_at_once_what_may_be_meant_and_takes_it_when_it_is_mended(
    room: Room, there: list[str]
) -> None:
    for name in there:
        room.put(name, PICTURE)
    room.put("a.yaml", detect("anna.png"))
    assert room.settle() == []
    status = room.status("a")
    assert (status["state"], status["waiting_for"]) == ("waiting", ["anna.png"])
    (hint,) = status["warnings"]
    assert all(name in hint for name in there)
    # And when the wait is over, the error says so too
    room.put("b.yaml", detect("anna.png"))
    room.settle()
    companion_wait_s = room.settings.intake.companion_wait_s
    failed = {job.name: job for job in room.look(companion_wait_s)}
    assert failed["b"].error is not None
    assert all(name in failed["b"].error["message"] for name in there)
    room.put("a.yaml", detect("anna.png"))
    room.settle()
    # When the file gets the name that was written
    (room.inbox / there[0]).rename(room.inbox / "anna.png")
    (job,) = room.settle()
    assert room.copy_of(job) == PICTURE


def test_a_claim_that_a_crash_left_finds_its_file_before_the_first_look(room: Room) -> None:
    # Given a daemon that ends between the claim of a manifest and the copy of its picture
    room.put("Portrait.JPG", PICTURE)
    room.put("a.yaml", detect("portrait.jpg"))

    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    assert room.look() == []
    room.admission.claims._accept = die  # type: ignore[assignment]
    room.now += SETTLE_S
    (batch,) = room.admission.scan()
    with pytest.raises(KeyboardInterrupt):
        room.admission.take(batch)
    # When the next one goes on from there / Then the job has its picture
    again = Room(room.inbox.parent)
    again.admission.resume()
    (directory,) = again.spool.job_folders(again.spool.ready("face"))
    assert (directory / "source.image").read_bytes() == PICTURE


def test_a_mistyped_name_fails_with_the_names_that_resemble_it(room: Room) -> None:
    for name in ("portrait.png", "portrait2.png", "holiday.png", "portrait.yaml.cancel"):
        room.put(name, PICTURE)
    room.put("a.yaml", detect("portriat.png"))
    room.put("b.yaml", detect("nothing-like-it.jpeg"))
    room.settle()
    room.look(room.settings.intake.companion_wait_s)
    errors = [room.status(name)["error"] for name in ("a", "b")]
    assert [error["code"] for error in errors] == ["file-missing", "file-missing"]
    assert "portriat.png is not there, but portrait.png, portrait2.png are." in errors[0]["message"]
    assert errors[1]["message"] == "nothing-like-it.jpeg is not there."


def test_a_manifest_that_waits_says_where_its_file_is_looked_for(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.look()
    room.put("portrait.png", PORTRAIT.read_bytes())
    room.put("a.yaml", "kind: detect\nimage: nix.png\n")
    room.put("anna/c.yaml", "kind: detect\nimage: q.png\n")
    room.put("anna/b.yaml", "kind: detect\nimage: inbox/anna/p.png\n")
    room.settle()
    assert "nix.png is not there; there is portrait.png." in " ".join(room.status("a")["warnings"])
    told = " ".join(room.status("anna/b")["warnings"])
    assert "the inbox's folder anna/inbox/anna, not next to the manifest. To use one" in told
    # And nobody is told to write what is written
    assert not room.status("anna/c").get("warnings")


def test_a_name_with_a_folder_that_is_not_there_fails_with_the_name_that_is_to_be_written(room: Room) -> None:
    room.put("anna/p.png", PICTURE)
    for name, written in (("a", "inbox/anna/p.png"), ("b", "inbox/q.png"), ("c", "My portrait")):
        room.put(f"anna/{name}.yaml", detect(written))
    room.settle()
    room.look(room.settings.intake.companion_wait_s)
    told = [" ".join(map(room.status(f"anna/{name}")["error"].__getitem__, ("message", "hint"))) for name in "abc"]
    assert (
        "inbox/anna/p.png is not there, but p.png lies next to the manifest. Write p.png without a folder." in told[0]
    )
    assert told[1].endswith("Put q.png next to the manifest, and write its name without a folder.")
    assert "with its ending such as .png. Words that are to be said stand in `text`." in told[2]


@pytest.mark.parametrize(
    ("written", "missing"),
    [
        ("kind: detect\nfps: 31\nimage: gone.png\n", "its picture gone.png was not there either."),
        ("kind: detect\nfps: 31\nimage: p.jpg\n", "its picture p.jpg was not there either, but p.png was."),
        ("portrait: gone.png\ntext: Hello.\n", "its picture gone.png was not there either."),
        ("kind: speech\naudio: gone.wav\nfps: 31\nspeed: 9\n", "its sound file gone.wav was not there either."),
        ("text: Note: this\nimage: gone.png\n", "its picture gone.png was not there either."),
        ("kind: detect\nfps: 31\nimage: p.png\n", ""),
        ("kind: speech\ntext: Hello.\nspeed: 9\nimage: gone.png\n", ""),
    ],
)
def test_a_file_that_is_not_there_is_told_together_with_other_mistakes(room: Room, written: str, missing: str) -> None:
    room.put("p.png", b"x")
    room.put("hello.yaml", written)
    room.settle()
    hint = room.status("hello")["error"]["hint"]
    assert missing in hint
    assert ("not there either" in hint) == bool(missing)
