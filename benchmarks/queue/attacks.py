"""How long the daemon's loop stands still at most while one member of the drop group attacks it, and what the others notice.

    python -m benchmarks.queue.attacks [ROUNDS]        as root, which it must be to start processes of other users

The attacks are those of tests/support/machine/attackers.py, at random. The goal is 1 s; a busy machine adds what it takes from
the loop, so the same is measured without attacks in the same run.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.machine import attackers
from tests.support.machine.other_users import STRANGER, Shared, start, unavailable

JOBS = 10


def measure(rounds: int, *, sticky: bool) -> None:
    """Attack one daemon `rounds` times (0: not at all), and print its stalls and what the others' jobs waited.

    `sticky`: whether the inbox has the sticky bit, so that members cannot rename each other's files.
    """
    root = Path(tempfile.mkdtemp(prefix="avatard-attacks-"))
    one = Shared(root, sticky=sticky)
    try:
        one.start()
        port = json.loads((one.spool / "metrics.json").read_bytes())["port"]
        seed = time.time_ns() % 2**32
        kinds: Counter[str] = Counter()
        waits = []
        with start(
            STRANGER, attackers.__file__, str(one.inbox), str(one.outside), str(port), str(seed), str(rounds)
        ) as attacker:
            assert attacker.stdout is not None
            for number in range(JOBS):
                kinds.update(attacker.stdout.readline().strip() for _ in range(rounds // JOBS))
                began = time.monotonic()
                one.hand_in(f"job{number}")
                assert one.finished(f"job{number}")["state"] == "done"
                waits.append(time.monotonic() - began)
            attacker.kill()
        stall, turns = one.metric("avatar_loop_longest_stall_seconds"), one.metric("avatar_loop_turns_total")
        waits.sort()
        print(
            f"{'sticky' if sticky else 'not sticky':>10}, {rounds:>4} rounds, seed {seed}: longest stand-still {stall:.3f} s "
            f"in {turns:.0f} looks; a job of others took {waits[len(waits) // 2]:.1f} s (median), {waits[-1]:.1f} s at most"
        )
        if kinds:
            print("            " + ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
        one.stop()
    finally:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        shutil.rmtree(root)


def main() -> None:
    """Measure inboxes with and without the sticky bit, each without attacks and with them.

    Raises:
        SystemExit: this process may not start processes of other users.
    """
    if why := unavailable():
        sys.exit(f"not here: {why}")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for sticky in (True, False):
        measure(0, sticky=sticky)
        measure(rounds, sticky=sticky)


if __name__ == "__main__":
    main()
