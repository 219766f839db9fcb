"""`avatar submit`: whatever is typed, a job is handed in whole, or one sentence says why not and nothing is left in the inbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import PORTRAIT, Installation
from tests.daemon.ledger import sound

IMAGE = ("--image", str(PORTRAIT))


@pytest.mark.parametrize(
    ("args", "said", "code"),
    [
        (["Hello.", *IMAGE, "--name", "a/b"], "'a_b' can", 2),
        (["Hello.", *IMAGE, "--name", ".x"], "'x' can", 2),
        (["Hello.", *IMAGE, "--name", "n" * 255], f"'{'n' * 180}' can", 2),
        (["Hello.", *IMAGE, "--name", "~$x"], "'x' can", 2),
        (["Hello.", *IMAGE, "--name", ""], "'job' can", 2),
        (["Hello.", *IMAGE, "--set", "output="], "'output=' has no value", 2),
        (["Hello.", *IMAGE, "--set", "=x"], "is not KEY=VALUE", 2),
        (["Hello.", *IMAGE, "--set", "motion=0", "--set", "motion.head=1"], "motion has a value already", 2),
        (["Hello.", *IMAGE, "--set", "motion.head=1", "--set", "motion=0"], "keys below motion are set already", 2),
        (["Hello.", *IMAGE, "--set", "motion=0"], "motion", 1),
        (["Hello.", *IMAGE, "--set", "output=a/b"], "without folders", 1),
        (["", *IMAGE], "text", 1),
        (["Hello."], "--image FILE", 2),
        ([*IMAGE], "--audio FILE", 2),
    ],
    ids=lambda value: " ".join(value[-2:])[:40] if isinstance(value, list) else None,
)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    installation: Callable[..., Installation], args: list[str], said: str, code: int
) -> None:
    one = installation()
    told = one.avatar("submit", *args, code=code).stderr
    assert said in told
    assert "Traceback" not in told
    assert list(one.inbox.iterdir()) == []


def test_a_sound_can_be_handed_in_in_place_of_a_text(house: Installation) -> None:
    (house.root / "My Voice.WAV").write_bytes(sound(0.4))
    told = house.avatar("submit", "--audio", "My Voice.WAV", "--set", "kind=speech", "--wait", "--json").stdout
    assert json.loads(told)["state"] == "done"


def test_a_job_with_an_output_of_its_own_is_waited_for_under_that_name(house: Installation) -> None:
    told = house.avatar("submit", "Hello.", "--set", "kind=speech", "--set", "output=greeting", "--wait").stdout
    assert told.split() == [str(house.outbox / "greeting.wav")]
    # And a name that is taken is not handed in a second time
    again = house.avatar("submit", "Hello.", "--set", "kind=speech", "--set", "output=greeting", code=1)
    assert "greeting is in use already" in again.stderr


def test_submits_at_the_same_time_hand_in_one_job_each_and_none_replaces_another(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given many who hand in the same large picture at once, half of them under one and the same name
    one = installation()
    picture = tmp_path / "large.png"
    picture.write_bytes(PORTRAIT.read_bytes() + bytes(30_000_000))
    command = [sys.executable, "-m", "daemon.cli", "--config", str(one.config), "submit"]
    names = ["same"] * 3 + [f"own{number}" for number in range(3)]
    running = [
        subprocess.Popen(
            [*command, f"Text {number}.", "--image", str(picture), "--name", name],
            cwd=one.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(names)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in running]
    # Then one has the name, the others were told so, and the picture is whole and there once
    assert sorted(code for _, code in ends[:3]) == [0, 1, 1], ends
    assert all("in use already" in told for told, code in ends[:3] if code)
    assert [code for _, code in ends[3:]] == [0, 0, 0], ends
    manifests = [yaml.safe_load(path.read_text()) for path in one.inbox.glob("*.yaml")]
    assert len(manifests) == 4
    (shared,) = {manifest["image"] for manifest in manifests}
    assert (one.inbox / shared).read_bytes() == picture.read_bytes()
    assert len(list(one.inbox.iterdir())) == 5
