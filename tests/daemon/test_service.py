"""The daemon as people meet it: drop files, send signals, read the outbox."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemon.config import Settings
from daemon.intake.claims.claims import Claims
from daemon.service import Service
from daemon.workers.lane import Lane
from tests.conftest import PATIENCE_S, PORTRAIT, Installation, wait_for
from tests.support.daemon.worker_seam import Gates

SPEECH = {"kind": "speech", "text": "Good morning."}
VIDEO = {"text": "Hello there.", "image": "p.png", "size": "256x256"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One daemon for all that does not kill it."""
    one = Installation(tmp_path_factory.mktemp("shared"), intake={"companion_wait_s": 3600.0})
    one.start()
    yield one
    one.stop()


def huge_png() -> bytes:
    """A valid PNG header that promises 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


NO_FACE = b"P6 640 640 255 " + bytes(range(256)) * 4800

BAD: list[tuple[str, str | bytes | dict[str, Any], dict[str, bytes | Path], str]] = [
    ("blank text", {**VIDEO, "text": "  \n "}, {"p__png": PORTRAIT}, "text-empty"),
    ("symbols", {"kind": "speech", "text": "*** --- ✨🎉 ---"}, {}, "text-unspeakable"),
    ("cyrillic", {"kind": "speech", "text": "Привет, как дела сегодня?"}, {}, "text-not-english"),
    ("too long", {"kind": "speech", "text": "word " * 12_001}, {}, "text-too-long"),
    (
        "a text named png",
        {**VIDEO, "image": "t.png"},
        {"t__png": b"I am a shopping list.\nEggs.\n"},
        "image-unreadable",
    ),
    ("zero bytes", {**VIDEO, "image": "z.png"}, {"z__png": b""}, "image-empty"),
    ("truncated", {**VIDEO, "image": "c.png"}, {"c__png": PORTRAIT.read_bytes()[:200_000]}, "image-truncated"),
    ("30,000 x 30,000", {**VIDEO, "image": "h.png"}, {"h__png": huge_png()}, "image-too-large"),
    ("no YAML", "text: a: b\n", {}, "yaml-invalid"),
    ("not text", b"\x89PNG\r\n\x1a\n\0\0", {}, "manifest-not-text"),
    ("billion laughs", "a: &a [x]\nb: [*a, *a]\n", {}, "yaml-alias"),
    ("unknown key", {"txt": "a", "image": "p.png"}, {}, "manifest-unknown-key"),
    ("way out", {**VIDEO, "image": "../../etc/passwd"}, {}, "manifest-invalid"),
    ("unknown voice", {**SPEECH, "voice": "hart"}, {}, "voice-unknown"),
]


@pytest.mark.parametrize(("name", "manifest", "files", "code"), BAD, ids=[row[0] for row in BAD])
def test_bad_input_ends_in_one_clear_failure(
    shared: Installation, name: str, manifest: str | bytes | dict[str, Any], files: dict[str, bytes | Path], code: str
) -> None:
    # When something wrong is dropped
    stem = name.replace(",", "")
    shared.drop(f"{stem}.yaml", manifest, **files)
    # Then its status says what, in words, with a stable code and a next step; and the manifest is kept
    status = shared.finished(stem)
    assert (status["state"], status["error"]["code"], status["error"]["fault"]) == ("failed", code, "job")
    assert status["error"]["message"]
    assert status["next"]
    wait_for("the job to rest", lambda: status["job"] in shared.jobs("failed"))
    assert (shared.spool / "failed" / status["job"] / "manifest.yaml").exists()


def test_a_link_out_of_the_inbox_is_refused(shared: Installation, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PORTRAIT.read_bytes())
    (shared.inbox / "link.png").symlink_to(tmp_path / "secret.png")
    (shared.inbox / "linked.yaml").symlink_to(tmp_path / "manifest")
    (tmp_path / "manifest").write_text("text: secret\nimage: p.png\n")
    shared.drop("vialink.yaml", {**VIDEO, "image": "link.png"})
    assert shared.finished("vialink")["error"]["code"] == "file-is-link"
    assert shared.finished("linked")["error"]["code"] == "file-is-link"


def test_a_manifest_waits_for_its_picture_and_says_so(shared: Installation) -> None:
    # Given a manifest whose picture has not arrived
    shared.drop("patient.yaml", {"kind": "detect", "image": "later.png"})
    status = shared.reaches("patient", "waiting")
    assert status["waiting_for"] == ["later.png"]
    # When it arrives / Then the job goes on under the same name and id
    (shared.inbox / "later.png").write_bytes(PORTRAIT.read_bytes())
    final = shared.finished("patient")
    assert (final["state"], final["job"]) == ("done", status["job"])


def test_a_withdrawn_manifest_leaves_nothing_behind(shared: Installation) -> None:
    shared.drop("withdrawn.yaml", {"kind": "detect", "image": "never.png"})
    shared.reaches("withdrawn", "waiting")
    (shared.inbox / "withdrawn.yaml").unlink()
    wait_for("the status to go", lambda: not (shared.outbox / "withdrawn.json").exists())
    wait_for("its record to go", lambda: not list((shared.spool / "waiting").iterdir()))


def test_a_picture_that_never_comes_fails_saying_which(installation: Callable[..., Installation]) -> None:
    one = installation(intake={"companion_wait_s": 0.5})
    one.start()
    one.drop("alone.yaml", {"kind": "detect", "image": "missing one.png"})
    error = one.finished("alone")["error"]
    assert error["code"] == "file-missing"
    assert "missing one.png" in error["message"]


def test_unicode_spaces_and_several_documents(shared: Installation) -> None:
    shared.drop("Zoë & João 你好.yaml", SPEECH)
    shared.drop("two.yaml", "kind: speech\ntext: One.\n---\nkind: speech\ntext: Two.\noutput: second\n")
    assert shared.finished("Zoë & João 你好")["state"] == "done"
    assert (shared.outbox / "Zoë & João 你好.wav").exists()
    assert shared.finished("two-1")["state"] == "done"
    assert shared.finished("second")["document"] == 1


def test_the_same_name_twice_overwrites_nothing(shared: Installation) -> None:
    # Given a finished job, and a second manifest of the same name
    shared.drop("twin.yaml", SPEECH)
    first = shared.finished("twin")
    before = (shared.outbox / "twin.wav").read_bytes()
    shared.drop("twin.yaml", {"kind": "speech", "text": "Something else entirely."})

    # Then the second result is the second version of the first, which stays as it is
    assert shared.finished("twin-v2")["outputs"][-1]["file"] == "twin-v2.wav"
    assert (shared.outbox / "twin.wav").read_bytes() == before
    assert json.loads((shared.outbox / "twin.json").read_bytes())["job"] == first["job"]


def test_a_speech_job_delivers_what_its_status_says(shared: Installation) -> None:
    import hashlib

    shared.drop("spoken.yaml", {**SPEECH, "metadata": {"order": 7}})
    status = shared.finished("spoken")
    assert [output["file"] for output in status["outputs"]] == ["spoken.timing.json", "spoken.wav"]
    for output in status["outputs"]:
        data = (shared.outbox / output["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (output["bytes"], output["sha256"])
    assert status["metadata"] == {"order": 7}
    assert status["stages"]["tts"]["engine"] == "hibari"


def test_metrics_are_there_from_the_start_and_count(shared: Installation) -> None:
    import json

    port = json.loads((shared.spool / "metrics.json").read_text())["port"]

    def scrape() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    # Given the counts now / When one job fails at its text / Then exactly that is counted
    before = scrape()
    shared.drop("counted.yaml", {"kind": "speech", "text": "…"})
    shared.finished("counted")
    failed = ("avatar_stage_ended_total", (("result", "failed"), ("stage", "check")))
    wait_for("the count", lambda: scrape()[failed] == before[failed] + 1)
    # And what never happened stands at zero rather than missing
    assert before["avatar_stage_ended_total", (("result", "crashed"), ("stage", "encode"))] == 0
    assert before["avatar_lane_paused", (("lane", "gpu"),)] == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        assert answer.read() == b"ok\n"


def test_five_mixed_jobs_end_in_two_videos_and_three_clear_failures(house: Installation) -> None:
    # Given a folder of five jobs, two good and three bad / When all are dropped at once
    house.drop("one.yaml", VIDEO, p__png=PORTRAIT)
    house.drop("two.yaml", {**VIDEO, "text": "And a second one.", "fps": "29.97", "captions": "srt"})
    house.drop("three.yaml", {**VIDEO, "image": "noface.ppm"}, noface__ppm=NO_FACE)
    house.drop("four.yaml", {**VIDEO, "text": "???"})
    house.drop("five.yaml", "text: no picture\n")
    # Then two are done and three have failed, each for its own reason
    states = {name: house.finished(name) for name in ("one", "two", "three", "four", "five")}
    assert [s["state"] for s in states.values()] == ["done", "done", "failed", "failed", "failed"]
    assert sorted(path.name for path in house.outbox.glob("*.mp4")) == ["one.mp4", "two.mp4"]
    assert (house.outbox / "two.srt").read_text().startswith("1\n00:00:00")
    codes = [states[name]["error"]["code"] for name in ("three", "four", "five")]
    assert codes == ["image-unreadable", "text-unspeakable", "manifest-invalid"]
    # And the portrait, which other tests know, was not measured again
    assert len(list((house.spool / "cache" / "portraits").iterdir())) == 1


@pytest.mark.parametrize("stage", ["face", "tts", "lipsync", "encode", "deliver"])
def test_kill_minus_nine_in_every_stage_ends_in_the_same_video_once(house: Installation, stage: str) -> None:
    # Given a job that has begun a stage / When the daemon is killed there and started again
    house.knows_faces = stage != "face"
    house.drop("hello.yaml", VIDEO, p__png=PORTRAIT)
    wait_for(f"{stage} to start", lambda: any(e["stage"] == stage for e in house.events("stage started")))
    house.kill()
    house.start()
    # Then the job is delivered, once, and nothing lies about
    status = house.finished("hello")
    assert status["state"] == "done"
    assert sorted(path.name for path in house.outbox.glob("[!.]*")) == ["hello.jpg", "hello.json", "hello.mp4"]
    wait_for("the job to rest", lambda: house.jobs("done") == [status["job"]])
    assert house.all_jobs() == [status["job"]]
    assert not list((house.spool / "tmp").iterdir())


def test_sigterm_gives_jobs_back_uncharged_and_a_restart_finishes_them(
    installation: Callable[..., Installation],
) -> None:
    # Given a daemon told to stop at once, in the middle of a stage
    one = installation(lanes={"drain_s": 0.0})
    one.start()
    one.drop("hello.yaml", VIDEO, p__png=PORTRAIT)
    wait_for("encode to start", lambda: any(e["stage"] == "encode" for e in one.events("stage started")))
    # When it gets SIGTERM / Then it ends well and the job stands in its queue
    assert one.stop() == 0
    assert len(one.jobs("encode/ready", "deliver/ready", "done")) == 1
    one.start()
    status = one.finished("hello")
    assert status["state"] == "done"
    assert "attempts" not in status


def test_children_die_with_a_killed_daemon(house: Installation) -> None:
    # Given a daemon with children at work
    house.drop("hello.yaml", VIDEO, p__png=PORTRAIT)
    wait_for("encode to start", lambda: any(e["stage"] == "encode" for e in house.events("stage started")))
    assert house.process is not None
    children = [
        int(pid) for pid in Path(f"/proc/{house.process.pid}/task/{house.process.pid}/children").read_text().split()
    ]
    assert children
    # When it is killed / Then none of them lives on to write into a job that is taken up again
    house.kill()
    wait_for("the children to end", lambda: not any(_alive(pid) for pid in children))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_second_daemon_on_the_same_spool_is_refused(house: Installation) -> None:
    assert house.process is not None
    result = subprocess.run(
        [sys.executable, "-m", "daemon", "--config", str(house.config)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 75
    assert f"process {house.process.pid}" in result.stderr


def test_a_crashed_worker_costs_only_its_own_job_a_try(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given a job in its encode stage / When the worker is killed
    house = installation()
    gates = Gates(house, tmp_path / "seam")
    gates.shut("encode")
    house.start()
    house.drop("hello.yaml", VIDEO, p__png=PORTRAIT)
    gates.reached("encode")
    assert house.process is not None
    workers = Path(f"/proc/{house.process.pid}/task/{house.process.pid}/children").read_text().split()
    for pid in workers:
        os.kill(int(pid), signal.SIGKILL)
    gates.open("encode")
    # Then the job is tried again and comes through
    status = house.finished("hello")
    assert status["state"] == "done"
    assert status["attempts"] == {"encode": 2}


@pytest.mark.usefixtures("processes")
def test_the_daemon_imports_no_model_code() -> None:
    heavy = ("numpy", "cv2", "mediapipe", "onnxruntime", "torch", "stages")
    code = f"import sys, daemon.service, daemon.cli; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_stop_lets_the_manifest_that_is_being_taken_in_become_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a daemon that is asked to stop when its newest job is told of, but its claim is not removed yet
    one = Installation(tmp_path)
    service = Service(Settings.load(one.config))
    drained, clear, drain = threading.Event(), Claims._clear, Lane.drain

    async def drain_and_tell(lane: Lane, limit_s: float) -> None:
        await drain(lane, limit_s)
        # Comes about only in a loop that goes on after all lanes are drained.
        asyncio.get_running_loop().call_later(0.1, drained.set)

    def clear_late(claims: Claims, directory: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert drained.wait(PATIENCE_S)
        clear(claims, directory)

    monkeypatch.setattr(Claims, "_clear", clear_late)
    monkeypatch.setattr(Lane, "drain", drain_and_tell)
    # When it stops
    one.drop("a.yaml", SPEECH)
    asyncio.run(service.run())
    # Then the job is there, and nothing is left for the next start to mend
    assert len(one.all_jobs()) == 1
    assert list((one.inbox / ".claimed").iterdir()) == []
