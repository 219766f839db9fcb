"""A batch by HTTP: its rows are checked at the door, and a key's limits hold for all of them together."""

from __future__ import annotations

import json

import pytest
import yaml

from daemon.doors.http.batches import wanted_rows
from daemon.doors.http.problems import status_of
from daemon.errors import JobError
from daemon.jobs.batch.table import MAX_ROWS
from tests.conftest import PORTRAIT
from tests.daemon.doors.http.conftest import Door
from tests.support.http_door import Answer, Caller

NAMES = b"name\nAnna\nBen\nCarl\n"
HELLO: dict[str, object] = {"kind": "speech", "text": "Hello {{name}}."}


def send(caller: Caller, table: bytes, template: dict[str, object] | None = None, path: str = "/batches") -> Answer:
    manifest = {"template": template} if template else {}
    return caller.post_parts(path, ("manifest", None, json.dumps(manifest).encode()), ("rows", "names.csv", table))


def inbox(door: Door) -> list[str]:
    return [path.name for path in door.inbox.iterdir() if not path.name.startswith(".")]


def test_a_table_is_taken_with_its_manifest_and_checked_without_being_kept(door: Door) -> None:
    checked = door.open.post_parts(
        "/validate", ("kind", None, b"batch"), ("manifest", None, json.dumps({"template": HELLO}).encode()),
        ("rows", "names.csv", NAMES),
    )  # fmt: skip
    assert (checked.json["ok"], checked.json["rows"], inbox(door)) == (True, 3, [])
    told = send(door.open, NAMES, HELLO)
    assert told.status == 202, told.body
    (manifest,) = door.manifests
    (table,) = door.inbox.glob("*.csv")
    assert f"rows: {table.name}" in (door.inbox / manifest).read_text()
    assert table.read_bytes() == NAMES
    assert send(door.open, b"text,avatar\nHi.,anna\n").status == 202


@pytest.mark.parametrize(
    ("table", "template", "code", "row"),
    [
        (b"kind,image\ndetect,other.png\n", None, "path-refused", "Row 1"),
        (b"text,image,kind\nHi,,speech\nHi,other.png,speech\n", None, "path-refused", "Row 2"),
        (b"name,face\nAnna,other.png\n", {"text": "Hi {{name}}", "image": "{{face}}"}, "path-refused", "Row 1"),
        (b"kind,text,base\nspeech,Hi.,job-20260102T030405Z-0a1b2c3d\n", None, "job-unknown", "Row 1"),
        (b"kind,text,speed\nspeech,Hi.,1\nspeech,Hi.,fast\n", None, "rows-wrong", "row 2"),
        (b"kind,text\nspeech,Hi.\nbatch,Hi.\n", None, "rows-wrong", "Row 2"),
        (b"kind,text,priority\nspeech,Hi.,0\nspeech,Hi.,50\n", None, "not-allowed", "Row 2"),
        (b"kind,text,avatar\nspeech,Hi.,\nvideo,Hi.,anna\n", None, "not-allowed", "Row 2"),
    ],
)
def test_a_row_that_the_key_may_not_make_is_named(
    door: Door, table: bytes, template: dict[str, object] | None, code: str, row: str
) -> None:
    (door.inbox / "other.png").write_bytes(PORTRAIT.read_bytes())
    anna = door.key("anna", priority=10, kinds=["speech"])
    told = send(anna, table, template)
    assert (told.code, row in told.json["detail"]) == (code, True), told.json
    assert inbox(door) == ["other.png"]


def test_a_table_comes_only_as_the_part_of_a_batch(door: Door) -> None:
    for kind in (b"speech", b"encode"):
        told = door.open.post_parts("/jobs", ("kind", None, kind), ("text", None, b"Hi."), ("rows", "t.csv", NAMES))
        assert told.status == 422
    kept = door.open.send("POST", "/uploads?filename=t.csv", NAMES).json["ref"]
    (door.inbox / "t.csv").write_bytes(b"kind,text\nspeech,Hi.\n")
    for rows in (kept, "t.csv"):
        assert door.open.post("/batches", {"rows": rows, "template": HELLO}).status == 422
    assert door.open.post_parts("/batches", ("rows", "t.yaml", NAMES)).status == 422
    assert inbox(door) == ["t.csv"]


def test_limits_hold_for_the_sum_of_the_rows(door: Door) -> None:
    for limits in ({"jobs_per_minute": 5}, {"waiting_jobs": 5}, {"speech_s_per_day": 3.0}):
        few = door.key(next(iter(limits)).replace("_", ""), **limits)
        assert send(few, NAMES, HELLO).status == 202
        assert send(few, NAMES, HELLO).code == "limit-reached", limits


def test_a_batch_is_only_its_owners(door: Door) -> None:
    anna, ben = door.key("anna"), door.key("ben")
    job = send(anna, NAMES, HELLO).json["job"]
    for path in ("", "/rows", "/report"):
        assert ben.get(f"/batches/{job}{path}").code == "job-unknown"
    # Its owner finds it at once, before a daemon has seen it
    assert anna.get(f"/batches/{job}").json["state"] == "waiting"
    assert anna.get(f"/batches/{job}/rows").json["rows"] == []
    assert ben.post(f"/batches/{job}/retry-failed").code == "job-unknown"
    single = anna.post("/jobs", {"kind": "speech", "text": "Hi."}).json["job"]
    assert ben.get("/batches").json == {"batches": [], "next": None}
    assert anna.get(f"/batches/{single}").code == "not-a-batch"
    assert [one["job"] for one in anna.get("/batches").json["batches"]] == [job]


