"""Profiles that are made by HTTP are their key's own; shared ones are everybody's to use."""

from __future__ import annotations

import hashlib
import json

import pytest

from daemon.doors.http.api_keys import ApiKeys
from daemon.profiles.avatars import AvatarProfile, AvatarStore, FileRecord
from stages.tts.profile_store import Profile, ProfileStore
from tests.daemon.doors.http.conftest import Door

MADE = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def made(door: Door) -> dict[str, str]:
    """Keep an avatar and a voice of each maker, called after them; returns their ids: `anna`, and `voice of anna`."""
    found, rows = {}, []
    picture: FileRecord = {"bytes": 7, "sha256": hashlib.sha256(b"picture").hexdigest()}
    for by in ("anna", "boss", "gone", "root", ""):
        name = by or "nobody"
        avatar = AvatarProfile(
            AvatarStore.words.new_id(), name, "", MADE, by, "job", "", None, {}, {}, {}, {"picture": picture}, door.root
        )
        found[name] = AvatarStore(door.settings.paths.avatars).save(avatar, {"picture": b"picture"}).id
        voice = Profile(ProfileStore.words.new_id(), f"voice-{name}", "en", MADE, "", None, "job", {}, door.root, by)
        found[voice.name] = ProfileStore(door.settings.paths.profiles).save_profile(voice, b"RIFF").id
        rows.append({"id": f"xtts/{voice.name}", "name": voice.name, "engine": "xtts", "installed": True, "profile": True,
                     "aliases": [voice.id], "languages": ["en"], "gender": None, "licence": "", "lacking": None,
                     "remedy": None})  # fmt: skip
    (door.settings.paths.outbox / ".avatard-voices").write_text(json.dumps({"voices": rows}))
    return found


def test_a_key_sees_and_uses_its_own_profiles_and_shared_ones_alone(door: Door, made: dict[str, str]) -> None:
    anna, ben, boss = door.key("anna"), door.key("ben"), door.key("boss", "admin")
    ApiKeys(door.settings.server.keys).add("gone", "submit")
    ApiKeys(door.settings.server.keys).revoke("gone")
    shared = {"boss", "root", "nobody"}
    for caller, sees in ((anna, shared | {"anna"}), (ben, shared), (boss, shared | {"anna", "gone"})):
        assert {one["name"] for one in caller.get("/avatar/profiles").json["avatars"]} == sees
        voices = {f"voice-{name}" for name in sees}
        assert {one["name"] for one in caller.get("/voice/profiles").json["voices"]} == voices
        assert set(caller.get("/v1/audio/voices").json["voices"]) == voices
    # And what a key does not see it does not use, by no name
    for avatar in ("anna", "ANNA", made["anna"], "gone"):
        answer = ben.post("/jobs", {"text": "Hi.", "avatar": avatar})
        assert (answer.status, answer.code) == (422, "avatar-unknown"), avatar
    for voice in ("voice-anna", "xtts/Voice-Anna", made["voice-anna"], "voice-gone"):
        answer = ben.post("/jobs", {"kind": "speech", "text": "Hi.", "voice": voice})
        assert (answer.status, answer.code) == (422, "voice-unknown"), voice
    manifest = json.dumps({"template": {"text": "Hi.", "avatar": "{{who}}"}}).encode()
    answer = ben.post_parts("/batches", ("manifest", None, manifest), ("rows", "a.csv", b"who\nroot\nanna\n"))
    assert (answer.code, "Row 2" in answer.json["detail"]) == ("rows-wrong", True)
    assert door.manifests == []
    for caller, name in ((anna, "anna"), (ben, "root"), (boss, "anna")):
        assert caller.post("/jobs", {"text": "Hi.", "avatar": name}).status == 202
        assert caller.post("/jobs", {"kind": "speech", "text": "Hi.", "voice": f"voice-{name}"}).status == 202


def test_what_a_revoked_key_made_does_not_become_shared_by_its_name(door: Door, made: dict[str, str]) -> None:
    # Given keys that are revoked: one is called as a user of this machine, one as an admin is now, one was an admin's
    keys = ApiKeys(door.settings.server.keys)
    ben, boss = door.key("ben"), door.key("boss", "admin")
    for name, role in (("root", "submit"), ("anna", "submit"), ("anna", "admin")):
        keys.add(name, role)  # type: ignore[arg-type]
        if role == "submit":
            keys.revoke(name)
    keys.revoke("boss")
    # Then what they made is nobody's but admins', and that of the admin is everybody's
    assert {one["name"] for one in ben.get("/avatar/profiles").json["avatars"]} == {"boss", "nobody"}
    assert ben.post("/jobs", {"kind": "speech", "text": "Hi.", "voice": "voice-root"}).code == "voice-unknown"
    assert ben.post("/jobs", {"text": "Hi.", "avatar": "anna"}).code == "avatar-unknown"
    assert boss.get("/avatar/profiles").status == 401


def test_where_it_cannot_be_read_whose_voices_are_none_of_a_person_is_used(
    door: Door, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(store: ProfileStore) -> list[Profile]:
        raise PermissionError(13, "Permission denied")

    ben = door.key("ben")
    monkeypatch.setattr(ProfileStore, "all_profiles", refuse)
    assert ben.get("/voice/profiles").json["voices"] == []
    assert ben.post("/jobs", {"kind": "speech", "text": "Hi.", "voice": "voice-root"}).code == "voice-unknown"


def test_before_the_daemon_has_published_voices_the_list_is_an_empty_one(door: Door) -> None:
    assert door.open.get("/voice/profiles").json == {"voices": []}
