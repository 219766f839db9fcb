"""Input made to do harm: the daemon answers with a code, reads and writes nothing outside, and lives on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import JobError
from daemon.manifest import Manifest
from daemon.parse import parse
from daemon.safeopen import open_inside
from tests.conftest import PORTRAIT, Installation, wait_for
from tests.daemon.ledger import sound
from tests.daemon.room import SPEECH, Room

CANARY = b"canary-7d1f0a"
ROOT = os.geteuid() == 0


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, empty_wait_s=0.0)
    one.look()
    return one


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file outside that nobody may read into a result, nor write."""
    path = tmp_path / "outside" / "canary"
    path.parent.mkdir()
    path.write_bytes(CANARY)
    before = path.stat()
    yield path
    after = path.stat()
    assert path.read_bytes() == CANARY
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert [entry.name for entry in path.parent.iterdir()] == ["canary"]


def unread(*roots: Path) -> None:
    """The canary's content is in no file below the folders (but behind links and names people put there themselves)."""
    for root in roots:
        for path in root.rglob("*"):
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and info.st_nlink == 1:
                assert CANARY not in path.read_bytes(), path


# -- manifests ---------------------------------------------------------------------------------------------------

VALID: dict[str, Any] = {
    "kind": "video", "text": "Hello.", "image": "p.png", "voice": "heart", "language": "en", "speed": 1.0, "face": "largest",
    "quality": "low", "fps": 25, "size": "256x256", "motion": {"head": 1.0, "blink": 0.5, "seed": 7}, "captions": "srt",
    "output": "name", "priority": 3, "metadata": {"order": 7, "tags": ["a", None, True]},
}  # fmt: skip
#: What nobody expects: enormous, special, invisible, commands, look-alikes.
STRANGE = st.one_of(
    st.sampled_from(
        [
            "", " ", "\0", "\x1b[2J", "\u202e", "\ufeff", "\ud800", "$(touch x)", "`id`", "; rm -rf .", "%n%s", "{0}", "../..",
            "nan", "-inf", ".inf", "1e400", "9" * 5000, "٣", "0x10", "1_000", "~", "null", "yes", "*a", "&a",
            "!!python/object:os", "x" * 100_000, "\\u0000", "a\nb", "- - - -", "{[", "?" * 500, "\U0001f600" * 300,
        ]
    ),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=60),
    st.binary(max_size=30),
    st.dates(),
)  # fmt: skip
VALUES = st.recursive(
    STRANGE, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
KEYS = st.sampled_from([*VALID, "txt", "Text", "motion.head", "__class__", "model_config", "\x85", ""]) | st.text(
    max_size=12
)
MUTATIONS = st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4)


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """The bytes of a manifest that was valid before something happened to it."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    document = {**VALID, **dict(draw(MUTATIONS))}
    for key in draw(st.lists(st.sampled_from(list(VALID)), max_size=6)):
        document.pop(key, None)
    try:
        text = yaml.dump(document, allow_unicode=draw(st.booleans()), default_flow_style=draw(st.booleans()))
    except (yaml.YAMLError, ValueError):
        text = repr(document)
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:  # and then the transfer broke it
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 20)) :]
    return data


FUZZ = settings(
    max_examples=int(os.environ.get("AVATAR_FUZZ", "150")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(manifests())
def test_any_manifest_is_read_or_refused_with_a_code(data: bytes) -> None:
    try:
        items: list[Manifest | JobError] = parse(data)
    except JobError as exc:
        items = [exc]
    for item in items:
        if isinstance(item, Manifest):
            json.dumps(item.model_dump(mode="json"), allow_nan=False).encode()
        else:
            assert item.code in CODES
            assert item.message


CODES = {
    "manifest-unknown-key", "manifest-invalid", "manifest-empty", "manifest-not-text", "manifest-too-many", "yaml-invalid",
    "yaml-alias", "yaml-duplicate-key", "yaml-too-large",
}  # fmt: skip


@FUZZ
@given(data=manifests())
def test_any_manifest_becomes_jobs_with_records_and_statuses_that_can_be_read(room: Room, data: bytes) -> None:
    # Given any manifest, and the picture that most of them name
    room.put("p.png", b"picture")
    room.put("m.yaml", data)
    # When it is taken (one that names a file that is not there waits)
    jobs = room.settle()
    assert jobs or len(list(room.spool.waiting.iterdir())) == 1
    # Then each job has a record, and a status in words; a refused one has a code and no fault of ours
    for job in jobs:
        record = room.spool.load(room.spool.place(job))
        status = json.loads((room.outbox / f"{job.name}.json").read_bytes())
        assert (status["job"], record.state) == (job.id, status["state"])
        assert job.error is None or (
            job.error["fault"] == "job" and job.error["code"] not in ("manifest-unreadable", "internal-error")
        )
    clear(room)


def clear(room: Room) -> None:
    for path in [path for path in room.inbox.rglob("*.yaml") if ".claimed" not in path.parts]:
        path.unlink()
    room.settle()
    for path in room.outbox.iterdir():
        path.unlink()


# -- paths -------------------------------------------------------------------------------------------------------

PATHS = [
    "/etc/passwd", "../canary", "../outside/canary", "a/../../outside/canary", "~/canary", "~root/canary", "..\\outside\\canary",
    "\\\\server\\share\\p.png", "C:\\p.png", "file:///etc/passwd", "http://127.0.0.1/p.png", "concat:p.png|canary", "data:,x",
    "/dev/stdin", "/proc/self/fd/0", "/proc/self/environ", "p.png\0.yaml", "..", ".", "", "/", ".hidden/canary",
    ".claimed/x", "sub/", "link.png", "up/outside/canary", "hard.png", "pipe.png", "socket.png", "null.png",
    "x" * 256, "\u2025/outside/canary", "．．/outside/canary", "․․/outside/canary", "-rf", "p.png/", "./up/../outside/canary",
    "sub//../../outside/canary", "a" * 5000,
]  # fmt: skip


@pytest.fixture
def trapped(room: Room, canary: Path) -> Room:
    """An inbox with everything in it that is no file of its own."""
    inbox = room.inbox
    (inbox / "sub").mkdir()
    (inbox / "link.png").symlink_to(canary)
    (inbox / "up").symlink_to(room.inbox.parent)
    with contextlib.suppress(OSError):
        os.link(canary, inbox / "hard.png")
    os.mkfifo(inbox / "pipe.png")
    bind(inbox / "socket.png")
    if ROOT:
        os.mknod(inbox / "null.png", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return room


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a socket's path may be short only


def test_no_path_leads_out_of_the_inbox(trapped: Room, tmp_path: Path) -> None:
    # Given a manifest for every way out that is known
    for number, path in enumerate(PATHS):
        trapped.put(f"j{number}.yaml", yaml.safe_dump({"kind": "detect", "image": path}))
        trapped.put(f"a{number}.yaml", yaml.safe_dump({"kind": "speech", "audio": path}))
    jobs = trapped.settle()
    # Then each fails, or waits for a file of that name that never comes; and nothing of the canary is anywhere
    failed = {job.source for job in jobs}
    assert all(job.state == "failed" for job in jobs), [job.source for job in jobs if job.state != "failed"]
    codes = {job.error["code"] for job in jobs if job.error}
    assert codes <= {
        "manifest-invalid",
        "yaml-invalid",
        "file-is-link",
        "file-not-regular",
        "file-outside",
        "file-missing",
    }
    assert len(failed) >= 2 * 28
    unread(tmp_path / "spool", tmp_path / "outbox")
    os.unlink(trapped.inbox / "hard.png")


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("link.yaml", ["file-is-link"]),
        ("dangling.yml", ["file-is-link"]),
        ("pipe.yaml", ["file-not-regular"]),
        ("socket.yaml", ["file-not-regular"]),
        ("null.yaml", ["file-not-regular"]),
        ("folder.yaml", []),
    ],
)
def test_a_manifest_that_is_no_file_fails_and_nothing_waits_for_it(
    room: Room, canary: Path, name: str, codes: list[str]
) -> None:
    # Given something else under the name of a manifest, and a good one beside it
    if name == "null.yaml" and not ROOT:
        pytest.skip("only root can make a device node")
    path = room.inbox / name
    make: dict[str, Callable[[], Any]] = {
        "link.yaml": lambda: path.symlink_to(canary),
        "dangling.yml": lambda: path.symlink_to("/nowhere"),
        "pipe.yaml": lambda: os.mkfifo(path),
        "socket.yaml": lambda: bind(path),
        "null.yaml": lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        "folder.yaml": path.mkdir,
    }
    make[name]()
    room.put("good.yaml")
    # Then each is answered for itself
    jobs = {job.source: job for job in room.settle()}
    assert jobs.pop("good.yaml").state == "queued"
    assert [job.error["code"] for job in jobs.values() if job.error] == codes
    unread(room.outbox, room.spool.root)


def test_no_exchange_between_check_and_use_reads_the_file_outside(tmp_path: Path, canary: Path) -> None:
    # Given a name that is now a file, now a link out, now a folder behind a link, thousands of times a second
    inbox = tmp_path / "inbox"
    (inbox / "sub").mkdir(parents=True)
    (inbox / "out").symlink_to(canary.parent)
    over = threading.Event()

    def exchange() -> None:
        real, link = inbox / "sub" / ".real", inbox / "sub" / ".link"
        while not over.is_set():
            real.write_bytes(b"mine")
            real.rename(inbox / "sub" / "canary")
            link.symlink_to(canary)
            link.rename(inbox / "sub" / "canary")
            (inbox / "sub").rename(inbox / "real")
            (inbox / "sub").symlink_to(canary.parent)
            (inbox / "sub").unlink()
            (inbox / "real").rename(inbox / "sub")

    thread = threading.Thread(target=exchange)
    thread.start()
    seen: dict[str, int] = {}
    try:
        # When it is opened all the while / Then what is read is the file inside, or nothing
        for _ in range(6000):
            try:
                with open_inside(inbox, "sub/canary") as fd:
                    found = os.read(fd, 100).decode()
            except JobError as exc:
                found = exc.code
            seen[found] = seen.get(found, 0) + 1
    finally:
        over.set()
        thread.join()
    assert set(seen) <= {"mine", "", "file-is-link", "file-missing"}, seen
    assert len(seen) >= 3, f"the race was never close: {seen}"


NAMES = [
    b"\xff\xfe\x80", b"n" * 250, "é".encode() * 100, b"-rf", b"--help", b"new\nline", b"quote'\"", b"$(touch pwned)",
    b"`touch pwned`", b"; touch pwned;", b"| touch pwned", b"&& touch pwned", "😀 \u202e gpj".encode(), b" ", b"%s%n",
    b"con", b"a:b", b"*", b"\x1b[31mred",
]  # fmt: skip


def test_names_of_any_bytes_become_jobs_and_readable_results(room: Room) -> None:
    # Given manifests whose names no one would choose
    for name in NAMES:
        with open(os.fsencode(room.inbox) + b"/" + name + b".yaml", "wb") as file:
            file.write(SPEECH.encode())
    jobs = room.settle()
    # Then each is a job, with a result name that can be shown and typed, within what a file name may be
    assert [job.state for job in jobs] == ["queued"] * len(NAMES)
    assert len({job.name for job in jobs}) == len(NAMES)
    for job in jobs:
        assert job.name.isprintable()
        assert not job.name.startswith((".", " "))
        assert json.loads((room.outbox / f"{job.name}.json").read_bytes())["job"] == job.id
        assert len(f".{job.name}-{job.id}.face.json.part".encode()) <= 255
    # And a restart finds them all again
    assert {job.id for job in jobs} == {path.name for path in room.spool.jobs(room.spool.ready("tts"))}


# -- the outbox and the inbox's own folders, in which people can write too ---------------------------------------


def test_nothing_planted_in_the_outbox_is_followed_or_overwritten(room: Room, canary: Path) -> None:
    # Given links, folders, pipes and nonsense under the names that the next results would have
    outbox = room.outbox
    (outbox / "link.json").symlink_to(canary)
    (outbox / "video.mp4").symlink_to(canary)
    (outbox / "folder.json").mkdir()
    os.mkfifo(outbox / "pipe.json")
    (outbox / "deep.json").write_text("[" * 100_000)
    (outbox / "list.json").write_text("[1]")
    (outbox / ".mine.json.tmp").symlink_to(canary)
    os.link(canary, outbox / ".other.json.tmp")
    planted = {path.name: path.lstat().st_ino for path in outbox.iterdir()}
    for name in ("link", "video", "folder", "pipe", "deep", "list", "mine", "other"):
        room.put(f"{name}.yaml")
    jobs = {job.source: job for job in room.settle()}
    # Then the jobs have other names, and what was there is there
    for name in ("link", "video", "folder", "pipe", "deep", "list"):
        job = jobs[f"{name}.yaml"]
        assert job.name == f"{name}-{job.id}"
    assert jobs["mine.yaml"].name == "mine"
    assert {name: (outbox / name).lstat().st_ino for name in planted} == planted
    (outbox / ".other.json.tmp").unlink()
    unread(outbox, room.spool.root)


def test_a_status_that_claims_to_be_another_jobs_gains_nothing(room: Room) -> None:
    # Given a waiting job, and a file that says it were its status
    room.put("a.yaml", "kind: detect\nimage: p.png\n")
    room.settle()
    waiting = json.loads((room.outbox / "a.json").read_bytes())
    (room.outbox / "b.json").write_text(json.dumps({"job": waiting["job"], "state": "done"}))
    # When a job of that name comes, and the other one is withdrawn
    room.put("b.yaml")
    (job,) = room.settle()
    (room.inbox / "a.yaml").unlink()
    room.settle()
    # Then the file is left alone, and each job has its own
    assert job.name == f"b-{job.id}"
    assert json.loads((room.outbox / "b.json").read_bytes())["state"] == "done"
    assert not (room.outbox / "a.json").exists()


def test_a_name_that_somebody_takes_in_the_last_moment_is_left_to_them(room: Room) -> None:
    # Given somebody who takes every name as soon as it is chosen
    job_names: list[str] = []
    choose = room.service.outbox.choose

    def chosen(wanted: str, job_id: str) -> str:
        name = choose(wanted, job_id)
        (room.outbox / f"{name}.json").write_text("mine")
        job_names.append(name)
        return name

    room.service.outbox.choose = chosen  # type: ignore[method-assign]
    room.put("a.yaml")
    (job,) = room.settle()
    assert (room.outbox / "a.json").read_text() == "mine"
    assert json.loads((room.outbox / f"{job.name}.json").read_bytes())["job"] == job.id
    assert room.spool.load(room.spool.place(job)).name == job.name


def test_a_folder_for_claims_that_was_exchanged_for_a_link_is_made_anew(room: Room, canary: Path) -> None:
    (room.inbox / ".claimed").rmdir()
    (room.inbox / ".claimed").symlink_to(canary.parent)
    room.put("a.yaml")
    assert [job.name for job in room.settle()] == ["a"]
    assert not (room.inbox / ".claimed").is_symlink()


@pytest.mark.parametrize("source", [b"\0", b"../../outside/x.yaml", b"/etc/x.yaml", b"x" * 100_000, b"", b"\xff.yaml"])
def test_a_planted_claim_reads_nothing_outside(room: Room, canary: Path, source: bytes) -> None:
    # Given a claim that no daemon made, with a picture named beside a manifest that is said to have lain outside
    claim = room.inbox / ".claimed" / "job-20260102T030405Z-0a1b2c3d"
    claim.mkdir()
    (claim / "manifest.yaml").write_text("kind: detect\nimage: canary\n")
    (claim / "source").write_bytes(source)
    (room.inbox / ".claimed" / "job-20260102T030405Z-00000000").symlink_to(canary.parent)
    assert room.settle() == []
    # Then it became a failed job
    (failed,) = room.spool.jobs(room.spool.resting("failed"))
    assert room.spool.load(failed).error["code"] in ("file-missing", "file-outside")  # type: ignore[index]
    assert not claim.exists()
    unread(room.outbox, room.spool.root)


# -- the whole daemon ----------------------------------------------------------------------------------------------

SHELL = "$(touch {0}) `touch {0}`; touch {0} | touch {0} && touch {0} {{\\fs99}} %d ' \" \\N [in] -y"


def test_nothing_reaches_a_shell_and_the_daemon_outlives_it_all(
    installation: Callable[..., Installation], canary: Path, tmp_path: Path
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
    pwned = tmp_path / "outside" / "pwned"
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
    (one.outbox / "a.json").unlink()
    (one.outbox / "a.json" / "full").mkdir(parents=True)
    (one.outbox / f".{status['job']}.wav.part" / "full").mkdir(parents=True)
    (one.outbox / "a.wav").symlink_to("/etc/passwd")
    (one.inbox / "s.wav").rename(one.inbox / "late.wav")
    # Then it is delivered under a free name
    wait_for("the job to rest", lambda: one.jobs("done"))
    (path,) = one.outbox.glob("a-job-*.wav")
    assert path.read_bytes()[:4] == b"RIFF"
    assert os.readlink(one.outbox / "a.wav") == "/etc/passwd"
    assert one.events("lane step failed") == []
    assert one.stop() == 0
