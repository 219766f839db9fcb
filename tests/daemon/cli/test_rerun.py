"""`avatar jobs rerun`: an earlier job again, with what is to be different."""

from __future__ import annotations

import json

from tests.conftest import Installation
from tests.support.daemon.ledger import sound


def test_an_earlier_job_is_made_again_with_what_is_different(house: Installation) -> None:
    # Given a job that is done, whose file is gone from the inbox
    (house.root / "a.wav").write_bytes(sound(0.4))
    house.avatar("submit", "--audio", "a.wav", "--set", "kind=speech", "--name", "hello", "--wait")
    for file in house.inbox.glob("*.wav"):
        file.unlink()
    # When it is made again / Then it has a name of its own, the same sound, and what was set
    told = json.loads(
        house.avatar(
            "jobs", "rerun", "hello", "--set", "title=Again", "--set", "format=flac", "--wait", "--json"
        ).stdout
    )
    before = house.status("hello") or {}
    assert (told["state"], told["name"], told["base"]) == ("done", "hello-v2", before["job"])
    assert (house.outbox / "hello-v2.flac").exists()
    # And that one again, by its file
    listed = house.avatar("jobs", "rerun", str(house.outbox / "hello-v2.flac"), "--wait").stdout
    assert listed.split()[-1] == str(house.outbox / "hello-v3.flac")
    # And the first one once more: the names of its versions are taken
    told = json.loads(house.avatar("jobs", "rerun", "hello", "--wait", "--json").stdout)
    assert told["name"] == "hello-v4"
    # And what cannot be is told, and hands in nothing
    wrong = house.avatar("jobs", "rerun", "hello", "--set", "fps=31", code=1).stderr
    assert "not “31” (--set fps)" in wrong
    wrong = house.avatar("jobs", "rerun", "hello", "--set", "unknown=1", code=1).stderr
    assert "`unknown` is not a known key (--set unknown)" in wrong
    assert "is missing" not in wrong  # the earlier job has it
    assert "There is no job nobody" in house.avatar("jobs", "rerun", "nobody", code=3).stderr
    assert not list(house.inbox.glob("*.yaml"))
