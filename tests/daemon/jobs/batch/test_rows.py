"""A row becomes a manifest by plain substitution; what is wrong with it is told with row, column and remedy."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import JobError
from daemon.jobs.batch.alone import batch_of
from daemon.jobs.batch.done_rows import digest_of
from daemon.jobs.batch.rows import BatchRows, ResolvedRow, RowMistake
from daemon.jobs.batch.table import Row
from daemon.jobs.batch.template import fill, has_placeholder
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest

JOB = "job-20260101T000000Z-0000000a"
TEMPLATE = {"text": "Hello {{ First  Name }}.", "image": "{{image|portrait.png}}", "voice": "{{voice|heart}}"}


def batch(folder: Path, table: str, *defaults: FolderDefaults, **keys: Any) -> BatchRows:
    """The rows of a batch with this table and these keys of its manifest."""
    manifest = parse_manifest(json.dumps({"kind": "batch", "rows": "people.csv", **keys}).encode(), 1, defaults)[0]
    assert isinstance(manifest, Manifest), manifest
    (folder / "source.rows").write_text(table)
    return BatchRows(manifest, folder / "source.rows", manifest.inherited)


def resolved(rows: BatchRows) -> list[ResolvedRow | RowMistake]:
    return [rows.resolve(row) for row in rows.rows()]


def right(rows: BatchRows) -> list[Manifest]:
    found = resolved(rows)
    assert all(isinstance(one, ResolvedRow) for one in found), found
    return [one.manifest for one in found if isinstance(one, ResolvedRow)]


def wrong(rows: BatchRows) -> RowMistake:
    (found,) = [one for one in resolved(rows) if isinstance(one, RowMistake)]
    return found


def test_a_template_takes_cells_and_defaults(tmp_path: Path) -> None:
    found = right(batch(tmp_path, "first name;voice\nAnna;adam\nBen;\n", template=TEMPLATE))
    assert [(one.text, one.voice, one.image) for one in found] == [
        ("Hello Anna.", "adam", "portrait.png"),
        ("Hello Ben.", "heart", "portrait.png"),
    ]


def test_a_table_is_told_by_its_own_name_where_a_door_gave_it_a_part_of_its_digest(tmp_path: Path) -> None:
    table = "text\nHello.\n"
    digest = hashlib.sha256(table.encode()).hexdigest()[:8]
    for name, told in (
        (f"people-{digest}.csv", "people.csv"),
        (f"people-{digest}-anna.csv", "people.csv"),
        ("people-0a1b2c3d.csv", "people-0a1b2c3d.csv"),
    ):
        assert batch(tmp_path, table, rows=name).table.name == told


def test_a_cell_is_only_ever_text_and_is_put_in_once(tmp_path: Path) -> None:
    # Given cells that look like YAML, like a placeholder and like numbers
    table = 'name,n\n"a: b # {{n}} {x: 1} - *",007\n'
    template = {"text": "{{name}}", "image": "p.png", "speed": "{{n}}", "metadata": {"id": "{{n}}"}}
    values = resolved(batch(tmp_path, table, template={**template, "speed": "1.5"}))[0]
    assert isinstance(values, ResolvedRow)
    assert values.manifest.text == "a: b # {{n}} {x: 1} - *"
    # Then a key takes a number as from a file, and metadata stay what was written
    assert (values.manifest.speed, values.manifest.metadata) == (1.5, {"id": "007"})


def test_columns_are_keys_where_the_template_has_no_placeholder(tmp_path: Path) -> None:
    table = "text,image,motion.head,output\nHello.,p.png,0.5,one\nHi.,,,\n"
    first, second = right(batch(tmp_path, table, template={"image": "usual.png", "motion": {"head": 0, "blink": 0}}))
    assert (first.image, first.motion.head, first.motion.blink, first.output) == ("p.png", 0.5, 0, "one")
    assert (second.image, second.motion.head, second.output) == ("usual.png", 0, None)


def test_the_defaults_of_the_folder_hold_for_each_row_and_their_files_lie_beside_them(tmp_path: Path) -> None:
    defaults = FolderDefaults("anna/_defaults.yaml", {"image": "anna.png", "voice": "adam"})
    table = "text,voice,image\nHello.,,\nHi.,bella,own.png\n"
    rows = batch(tmp_path, table, defaults)
    first, second = right(rows)
    assert (first.voice, second.voice) == ("adam", "bella")
    assert first.companion_paths("anna/films") == {"image": "anna/anna.png"}
    assert second.companion_paths("anna/films") == {"image": "anna/films/own.png"}
    assert [file.path for file in rows.files("anna/films")] == ["anna/anna.png", "anna/films/own.png"]


def test_lines_of_json_bring_lists_and_groups(tmp_path: Path) -> None:
    line = {"text": "Hello.", "image": "p.png", "expressions": [{"at": 0.5, "name": "smile"}], "motion": {"head": 0}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(line))
    manifest = parse_manifest(b"kind: batch\nrows: rows.jsonl\n")[0]
    assert isinstance(manifest, Manifest)
    (found,) = right(BatchRows(manifest, tmp_path / "rows.jsonl", {}))
    assert (found.expressions[0].at, found.motion.head) == (0.5, 0)


@pytest.mark.parametrize(
    ("cell", "says"), [(["x"], "puts between words"), ({"a": 1}, "puts between words"), (True, ""), (5, "")]
)
def test_a_list_of_json_is_put_between_no_words(tmp_path: Path, cell: object, says: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"name": cell}))
    written = b'kind: batch\nrows: rows.jsonl\ntemplate: {kind: speech, text: "Hello {{name}}.", metadata: {names: "{{name}}"}}\n'
    manifest = parse_manifest(written)[0]
    assert isinstance(manifest, Manifest)
    (found,) = resolved(BatchRows(manifest, tmp_path / "rows.jsonl", {}))
    if says:
        assert isinstance(found, RowMistake)
        assert (found.code, found.column) == ("row-invalid", "name")
        assert says in found.message
    else:
        assert isinstance(found, ResolvedRow)
        assert found.manifest.text == f"Hello {str(cell).lower()}."


def test_limit_takes_the_first_rows_and_a_report_those_that_are_not_done(tmp_path: Path) -> None:
    rows = ("a,p.png,{},done", "b,p.png,{},failed", "c,p.png,{},", "d,p.png,{},wrong")
    plain = "\n".join(["text,image", *(row[:7] for row in rows)])
    assert [one.text for one in right(batch(tmp_path, plain, limit=2))] == ["a", "b"]
    report = "\n".join(["text,image,_row,_state", *(row.format(number) for number, row in enumerate(rows, 1))])
    assert [one.text for one in right(batch(tmp_path, report, limit=2))] == ["b", "c", "d"]


def test_a_column_that_is_no_key_is_told_once_where_no_template_uses_it(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="“fsp” of people") as caught:
        batch(tmp_path, "text,image,fsp\nHi.,p.png,9\n").check_columns()
    assert "Did you mean `fps`?" in caught.value.hint
    assert "{{fsp}}" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("name,_row,_state\nA,1,failed\n", "no row says of which batch it is: it lacks the column `_batch`"),
        (
            "name,_row,_batch\nA,1,mine\n",
            "no row says of which batch it is: it has no id of a batch in the column `_batch`",
        ),
        (f"name,_state,_batch\nA,failed,{JOB}\n", "its rows have no numbers: it lacks the column `_row`"),
    ],
)
def test_a_report_that_lost_a_column_is_told_which_one(tmp_path: Path, table: str, says: str) -> None:
    # Given such a report, put into the inbox alone
    (tmp_path / "people.csv").write_text(table)
    data = batch_of(tmp_path / "people.csv", "people.report.csv")
    # Then it is no stray table, but a batch that is refused with the reason
    assert data is not None
    (manifest,) = parse_manifest(data, 1)
    assert isinstance(manifest, Manifest)
    with pytest.raises(JobError, match=says) as caught:
        BatchRows(manifest, tmp_path / "people.csv", {}).check_columns()
    assert caught.value.code == "report-incomplete"


def test_a_row_asks_for_the_same_in_a_table_and_in_its_report() -> None:
    as_made = {"text": "Hello.\r\nBye. ", "speed": 1.5, "metadata": {"new": True}, "priority": 5}
    in_report = {"text": "Hello.\nBye.", "speed": "1.5", "metadata": {"new": "true"}}
    assert digest_of(3, as_made) == digest_of(3, in_report)
    assert digest_of(3, {**in_report, "speed": "1.6"}) != digest_of(3, in_report) != digest_of(4, in_report)


def test_a_report_without_its_template_says_the_way_that_knows_it(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="the template of that does not come with it") as caught:
        batch(tmp_path, f"name,_row,_state,_batch\nA,1,failed,{JOB}\n").check_columns()
    assert "Put the report itself into the inbox" in caught.value.hint


def test_a_report_whose_columns_are_keys_needs_no_batch(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("text,_row,_state\nHello.,7,failed\nBye.,8,done\n")
    data = batch_of(tmp_path / "people.csv", "people.report.csv")
    assert data is not None
    (manifest,) = parse_manifest(data, 1)
    assert isinstance(manifest, Manifest)
    rows = BatchRows(manifest, tmp_path / "people.csv", {})
    assert rows.check_columns() == []
    assert [row.number for row in rows.rows()] == [7]


@pytest.mark.parametrize(
    ("table", "keys", "code", "column", "says"),
    [
        ("first name\n\n,\nAnna\nBen,x\n", {"template": TEMPLATE}, "row-invalid", "", "Row 2 cannot be read"),
        ("first name,id\n,7\n", {"template": TEMPLATE}, "row-cell-empty", "first name", "{{first name|…}}"),
        ("text,image,speed\nHi.,p.png,9\n", {}, "manifest-invalid", "speed", "(row 1, column speed)"),
        ("text,image\nHi.,\n", {}, "manifest-invalid", "", "`image` is missing"),
        ("kind,text\nbatch,Hi.\n", {}, "row-invalid", "kind", "another kind"),
        ("v\nnobody.png\n", {"template": {"text": "Hi.", "image": "../{{v}}"}}, "manifest-invalid", "v", "next to"),
    ],
)
def test_a_mistake_names_row_and_column(
    tmp_path: Path, table: str, keys: dict[str, Any], code: str, column: str, says: str
) -> None:
    found = wrong(batch(tmp_path, table, **keys))
    assert (found.code, found.column) == (code, column) or (code == "manifest-invalid" and not found.column), found
    assert says in f"{found.message} {found.hint}"


def test_an_unknown_placeholder_is_told_before_any_row_and_a_column_without_use_is_a_warning(tmp_path: Path) -> None:
    rows = batch(tmp_path, "first nmae,extra\nAnna,1\n", template=TEMPLATE)
    with pytest.raises(JobError, match="first name") as caught:
        rows.check_columns()
    assert caught.value.code == "rows-column-unknown"
    assert "{{first nmae}}" in caught.value.hint
    *defaults, unused = batch(tmp_path, "first name,extra,imag\nAnna,1,\n", template=TEMPLATE).check_columns()
    assert "“extra”, “imag”" in unused
    # And of many columns it is said how many there are
    wide = ",".join(("first name", *(f"c{number}" for number in range(25))))
    (*_, many) = batch(tmp_path, f"{wide}\nAnna\n", template=TEMPLATE).check_columns()
    assert many.endswith("“c19” and 5 more of people.csv.")
    assert [one.rpartition(".")[2] for one in defaults] == [" Did you mean `{{imag}}`?", ""]


@pytest.mark.parametrize("text", ["Hello {{first name}.", "Hello {{first name|{{first name}}}}.", "Hello first name}}"])
def test_braces_that_are_no_placeholder_are_told(tmp_path: Path, text: str) -> None:
    template = {"text": text, "image": "{{first name|p.png}}"}
    (warning,) = batch(tmp_path, "first name\nAnna\n", template=template).check_columns()
    assert "`text` of the template has {{ or }}" in warning


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("template: {txt: Hi}", "Did you mean `text`?"),
        ("template: {text: Hi, speed: 9}", "from 0.5 to 2"),
        ("template: {kind: Batch, rows: other.csv, template: {text: Hi}}", "a row is one job (line 3, column"),
        ("template: Hello {{name}}", "must have keys of its own"),
        ("template: [text]", "must have keys of its own"),
        ("on_error: halt", "stop after 5"),
        ("limit: 0", "greater than or equal to 1"),
        ("rows: people.xlsx", ".csv, .tsv or .jsonl"),
    ],
)
def test_a_wrong_batch_is_refused_with_its_line(yaml: str, says: str) -> None:
    rows = "" if yaml.startswith("rows") else "rows: people.csv\n"
    (found,) = parse_manifest(f"kind: batch\n{rows}{yaml}\n".encode())
    assert isinstance(found, JobError), found
    assert "line" in found.message
    assert says in f"{found.message} {found.hint}"


def test_a_placeholder_is_found_wherever_it_stands() -> None:
    assert has_placeholder({"a": [{"b": "x {{y}}"}]})
    assert not has_placeholder({"a": ["{y}", "{{", 1]})
    assert fill({"a": ["{{y}}", 1, "{{z|}}"], "b": "{{z|}}"}, Row(3, 4, {"y": "1"})) == {"a": ["1", 1]}
