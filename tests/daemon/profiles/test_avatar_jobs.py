"""A job that names an avatar profile has its own copy of it from the moment it is accepted."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.config import Settings
from daemon.errors import JobError
from daemon.profiles.avatars import (
    BACKGROUND,
    JOB_COPIES,
    MEASURED_FILES,
    PICTURE,
    QUALITIES,
    AvatarProfile,
    AvatarStore,
    file_record,
)
from daemon.profiles.profile_folders import UnusableProfileError
from daemon.queue.job_end import KEPT_FAILED
from tests.support.daemon.intake import SETTLE_S, Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path)
    one.look()
    return one


VIDEO = "text: Hello.\navatar: Anna\n"


def save(settings: Settings, name: str = "Anna", number: int = 1, **changes: Any) -> AvatarProfile:
    """Save a profile whose files have made-up contents: the intake looks into none of them."""
    store = AvatarStore(settings.paths.avatars)
    names = (PICTURE, BACKGROUND, *(quality + file for quality in QUALITIES for file in MEASURED_FILES))
    files: dict[str, bytes | Path] = {file: f"{name}'s {file}".encode() for file in names}
    values: dict[str, Any] = {
        "id": f"ap-{number:08x}", "name": name, "title": "", "created": "2026-01-01T00:00:00+00:00", "by": "otto",
        "source": "command", "consent": "", "expires": None, "framing": {}, "face": {}, "folder": Path(),
        "defaults": {"voice": "adam", "background": "beach.jpg", "motion": {"head": 0, "blink": 0}, "aspect": "9:16"},
        "files": {file: file_record(content) for file, content in files.items() if isinstance(content, bytes)},
    }  # fmt: skip
    return store.save(AvatarProfile(**values | changes), files)


def test_a_job_takes_what_it_does_not_say_itself_from_the_profile_and_keeps_it(room: Room) -> None:
    # Given jobs by name and by id; one says some things itself
    profile = save(room.settings)
    room.put("by-name.yaml", VIDEO)
    room.put(
        "by-id.yaml",
        f"text: Hi.\navatar: {profile.id.upper()}\nsize: 256x256\nmotion: {{blink: 2}}\nbackground: blur\n",
    )
    jobs = {job.name: job for job in room.settle()}
    assert [job.state for job in jobs.values()] == ["queued", "queued"]
    # When the profile is removed while they wait
    AvatarStore(room.settings.paths.avatars).remove_profile(profile)
    # Then each has all it needs, key by key
    one, other = jobs["by-name"].manifest, jobs["by-id"].manifest
    assert (one["voice"], one["background"], one["aspect"]) == ("adam", "beach.jpg", "9:16")
    assert (other["voice"], other["background"], other["aspect"], other["size"]) == ("adam", "blur", None, "256x256")
    assert (other["motion"]["head"], other["motion"]["blink"]) == (0, 2)
    assert room.copy_of(jobs["by-name"]) == b"Anna's picture"
    assert room.copy_of(jobs["by-name"], "source.background") == b"Anna's background"
    assert room.copy_of(jobs["by-id"], JOB_COPIES["rig.npz"]) == b"Anna's rig.npz"
    assert not (room.spool.folder_of(jobs["by-id"]) / "source.background").exists()
    # And a retry finds the copies
    assert {path.name for path in room.spool.folder_of(jobs["by-name"]).iterdir()} <= KEPT_FAILED


def rewrite(folder: Path, **changes: Any) -> None:
    record = yaml.safe_load((folder / "profile.yaml").read_text())
    (folder / "profile.yaml").write_text(yaml.safe_dump(record | changes))


def copy_of(folder: Path, profile_id: str) -> None:
    """Put a copy of a profile beside it, as from a backup."""
    rewrite(shutil.copytree(folder, folder.with_name(profile_id)), id=profile_id)


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "removed": ("avatar-unknown", shutil.rmtree),
    "half copied": ("avatar-damaged", lambda folder: (folder / "rig.npz").unlink()),
    "cut short": ("avatar-damaged", lambda folder: (folder / "portrait.png").write_bytes(b"")),
    "newer": ("avatar-newer", lambda folder: rewrite(folder, version=2)),
    "no record": ("avatar-damaged", lambda folder: rewrite(folder, files=7)),
    "expired": ("profile-expired", lambda folder: rewrite(folder, expires="2020-01-01")),
    "there twice": ("profile-ambiguous", lambda folder: copy_of(folder, "ap-00000009")),
    "linked": ("file-is-link", lambda folder: (folder / "second name").hardlink_to(folder / "picture")),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_profile_that_cannot_be_used_gives_one_clear_error(broken: str, room: Room) -> None:
    code, spoil = BROKEN[broken]
    profile = save(room.settings)
    save(room.settings, "Ben", 2)
    spoil(profile.folder)
    room.put("hello.yaml", VIDEO)
    room.put("ben.yaml", "text: Hello.\navatar: ben\n")
    jobs = {job.name: job for job in room.settle()}
    assert (jobs["hello"].state, jobs["ben"].state) == ("failed", "queued")
    error = room.status("hello")["error"]
    assert error["code"] == code
    assert error["hint"]


def test_a_name_that_no_profile_has_is_told_a_similar_one_or_how_one_is_made(room: Room) -> None:
    save(room.settings)
    for name, wanted in (("a", "Annna"), ("b", "Zacharias")):
        room.put(f"{name}.yaml", f"text: Hello.\navatar: {wanted}\n")
    room.settle()
    hints = [room.status(name)["error"]["hint"] for name in "ab"]
    assert hints[0].startswith("Did you mean 'Anna'?")
    assert hints[1].startswith("A job of `kind: avatar` makes one.")


def test_without_consent_no_job_uses_a_profile_where_it_is_required(room: Room) -> None:
    save(room.settings)
    save(room.settings, "Ben", 2, consent="Ben, by letter")
    room.settings.stages = room.settings.stages.model_copy(
        update={"face": room.settings.stages.face.model_copy(update={"require_consent": True})}
    )
    room.put("hello.yaml", VIDEO)
    room.put("ben.yaml", "text: Hello.\navatar: ben\n")
    room.settle()
    assert room.status("hello")["error"]["code"] == "consent-missing"
    assert room.status("ben")["state"] == "queued"


def test_a_name_is_given_once_and_a_damaged_profile_is_told_of(room: Room) -> None:
    first = save(room.settings)
    with pytest.raises(JobError, match="An avatar profile named 'Anna' already exists") as error:
        save(room.settings, "ANNA", 2)
    assert error.value.code == "profile-name"
    # A repeated job replaces its own profile
    assert save(room.settings, "Anna", 1, expires=datetime.date(2100, 1, 1)).expires is not None
    store = AvatarStore(room.settings.paths.avatars)
    assert [path.name for path in sorted(store.root.iterdir())] == [".lock", first.id]
    (first.folder / "profile.yaml").write_text("name: [")
    assert store.all_profiles() == []
    with pytest.raises(UnusableProfileError, match=first.id):
        store.find_profile(first.id)
    assert [exc.profile_id for exc in store.unusable_profiles()] == [first.id]


def test_a_job_waits_while_the_profiles_cannot_be_read(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk that cannot read the profiles now
    save(room.settings)
    with monkeypatch.context() as patch:
        patch.setattr(AvatarStore, "_folders", _fail)
        room.put("hello.yaml", VIDEO)
        assert room.settle() == []
    # Then the job is made when it can
    room.look(SETTLE_S)
    assert room.status("hello")["state"] == "queued"


def _fail(_store: AvatarStore) -> None:
    raise OSError(5, "Input/output error")
