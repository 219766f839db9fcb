"""The pages of avatars, voices and the system show what there is, let only admins change it, and give out no file as it came."""

from __future__ import annotations

import hashlib
import io
import json
import time
from datetime import date
from typing import Any

import pytest
import yaml
from PIL import Image

from daemon.doors.http.callers import Caller
from daemon.doors.page.profile_cards import Uses, voice_cards
from daemon.doors.page.system_state import disks_of, last_hour_svg
from daemon.errors import MachineError
from daemon.profiles.avatars import AvatarProfile, AvatarStore
from daemon.queue.pauses import Pause, Pauses
from daemon.queue.spool import Spool
from stages.tts.profile_store import Profile, ProfileStore
from tests.conftest import PORTRAIT
from tests.daemon.doors.http.conftest import Door
from tests.daemon.doors.page.test_pages import post_form, signed_in

VOICE = {
    "id": "kokoro/heart", "name": "heart", "engine": "kokoro", "languages": ["en-US", "en-GB", "de"], "gender": "female",
    "description": "American English, female", "licence": "Apache 2.0", "profile": False, "aliases": [], "installed": True,
    "lacking": None, "remedy": None,
}  # fmt: skip


def keep_avatar(door: Door, picture: bytes = PORTRAIT.read_bytes(), **changes: Any) -> AvatarProfile:
    known: dict[str, Any] = {
        "id": AvatarStore.words.new_id(), "name": "Anna", "title": "", "created": "2026-01-02T03:04:05+00:00", "by": "",
        "source": "command", "consent": "Anna <i>agreed</i>", "expires": None, "defaults": {"voice": "heart"},
        "framing": {}, "face": {}, "folder": door.root,
        "files": {"picture": {"bytes": len(picture), "sha256": hashlib.sha256(picture).hexdigest()}},
    }  # fmt: skip
    return AvatarStore(door.settings.paths.avatars).save(
        AvatarProfile(**{**known, **changes}),
        {"picture": picture},
    )


def keep_voice(door: Door) -> Profile:
    profile = Profile(
        ProfileStore.words.new_id(), "Ben", "en", "2026-01-02T03:04:05+00:00", "Ben, by letter", date(2020, 1, 31),
        "command", {}, door.root,
    )  # fmt: skip
    return ProfileStore(door.settings.paths.profiles).save_profile(profile, b"RIFF\x00\x00\x00\x00WAVE")


def publish(door: Door, *voices: object) -> None:
    (door.settings.paths.outbox / ".avatard-voices").write_text(json.dumps({"voices": list(voices)}))


