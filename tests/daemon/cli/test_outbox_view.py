"""People who may drop jobs and take results, and see nothing else of the service: what the outbox tells them."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.outbox.outbox import VOICES, VOICES_PAGE
from stages.tts.profile_store import Profile, ProfileStore
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.intake import SPEECH
from tests.support.machine.people import ANNA, BERT, avatar_as, give

JOB = "job-20260102T030405Z-00000001"


@pytest.fixture
def service(strangers_folder: Path) -> Iterator[Installation]:
    """An installation with the modes of the installed service; its daemon is not started, and ended at the end."""
    state = strangers_folder / "state"
    state.mkdir(mode=0o750)
    paths = {name: f"state/{name}" for name in ("spool", "models", "cache", "profiles")}
    one = Installation(strangers_folder, paths=paths, intake={"voices_page": True})
    one.spool = state / "spool"
    give(one.inbox, 0o3770, uid=0)
    give(one.outbox, 0o2770, uid=0)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def published(one: Installation) -> list[dict[str, Any]]:
    try:
        voices: list[dict[str, Any]] = json.loads((one.outbox / VOICES).read_bytes())["voices"]
    except FileNotFoundError:
        return []
    return voices


def test_the_list_of_voices_is_published_and_follows_what_changes(service: Installation) -> None:
    # Given a service / Then its list is in the outbox, and Anna, who may not read the models, gets it
    service.start()
    wait_for("the list", lambda: published(service))
    ours = json.loads(service.avatar("voice", "list", "--json").stdout)
    told = avatar_as(ANNA, service, "voice", "list", "--json")
    assert json.loads(told.stdout) == ours == published(service)
    assert "this is the list that the daemon published" in told.stderr
    assert "hibari/heart" in avatar_as(ANNA, service, "voice", "list", "--language", "en-US").stdout
    # And people can read it
    page = (service.outbox / VOICES_PAGE).read_text()
    assert "    heart: American English, female" in page
    assert "German (language: de)\n" in page
    assert "`avatar models fetch piper/de_DE-thorsten-medium`" in page
    # When a profile is kept / Then it is in the list, by name and id, and nothing else of it
    profile = Profile(
        "vp-0123abcd", "Ada", "es", "2026-01-02T03:04:05Z", "said so", None, "command", {}, service.root
    )  # fmt: skip
    ProfileStore(service.root / "state" / "profiles").save_profile(profile, b"RIFF")
    row = wait_for("the profile", lambda: next((row for row in published(service) if row["profile"]), None))
    assert (row["name"], row["aliases"], row["languages"][0]) == ("Ada", ["vp-0123abcd"], "es")
    assert "said so" not in (service.outbox / VOICES).read_text()
    # When somebody puts something else in its place / Then it is made good
    (service.outbox / VOICES).unlink()
    (service.outbox / VOICES).symlink_to("/dev/null")
    wait_for("the list again", lambda: not (service.outbox / VOICES).is_symlink() and published(service))


def test_who_may_only_drop_hears_voices_and_sees_jobs(service: Installation) -> None:
    service.start()
    wait_for("the list", lambda: published(service))
    # When Anna tries a voice / Then the service says it, and the outbox is as it was
    folder = service.root / "anna"
    folder.mkdir()
    give(folder, 0o755, uid=ANNA)
    told = avatar_as(ANNA, service, "voice", "speak", "heart", "Hello.", "-o", str(folder / "hello.wav"))
    assert told.returncode == 0, told.stderr
    assert "a job is handed in" in told.stderr
    assert (folder / "hello.wav").read_bytes()[:4] == b"RIFF"
    assert [path.name for path in service.outbox.glob("[!.]*")] == [VOICES_PAGE]
    # When she hands in jobs / Then she sees how they stand, by name and id
    for name, manifest in {"good": SPEECH, "bad": "kind: speech\ntext: '???'\n"}.items():
        service.drop(f"{name}.yaml", manifest)
        service.finished(name)
    service.drop("late.yaml", {"kind": "detect", "image": "gone.png"})
    service.reaches("late", "waiting")
    told = avatar_as(ANNA, service, "jobs", "list")
    rows = {line.split("\t")[1]: line.split("\t") for line in told.stdout.splitlines()}
    assert {name: (row[2], row[5]) for name, row in rows.items()} == {
        "good": ("done", "-"), "bad": ("failed", "text-unspeakable"), "late": ("waiting", "waits for gone.png"),
    }  # fmt: skip
    assert told.stderr.count("\n") == 1
    assert json.loads(avatar_as(ANNA, service, "jobs", "list", "--json", "--state", "done").stdout)[0]["name"] == "good"
    for wanted in ("bad", rows["bad"][0]):
        shown = json.loads(avatar_as(ANNA, service, "jobs", "show", wanted, "--json").stdout)
        assert shown["error"]["code"] == "text-unspeakable"
    assert avatar_as(ANNA, service, "jobs", "show", "nobody").returncode == 3
    # But not who is in no group of the service's
    assert avatar_as(BERT, service, "jobs", "list", gid=BERT).returncode == 77
    # And she is told how to cancel one
    told = avatar_as(ANNA, service, "jobs", "cancel", "late")
    assert (told.returncode, "late.cancel in the inbox" in told.stderr) == (77, True)
    # And whether the daemon runs, by what it answers
    port = json.loads((service.spool / "metrics.json").read_bytes())["port"]
    settings = yaml.safe_load(service.config.read_bytes())
    service.config.write_text(yaml.safe_dump({**settings, "metrics": {"port": port}}))
    told = avatar_as(ANNA, service, "status")
    assert (told.returncode, "answers: ok" in told.stdout, "1 failed or cancelled, 1 done" in told.stdout) == (
        0,
        True,
        True,
    )
    assert "answers: ok" in avatar_as(ANNA, service, "top", "--once").stdout
    assert service.stop() == 0
    assert avatar_as(ANNA, service, "status").returncode == 69


DEEP = '{"a":' * 900 + "1" + "}" * 900
HOSTILE = {
    "link": None,
    "deep": "[" * 100_000,
    "deeper": f'{{"name": "deeper", "state": "done", "job": "{JOB}", "metadata": {DEEP}}}',
    "list": "[1]",
    "state": json.dumps({"name": "state", "state": ["done"], "job": JOB}),
    "other": json.dumps({"name": "good", "state": "done", "job": JOB}),
    "kinds": json.dumps(
        {"name": "kinds", "state": "running", "job": JOB, "stage": "tts", "progress": "x", "eta_s": 1e300, "error": 7,
         "waiting_for": "abc", "accepted": "2026-13-77T00:00:00Z", "finished": 3}
    ),
    "queued": json.dumps({"name": "queued", "state": "queued", "job": JOB, "stage": "tts", "accepted": "yesterday"}),
    "escape": json.dumps({"name": "escape", "state": "failed", "job": JOB, "error": {"code": "\x1b[2J\x9b2J"}}),
}  # fmt: skip


def test_nothing_in_the_outbox_breaks_or_fools_who_looks(service: Installation) -> None:
    # Given statuses that people made up, and a list of voices of theirs
    for name, text in HOSTILE.items():
        path = service.outbox / f"{name}.json"
        path.symlink_to(service.config) if text is None else path.write_text(text)
    os.mkfifo(service.outbox / "pipe.json")
    # Then every command comes to its end, shows what could be ours, and moves nobody's cursor
    told = avatar_as(ANNA, service, "jobs", "list")
    assert told.returncode == 0, told.stderr
    shown = {line.split("\t")[1] for line in told.stdout.splitlines()}
    assert {"kinds", "queued", "escape"} <= shown <= {"kinds", "queued", "escape", "deeper"}
    for command in (
        ["jobs", "list"],
        ["jobs", "list", "--json"],
        ["status"],
        ["top", "--once"],
        ["jobs", "show", "escape"],
    ):
        told = avatar_as(ANNA, service, *command)
        assert told.returncode == 0, told.stderr
        assert not {"\x1b", "\x9b"} & set(told.stdout), command
    voice: dict[str, Any] = {
        "id": "hibari/\x1b[2J", "name": "\nheart", "engine": "hibari", "languages": [], "gender": None, "licence": "x",
        "profile": True, "aliases": [], "installed": True, "lacking": None, "remedy": None,
    }  # fmt: skip
    (service.outbox / VOICES).write_text(json.dumps({"at": "\x1b", "voices": [voice]}))
    told = avatar_as(ANNA, service, "voice", "list")
    assert told.stdout.startswith("hibari/\\x1b[2J  installed")
    assert "\x1b" not in told.stderr
    for text in (None, "[" * 100_000, "[]", '{"voices": 1}', json.dumps({"voices": [{**voice, "languages": "en"}]})):
        (service.outbox / VOICES).unlink()
        (service.outbox / VOICES).symlink_to(service.config) if text is None else (service.outbox / VOICES).write_text(
            text
        )
        told = avatar_as(ANNA, service, "voice", "list")
        assert (told.returncode, "There is no list of voices" in told.stderr) == (77, True), told.stderr


def test_who_may_not_keep_a_face_on_the_machine_is_told_how_the_service_does_it(service: Installation) -> None:
    service.start()
    portrait = service.root / "portrait.png"
    portrait.write_bytes(PORTRAIT.read_bytes())
    portrait.chmod(0o644)
    # When Anna would make an avatar herself / Then it is said that she may not, before any work
    told = avatar_as(ANNA, service, "avatar", "add", str(portrait), "--name", "Anna B")
    assert (told.returncode, "may not write" in told.stderr, "Traceback" in told.stderr) == (77, True, False), (
        told.stderr
    )
    # And what she is told to do instead makes it
    (command,) = re.findall(r"`avatar (submit [^`]+)`", told.stderr)
    told = avatar_as(ANNA, service, *shlex.split(command), "--json")
    assert json.loads(told.stdout)["state"] == "done", told.stderr
    assert [json.loads(path.read_text())["name"] for path in service.outbox.glob("*.avatar.json")] == ["Anna B"]
    # A voice, too
    told = avatar_as(ANNA, service, "voice", "clone", "Anna", str(portrait))
    assert "`avatar submit --audio" in told.stderr
