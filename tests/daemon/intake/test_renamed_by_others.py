"""What another user renames into the inbox, of a daemon that may not ask the kernel about that user's files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.daemon.ledger import sound
from tests.support.machine.other_users import PERSON, Shared, start, unavailable

#: Longer than any test may take, in s.
NEVER_S = 10**6

HAND_IN = (
    f"""
SOUND = {sound(0.4)!r}
"""
    + """
import pathlib, sys
folder, inbox, name = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
manifest = f"kind: speech\\naudio: {name}.wav\\n".encode()
for file, content in ((f"{name}.wav", SOUND), (f"{name}.yaml", manifest)):
    temporary = folder / f".{file}.tmp"
    temporary.write_bytes(content)
    temporary.rename(inbox / file)
"""
)


@pytest.fixture
def shared() -> Iterator[Shared]:
    if why := unavailable():
        pytest.skip(why)
    root = Path(tempfile.mkdtemp(prefix="avatard-renamed-"))  # pytest's own folders are closed to other users
    one = Shared(root, sticky=True)
    config = yaml.safe_load(one.config.read_text())
    config["intake"] |= {"settle_s": NEVER_S, "settle_unknown_s": NEVER_S, "companion_wait_s": NEVER_S}
    one.config.write_text(yaml.safe_dump(config))
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()
    shutil.rmtree(root)


def hand_in(one: Shared, folder: Path, name: str) -> None:
    with start(PERSON, "-c", HAND_IN, str(folder), str(one.inbox), name) as process:
        assert process.wait() == 0


def test_only_what_was_seen_to_be_closed_is_whole_by_its_rename(shared: Shared) -> None:
    elsewhere = shared.root / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    shared.start()
    # Given files that were written elsewhere, where somebody may still write to them, and moved in
    hand_in(shared, elsewhere, "moved")
    # When others are written in the inbox and renamed there / Then they need no settling
    hand_in(shared, shared.inbox, "renamed")
    assert shared.finished("renamed")["state"] == "done"
    # And the others settle, as what was closed in the inbox
    assert sorted(path.name for path in shared.inbox.glob("moved.*")) == ["moved.wav", "moved.yaml"]
    assert shared.status("moved") is None
    assert shared.stop() == 0