def test_an_avatar_is_shown_with_its_consent_and_as_a_picture_that_was_made_anew(door: Door) -> None:
    # Given a picture with something behind it that is no picture
    anna = keep_avatar(door, PORTRAIT.read_bytes() + b"<script>alert(1)</script>")
    page = door.open.get("/ui/avatars").body.decode()
    assert "Consent: Anna &lt;i&gt;agreed&lt;/i&gt;." in page
    assert "Speaks with heart." in page
    answer = door.open.get(f"/ui/avatars/{anna.id}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert b"script" not in answer.body
    assert max(Image.open(io.BytesIO(answer.body)).size) <= 480
    # And one whose consent has ended says so, and cannot be chosen
    keep_avatar(door, name="Old", expires=date(2020, 1, 31))
    page = door.open.get("/ui/avatars").body.decode()
    assert "expired on 2020-01-31" in page
    assert "avatar=Old" not in page
    assert "avatar=Anna" in page


def test_only_an_admin_removes_what_is_everybodys_and_is_asked_first(door: Door) -> None:
    anna, ben = keep_avatar(door), keep_voice(door)
    user, admin = signed_in(door, door.key("carl").key), signed_in(door, door.key("root", "admin").key)
    for place, one in (("avatars", anna), ("voices", ben)):
        path = f"/ui/{place}/{one.id}/remove"
        assert door.open.get(path, **user).status == post_form(door.open, path, {}, **user).status == 403
        assert f"Remove {one.name}" in door.open.get(path, **admin).body.decode()
        assert one.folder.exists()
        assert post_form(door.open, path, {}, **admin).headers["location"].startswith(f"../../{place}?said={one.name}")
        assert not one.folder.exists()
        assert door.open.get(path, **admin).status >= 400
    assert door.open.get("/ui/system/x/remove", **admin).status >= 400


def test_a_voice_tells_its_licence_and_whose_it_is_and_nobody_trusts_the_list(door: Door) -> None:
    ben = keep_voice(door)
    row = {**VOICE, "id": "xtts/Ben", "name": "Ben", "profile": True, "aliases": [ben.id], "description": "<b>Ben"}
    publish(
        door, VOICE, row, {**VOICE, "id": "piper/x", "installed": False, "lacking": "no model", "remedy": "Fetch it."}
    )
    page = door.open.get("/ui/voices").body.decode()
    assert "Apache 2.0" in page
    assert "Consent: Ben, by letter." in page
    assert "It ended on 2020-01-31." in page
    assert "&lt;b&gt;Ben" in page
    assert "Fetch it." in page
    assert f"voices/{ben.id}/recording" in page
    assert door.open.get(f"/ui/voices/{ben.id}/recording").headers["content-type"] == "audio/wav"
    assert "heart" not in door.open.get("/ui/voices?language=fr").body.decode()
    publish(door, "nothing", None, {"id": 7, "languages": "en", "aliases": 3})
    assert door.open.get("/ui/voices").status == 200
    (door.settings.paths.outbox / ".avatard-voices").write_text("[]")
    assert "not made yet" in door.open.get("/ui/voices").body.decode()


def test_how_often_a_voice_was_used_is_counted_by_each_of_its_names(door: Door) -> None:
    publish(door, {**VOICE, "aliases": ["vp-00000001"]})
    (card,) = voice_cards(door.settings, Uses(20, {"vp-00000001": 3}), Caller())
    assert card.used == "Used by 3 of the latest 20 jobs."
    assert Uses(1, {}).words("x") == "Not used by the latest job."
    assert Uses(0, {}).words("x") == ""


def test_a_new_avatar_is_a_job_and_what_was_typed_stays_where_it_is_refused(door: Door) -> None:
    parts = [("name", None, "Zoë".encode()), ("consent", None, b"<b>by letter"), ("expires", None, b"")]
    wrong = door.open.post_parts("/ui/avatars", *parts)
    page = wrong.body.decode()
    assert wrong.status == 422
    assert "No picture was chosen." in page
    assert 'value="Zoë"' in page
    assert "&lt;b&gt;by letter" in page
    made = door.open.post_parts("/ui/avatars", *parts, ("image", "zoe.png", PORTRAIT.read_bytes()))
    assert made.status == 303, made.body
    (manifest,) = door.manifests
    told = yaml.safe_load((door.inbox / manifest).read_text())
    assert (told["kind"], told["profile"]) == ("avatar", {"name": "Zoë", "consent": "<b>by letter"})
    wrong = door.open.post_parts("/ui/voices", *parts, ("audio", "zoe.txt", b"no sound"), ("language", None, b"xx-"))
    assert wrong.status in (415, 422)
    assert 'value="Zoë"' in wrong.body.decode()
    # And nothing is made of it by a key that may only read
    reader = signed_in(door, door.key("carl", "read").key)
    assert door.open.post_parts("/ui/avatars", *parts, Cookie=reader["Cookie"]).status >= 400


def test_the_system_is_for_admins_and_says_who_paused_what_and_why(door: Door) -> None:
    Spool(door.settings.paths.spool).create()
    Pauses(door.settings.paths.spool / "paused.json").begin("lanes", Pause("anna", "new <b>disk", time.time() - 120))
    page = door.open.get("/ui/system").body.decode()
    assert "The service is stopped." in page
    assert "was paused by anna 2 min ago" in page or "was paused by anna 120 s ago" in page
    assert "new &lt;b&gt;disk" in page
    assert "GPUs" not in page or "NVIDIA" in page  # what is not there is absent
    svg = door.open.get("/ui/system/last-hour.svg")
    assert svg.body.startswith(b"<svg")
    assert "sandbox" in svg.headers["content-security-policy"]
    # And a pause that is ordered, or ended, is a request to the daemon
    said = post_form(door.open, "/ui/system/pause", {"scope": "intake", "reason": "why", "for": "900"}).headers[
        "location"
    ]
    assert said.startswith("../system?said=The%20daemon%20does%20not%20run")
    asked = [json.loads(path.read_bytes()) for path in (door.settings.paths.spool / "control").glob("*.json")]
    assert [(one["op"], one["scope"], one["reason"], one["for_s"]) for one in asked] == [
        ("pause", "intake", "why", 900.0)
    ]
    user = signed_in(door, door.key("carl").key)
    for path in ("/ui/system", "/ui/system/live", "/ui/system/last-hour.svg"):
        assert door.open.get(path, **user).status == 403
    for path in ("/ui/system/pause", "/ui/system/resume", "/ui/system/doctor"):
        assert post_form(door.open, path, {}, **user).status == 403


def test_folders_on_one_disk_are_told_together_and_one_that_is_too_full_as_such(door: Door) -> None:
    (disk,) = disks_of(door.settings)
    assert disk.name == "inbox, spool and outbox"
    assert not disk.low
    intake = door.settings.intake.model_copy(update={"reserve_mb": disk.total})
    (disk,) = disks_of(door.settings.model_copy(update={"intake": intake}))
    assert disk.low


def test_a_spool_that_may_not_be_seen_is_said_to_be(door: Door) -> None:
    door.settings.paths.spool.rmdir()
    with pytest.raises(MachineError, match="may not look"):
        last_hour_svg(door.settings)
