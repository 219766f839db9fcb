"""One member of the drop group against all: random attacks on a daemon of another user, with a ledger of the others' jobs."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_for
from tests.support.endurance import repeats
from tests.support.machine import attackers
from tests.support.machine.other_users import CANARY, STRANGER, Shared, start, unavailable

ROUNDS, JOBS = repeats("AVATAR_ATTACKS", 8, 120), repeats("AVATAR_ATTACKED_JOBS", 2, 8)


@pytest.fixture(params=[True, False], ids=["sticky", "not sticky"])
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    if why := unavailable():
        pytest.skip(why)
    root = Path(tempfile.mkdtemp(prefix="avatard-attacks-"))  # pytest's own folders are closed to other users
    one = Shared(root, sticky=request.param)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()
    shutil.rmtree(root)


def turns(shared: Shared) -> float:
    return shared.metric_or_none("avatar_loop_turns_total") or 0.0


def turned(shared: Shared, before: float) -> None:
    """Wait until the daemon's loop has turned since it was looked at."""
    wait_for("the loop to turn", lambda: turns(shared) > before)


def test_random_attacks_cost_the_others_nothing(shared: Shared) -> None:
    # Given a daemon, and an attacker at work
    shared.start()
    port = json.loads((shared.spool / "metrics.json").read_bytes())["port"]
    seed = int.from_bytes(os.urandom(4))
    command = [str(shared.inbox), str(shared.outside), str(port), str(seed), str(ROUNDS)]
    outside = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_ino) for path in shared.outside.iterdir())
    done: list[str] = []
    with start(STRANGER, attackers.__file__, *command) as attacker:
        assert attacker.stdout is not None
        for number in range(JOBS):
            # When somebody else drops jobs in between, of which each must be answered before the attacks go on
            done += [attacker.stdout.readline().strip() for _ in range(ROUNDS // JOBS)]
            before = turns(shared)
            shared.hand_in(f"job{number}")
            status = shared.finished(f"job{number}")
            assert status["state"] == "done", (seed, done, status)
            turned(shared, before)
        attacker.kill()
    # Then each came to its end once, and nothing outside was read, written or moved
    after = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_ino) for path in shared.outside.iterdir())
    assert after == outside, (seed, done)
    assert (shared.outside / "canary").read_text() == CANARY
    results = sorted(path.name for path in shared.outbox.glob("job[0-9]*.wav"))
    assert results == [f"job{number}.wav" for number in range(JOBS)], (seed, done)
    leaked = [path for path in shared.outbox.iterdir() if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert leaked == []
    for fault in ("intake failed", "lane step failed", "subscriber failed", "control failed"):
        assert shared.events(fault) == [], (seed, done)
    assert shared.stop() == 0, shared.log.read_text()[-4000:]
