"""Input made to do harm, before a whole daemon: nothing reaches a shell, nothing outside is read, and the daemon lives on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.ledger import sound
from tests.support.daemon.secret_file import unread

SHELL = "$(touch {0}) `touch {0}`; touch {0} | touch {0} && touch {0} {{\\fs99}} %d ' \" \\N [in] -y"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is read out in a few seconds."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def test_nothing_reaches_a_shell_and_the_daemon_outlives_it_all(
    installation: Callable[..., Installation], canary: Path, tmp_path: Path, short_folder: Path
) -> None:
    # Given a daemon, and requests to it that are none
    one = installation(intake={"companion_wait_s": 1.0, "scan_s": 0.5})
    one.start()
    requests = one.spool / "control"
    (requests / "link.json").symlink_to(canary)
    (requests / "dangling.answer").symlink_to("/nowhere")
    (requests / "folder.json").mkdir()
    os.mkfifo(requests / "pipe.json")
    (requests / "deep.json").write_text("[" * 60_000)
    (requests / "huge.json").write_bytes(b"[" + b"0," * 100_000 + b"0]")
    (requests / "number.json").write_text('{"op": 1e999, "job": [{}], "by": "\\ud800"}')
    (requests / ("n" * 250 + ".json")).write_text("{}")
    (requests / "blocked.json").write_text('{"op": "cancel", "job": "../../x"}')
    (requests / "blocked.answer").mkdir()
    # And a job with commands in every field that is free text, and names of the same kind
    pwned = short_folder / "pwned"
    words = SHELL.format(pwned)
    (one.inbox / "$(touch x).png").write_bytes(PORTRAIT.read_bytes())
    fields = {"text": f"Hello. {words}", "image": "$(touch x).png", "size": "256x256", "captions": "burn"}
    output = "; touch x | $(touch x) `touch x` 'q' \"q\""
    one.drop("-i $(touch x).yaml", {**fields, "output": output, "metadata": {words: words}, "voice": "heart"})
    one.drop("voice.yaml", {"kind": "speech", "text": "Hello.", "voice": words[:100]})
    # And sounds that are scripts, which would have ffmpeg open other files
    scripts = {
        "concat.wav": f"ffconcat version 1.0\nfile '{canary}'\n",
        "list.wav": f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nfile://{canary}\n#EXT-X-ENDLIST\n",
        "meta.wav": ";FFMETADATA1\ntitle=x\n",
        "sdp.wav": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    }
    for name, content in scripts.items():
        (one.inbox / name).write_text(content)
        one.drop(f"{name}.yaml", {"kind": "speech", "audio": name})
    # And a link under the part's name of a delivery, and folders where the status is to be
    (one.inbox / "s.wav").write_bytes(sound(0.4))
    one.drop("good.yaml", {"kind": "speech", "audio": "s.wav"})
    # Then each comes to its end
    for name in scripts:
        assert one.finished(name)["error"]["code"] == "audio-unreadable"
    assert one.finished("voice")["error"]["code"] == "voice-unknown"
    assert one.finished("good")["state"] == "done"
    hostile = wait_for(
        "the hostile job", lambda: next((s for s in statuses(one) if s.get("metadata") == {words: words}), None)
    )
    wait_for("its end", lambda: (one.status(hostile["name"]) or {})["state"] in ("done", "failed"))
    assert one.status(hostile["name"])["state"] == "done", one.status(hostile["name"])  # type: ignore[index]
    # And every request was answered or cleared, nothing ran, nothing was read, and the daemon was never in trouble
    wait_for("the requests", lambda: not list(requests.glob("*.json")))
    assert one.process is not None
    assert one.process.poll() is None
    assert one.stop() == 0
    assert not pwned.exists()
    assert not list(tmp_path.rglob("x"))
    unread(one.outbox, one.spool)
    assert one.events("subscriber failed") + one.events("intake failed") + one.events("lane step failed") == []
    assert one.ready_lines() == 1


def statuses(one: Installation) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in one.outbox.glob("*.json")]


def exchange_for_a_folder(path: Path) -> None:
    """Put a full folder in the place of a file, which its owner may write again just now."""
    while not path.is_dir():
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            (path / "full").mkdir(parents=True)


def test_folders_planted_where_statuses_and_parts_are_to_be_cost_no_job_its_end(
    installation: Callable[..., Installation],
) -> None:
    # Given a job that is held back while somebody works on the outbox
    one = installation(retry={"first_delay_s": 0.05, "attempts": 3})
    (one.inbox / "s.wav").write_bytes(sound(0.4))
    one.start()
    one.drop("a.yaml", {"kind": "speech", "audio": "late.wav"})
    status = one.reaches("a", "waiting")
    # When its status is exchanged for a folder, and folders and links lie under the names of its parts
    exchange_for_a_folder(one.outbox / "a.json")
    (one.outbox / f".{status['job']}.wav.part" / "full").mkdir(parents=True)
    (one.outbox / "a.wav").symlink_to("/etc/passwd")
    (one.inbox / "s.wav").rename(one.inbox / "late.wav")
    # Then it is delivered under a free name
    wait_for("the job to rest", lambda: one.jobs("done"))
    (path,) = one.outbox.glob("a-*.wav")  # by its name, or by its id where the status was exchanged later
    assert path.read_bytes()[:4] == b"RIFF"
    assert os.readlink(one.outbox / "a.wav") == "/etc/passwd"
    assert one.events("lane step failed") == []
    assert one.stop() == 0
