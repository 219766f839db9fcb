"""An outbox on a share that goes away: nothing is put where nobody would look for it, and nothing is lost."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.errors import MachineError
from tests.conftest import Installation, wait_for
from tests.support.daemon.intake import Room

Mount = Callable[[Path], None]


def test_results_wait_for_an_outbox_that_is_not_mounted(
    installation: Callable[..., Installation], mounted: Mount, tmp_path: Path
) -> None:
    # Given an outbox on a share, a job that waits for its turn, and one that is on its way
    share = tmp_path / "share"
    share.mkdir()
    mounted(share)
    one = installation()
    bind = ["mount", "--bind", str(share), str(one.outbox)]
    subprocess.run(bind, check=True)
    try:
        one.start()
        one.avatar("pause")
        one.drop("hello.yaml", {"kind": "speech", "text": "Good morning."})
        job = one.reaches("hello", "queued")["job"]
        # When the share goes away and the work goes on
        subprocess.run(["umount", str(one.outbox)], check=True)
        one.avatar("resume")
        one.drop("late.yaml", {"kind": "speech", "text": "Good evening."})
        # Then the delivery and the intake pause and say why, and nothing lies where the share should be
        for lane in ("cpu", "intake"):
            wait_for(f"{lane} to pause", functools.partial(is_paused, one, lane))
        assert "The outbox" in one.avatar("status").stdout
        assert list(one.outbox.iterdir()) == []
        assert one.jobs("done") == []
        # And after a restart it is still so
        one.kill()
        one.launch()
        wait_for("the new daemon to pause", lambda: paused(one).count(("intake", "outbox-missing")) >= 2)
        assert list(one.outbox.iterdir()) == []
        # When the share is back / Then both are delivered there
        subprocess.run(bind, check=True)
        assert one.finished("hello")["job"] == job
        assert one.finished("late")["state"] == "done"
        assert {path.name for path in share.glob("*.wav")} == {"hello.wav", "late.wav"}
        assert one.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(one.outbox)], capture_output=True, check=False)


def is_paused(one: Installation, lane: str) -> bool:
    return (lane, "outbox-missing") in paused(one)


def paused(one: Installation) -> list[tuple[str, str]]:
    return [(line["lane"], line["code"]) for line in one.events("lane paused")]


def test_another_folder_in_the_place_of_the_outbox_is_refused_until_a_person_says_so(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.look()
    mark = room.outbox / ".avatard"
    assert json.loads((room.spool.root / "outbox.json").read_bytes())["id"] == mark.read_text().strip()
    room.outbox.rename(tmp_path / "old")
    room.outbox.mkdir()
    mark.write_text("somebody-elses\n")
    room.put("a.yaml")
    with pytest.raises(MachineError, match="another folder") as caught:
        room.look()
    assert caught.value.code == "outbox-missing"
    # When an operator marks it as the right one, it goes on; an outbox that was emptied with its mark does so by itself
    mark.write_text("")
    assert [job.name for job in room.settle()] == ["a"]
    mark.unlink()
    room.put("b.yaml")
    assert [job.name for job in room.settle()] == ["b"]
