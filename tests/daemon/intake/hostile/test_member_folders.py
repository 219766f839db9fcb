"""One member of the drop group against all, in the folders of the outbox: a real daemon, and other users."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATIENCE_S, wait_for
from tests.support.machine import deep_folders
from tests.support.machine.other_users import PERSON, STRANGER, Shared, start, unavailable

#: Folder and files of the attacker; only their owner may remove or replace a file in a sticky folder.
EXCHANGE = """
import os, pathlib
outbox = pathlib.Path({outbox!r})
os.umask(0)
statuses = {{path.name: path.read_bytes() for path in (outbox / "anna").glob("*.json")}}
(outbox / "anna").rename(outbox / "away")
(outbox / "anna").mkdir()
for name, data in statuses.items():
    (outbox / "anna" / name).write_bytes(data)
(outbox / "anna").chmod(0o1777)
"""


@pytest.fixture
def shared() -> Iterator[Shared]:
    if why := unavailable():
        pytest.skip(why)
    root = Path(tempfile.mkdtemp(prefix="avatard-folders-"))  # pytest's own folders are closed to other users
    one = Shared(root, sticky=True)
    one.config.write_text(one.config.read_text().replace("companion_wait_s: 1.0", f"companion_wait_s: {PATIENCE_S}"))
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()
    subprocess.run(["rm", "-rf", str(root)], check=True)


def run(uid: int, script: str) -> None:
    with start(uid, "-c", script) as process:
        assert process.wait() == 0


def put(shared: Shared, uid: int, **files: str) -> None:
    """Put files into the folder `anna` of the inbox; __ stands for the dot."""
    script = f"import os, pathlib\nos.umask(0)\nfolder = pathlib.Path({str(shared.inbox / 'anna')!r})\n"
    script += "folder.mkdir(exist_ok=True)\n"
    for name, content in files.items():
        script += f"(folder / {name.replace('__', '.')!r}).write_text({content!r})\n"
    run(uid, script)


def end_of(shared: Shared, stem: str) -> str:
    """Wait until a job has ended, wherever its status is."""

    def look() -> str | None:
        for path in (*shared.outbox.glob(f"{stem}-job-*.json"), shared.outbox / "anna" / f"{stem}.json"):
            status = shared.status(str(path.relative_to(shared.outbox).with_suffix("")))
            if status and status["state"] in ("done", "cancelled", "failed"):
                return f"{path.relative_to(shared.outbox).parent} {status['state']}"
        return None

    return wait_for(f"the end of {stem}", look)


def test_a_folder_exchanged_for_a_sticky_one_stops_nobody(shared: Shared) -> None:
    # Given a daemon with jobs that are held and a manifest that waits
    shared.start()
    speech = "kind: speech\ntext: Hello.\n"
    put(shared, STRANGER, waits__yaml="kind: detect\nimage: nothing.png\n")
    put(shared, STRANGER, goes__yaml=speech, stops__yaml=speech, goes__hold="", stops__hold="")
    shared.reaches("anna/waits", "waiting")
    for name in ("goes", "stops"):
        shared.reaches(f"anna/{name}", "held")
    # When a member puts a sticky folder with files of its own in the place of theirs, and they go on
    run(STRANGER, EXCHANGE.format(outbox=str(shared.outbox)))
    put(shared, PERSON, stops__cancel="", goes__release="")
    assert end_of(shared, "stops") == ". cancelled"
    assert end_of(shared, "goes") == ". done"
    assert (shared.outbox / "anna" / "goes.wav").exists()
    run(STRANGER, f"import os\nos.unlink({str(shared.inbox / 'anna' / 'waits.yaml')!r})\n")
    wait_for("the manifest to be forgotten", lambda: not list((shared.spool / "waiting").glob("*.json")))
    # Then others go on, also after a restart, whatever lies in the outbox
    shared.hand_in("before")
    assert shared.finished("before")["state"] == "done"
    assert shared.stop() == 0
    run(STRANGER, f"path = {str(shared.outbox / '.job-evil.tmp')!r}\n{deep_folders.SCRIPT}")
    shared.start()
    shared.hand_in("after")
    assert shared.finished("after")["state"] == "done"
    for fault in ("intake failed", "lane step failed", "lane paused", "task failed"):
        assert shared.events(fault) == []
    assert shared.stop() == 0