@pytest.mark.parametrize("way", ["part", "upload"])
def test_a_file_comes_for_all_rows_whose_template_then_names_it(door: Door, way: str) -> None:
    anna, ben = door.key("anna"), door.key("ben")
    picture = PORTRAIT.read_bytes()
    template: dict[str, object] = {"kind": "detect"}
    parts: list[tuple[str, str | None, bytes]] = [("rows", "names.csv", b"output\na\nb\n")]
    if way == "part":
        parts.append(("image", "p.png", picture))
    else:
        template["image"] = anna.send("POST", "/uploads?filename=p.png", picture).json["ref"]
    parts.append(("manifest", None, json.dumps({"template": template}).encode()))
    if way == "upload":
        assert ben.post_parts("/batches", *parts).code == "upload-unknown"
    told = anna.post_parts("/batches", *parts)
    assert told.status == 202, told.body
    manifest = yaml.safe_load((door.inbox / told.json["source"]).read_text())
    name = manifest["template"]["image"]
    assert (door.inbox / name).read_bytes() == picture
    assert "image" not in manifest
    # And rows that name that file themselves, or another one, are refused
    wanted = b'{"template": {"kind": "detect"}}'
    for file in (name, "other.png", f"p-{'0' * 8}.png"):
        table = f"image\n{file}\n".encode()
        answer = ben.post_parts(
            "/batches", ("manifest", None, wanted), ("rows", "a.csv", table), ("image", "p.png", picture)
        )
        assert answer.code == "path-refused", file


@pytest.mark.parametrize(
    ("name", "encoding", "table"),
    [
        ("t.csv", "utf-8", "output,image\nä,{0}\nb,{1}\nc,{0}\n"),
        ("t.tsv", "utf-16", "output\timage\nä\t{0}\nb\t{1}\nc\t{0}\n"),
        ("t.jsonl", "utf-8", '{{"output": "ä", "image": "{0}"}}\n{{"output": "b", "image": "{1}"}}\n'),
    ],
)
def test_each_row_may_have_an_upload_of_ones_own(door: Door, name: str, encoding: str, table: str) -> None:
    anna, ben = door.key("anna"), door.key("ben")
    pictures = [PORTRAIT.read_bytes(), PORTRAIT.read_bytes() + b"another"]
    refs = [anna.send("POST", "/uploads?filename=p.png", picture).json["ref"] for picture in pictures]
    parts = (
        ("manifest", None, b'{"template": {"kind": "detect"}}'),
        ("rows", name, table.format(*refs).encode(encoding)),
    )
    refused = ben.post_parts("/batches", *parts)
    assert (refused.code, inbox(door), door.left_over) == ("upload-unknown", [], [])
    assert anna.post_parts("/validate", ("kind", None, b"batch"), *parts).json["ok"] is True
    assert (inbox(door), door.left_over) == ([], [])
    told = anna.post_parts("/batches", *parts)
    assert told.status == 202, told.body
    # Then the table names files of the inbox, and another key's rows may not name them
    (there,) = door.inbox.glob(f"*.{name.partition('.')[2]}")
    text = there.read_bytes().decode(encoding)
    brought = {path.name: path.read_bytes() for path in door.inbox.glob("p-*.png")}
    assert sorted(brought.values()) == sorted(pictures)
    assert all(one in text for one in brought)
    assert "upload:" not in text
    again = ("manifest", None, b'{"template": {"kind": "detect"}}'), ("rows", name, text.encode(encoding))
    assert ben.post_parts("/batches", *again).code == "path-refused"
    assert door.left_over == []


def test_a_table_that_is_no_utf_8_is_refused_also_where_its_rows_name_uploads(door: Door) -> None:
    ref = door.open.send("POST", "/uploads?filename=p.png", PORTRAIT.read_bytes()).json["ref"]
    table = f"output,image\nJürgen,{ref}\n".encode("cp1252")
    manifest = ("manifest", None, b'{"template": {"kind": "detect"}}')
    answer = door.open.post_parts("/batches", manifest, ("rows", "t.csv", table))
    assert (answer.code, inbox(door), door.left_over) == ("rows-not-text", [], [])


def test_a_table_whose_check_takes_too_long_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted_rows, "CHECK_S", -1.0)
    refused = send(door.open, NAMES, HELLO)
    assert (refused.status, refused.code, inbox(door)) == (413, "rows-slow", [])


def test_a_table_with_too_many_rows_is_refused_by_its_name_before_any_row_is_checked(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []
    monkeypatch.setattr(wanted_rows, "checked_row", lambda rows, row, *_: checked.append(row.number))
    table = b"name\n" + b"A\n" * (MAX_ROWS + 1)
    wanted = b'{"template": {"kind": "speech", "text": "Hello {{name}}."}}'
    answer = door.open.post_parts("/batches", ("manifest", None, wanted), ("rows", "all.csv", table))
    assert (answer.code, checked) == ("rows-invalid", [])
    assert answer.json["detail"].startswith("all.csv has more than")


@pytest.mark.parametrize("code", ["batch-running", "job-not-failed", "rows-together"])
def test_rows_that_cannot_be_started_again_now_are_a_conflict(code: str) -> None:
    assert status_of(JobError(code, "It cannot be done now.")) == 409


def test_a_file_that_rows_lack_is_to_be_sent(door: Door) -> None:
    manifest = json.dumps({"template": {"text": "Hello {{name}}."}}).encode()
    told = door.open.post_parts("/batches", ("manifest", None, manifest), ("rows", "names.csv", NAMES))
    assert (told.status, told.code) == (422, "rows-wrong")
    assert "Row 1: `image` is missing: send a picture file as the part `image`" in told.json["detail"]
