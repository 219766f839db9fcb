"""A table is read as spreadsheet programs write it; what could be read in two ways is refused, with line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import JobError
from daemon.jobs.batch.table import MAX_COLUMNS, MAX_LINE, column_name, for_report, from_report, open_table

PLAIN = [{"name": "Anna", "course": "Physics, advanced"}, {"name": "Ben"}]


def rows_of(folder: Path, data: bytes, name: str = "people.csv") -> list[dict[str, object]]:
    (folder / name).write_bytes(data)
    return [dict(row.cells) for row in open_table(folder / name, name).rows()]


def open_table_of(folder: Path, data: bytes) -> None:
    (folder / "people.csv").write_bytes(data)
    open_table(folder / "people.csv", "people.csv")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("people.csv", b'name,course\nAnna,"Physics, advanced"\nBen,\n'),
        ("people.csv", b"\xef\xbb\xbfname;course\r\nAnna;Physics, advanced\r\nBen;\r\n"),
        ("people.csv", b"name\tcourse\nAnna\tPhysics, advanced\nBen\n"),
        ("people.csv", b"name|course\nAnna|Physics, advanced\nBen|\n"),
        ("people.tsv", b"name\tcourse\nAnna\tPhysics, advanced\nBen\t\n"),
        ("people.csv", 'name;course\nAnna;"Physics, advanced"\nBen;\n'.encode("utf-16")),
        ("people.csv", b'\n Name , COURSE \n Anna ,"Physics, advanced"\n\n,\nBen, \n ,\n'),
        ("people.csv", b'sep=;\r\nname;course\r\nAnna;"Physics, advanced"\r\nBen;\r\n'),
        ("people.CSV", b'"name",course,\nAnna,"Physics, advanced",\nBen,,'),
        ("people.jsonl", b'{"Name": "Anna", "course": " Physics, advanced "}\n\n{"name": "Ben", "course": null}'),
    ],
)
def test_what_spreadsheet_programs_write_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    assert rows_of(tmp_path, data, name) == PLAIN


def test_a_column_is_found_however_its_accents_are_written_and_whatever_nobody_sees_in_it() -> None:
    composed, apart = "Pr\u00e9nom", "Pre\u0301nom"
    assert {column_name(name) for name in (composed, apart, f"\u200b{apart} ", f"\ufeff{composed}")} == {"pr\u00e9nom"}


def test_a_cell_may_have_line_ends_quotes_and_signs_of_yaml(tmp_path: Path) -> None:
    found = rows_of(tmp_path, b'text,x\n"one\ntwo ""three"" {{x}}: # - *","=1+1"\n')
    assert found == [{"text": 'one\ntwo "three" {{x}}: # - *', "x": "=1+1"}]


def test_rows_are_numbered_for_people_and_know_their_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'a,b\n"1\n1",x\n\n2,x\n3,x,y\n4,x\n')
    found = [(row.number, row.line, bool(row.error)) for row in open_table(tmp_path / "t.csv", "t.csv").rows()]
    assert found == [(1, 2, False), (2, 5, False), (3, 6, True), (4, 7, False)]


def test_a_report_that_was_sorted_keeps_the_numbers_of_its_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "a,_row,_state\nx,3,failed\ny,1,done\nz,3,failed\nw,,\n" + f"v,{'9' * 5000},failed\n"
    )
    found = [
        (row.number, row.cells.get("a"), bool(row.error)) for row in open_table(tmp_path / "t.csv", "t.csv").rows()
    ]
    assert found == [(3, "x", False), (1, "y", False), (3, "z", True), (4, "w", True), (5, "v", True)]


@pytest.mark.parametrize("line", ['{"a": 1, "A": 2}', '{"a": NaN}', "[1]", "{"])
def test_a_line_that_is_no_object_of_json_is_an_error_of_its_row(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    found = [(row.number, bool(row.error)) for row in open_table(tmp_path / "t.jsonl", "t.jsonl").rows()]
    assert found == [(1, False), (2, True)]


@pytest.mark.parametrize(
    ("name", "data", "code", "says"),
    [
        ("t.csv", "a\nb\n".encode("utf-32"), "rows-not-text", "is not a text file (line 1)"),
        ("t.csv", "name\nMüller\n".encode("cp1252"), "rows-not-text", "line 2 reads “Müller”"),
        ("t.csv", b"\xff\xfen\0a", "rows-not-text", "UTF-16"),
        ("t.csv", b"a\0b\n1\n", "rows-not-text", "line 1"),
        ("t.csv", b"PK\x03\x04rest", "rows-not-text", "workbook"),
        ("t.csv", b"", "rows-empty", "is empty"),
        ("t.csv", b"a,b\n,\n", "rows-empty", "no rows"),
        ("t.jsonl", b"\n", "rows-empty", "no rows"),
        ("t.csv", b"a,A \n1,2\n", "rows-invalid", "two columns “a”"),
        ("t.csv", b",,\n1,2,3\n", "rows-invalid", "names no column"),
        ("t.csv", b'a,b\n1,"2\n', "rows-invalid", "quotation marks"),
        ("t.csv", ",".join(map(str, range(MAX_COLUMNS + 1))).encode() + b"\n1\n", "rows-invalid", "columns"),
        ("t.csv", b"a\n" + b"x" * 2_000_000, "rows-invalid", "longer than"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_a_remedy(
    tmp_path: Path, name: str, data: bytes, code: str, says: str
) -> None:
    with pytest.raises(JobError) as caught:
        rows_of(tmp_path, data, name)
    assert caught.value.code == code
    assert says in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ("Müller".encode("cp1252"), "rows-not-text", "line 200002 reads “Müller”"),
        (b"a\0b", "rows-not-text", "line 200002"),
        (b"x" * MAX_LINE, "rows-invalid", "Line 200002"),
        ("é".encode()[:1], "rows-not-text", "line 200002"),
    ],
)
def test_what_is_wrong_far_down_in_a_large_table_is_told_with_its_line(
    tmp_path: Path, wrong: bytes, code: str, says: str
) -> None:
    # Given a large table with letters of two and three bytes, wherever the blocks end in which it is read
    large = "näme\n".encode() + "Łucja €\n".encode() * 200_000
    assert len(large) > 2 * MAX_LINE
    open_table_of(tmp_path, large)
    # When something below is wrong
    with pytest.raises(JobError) as caught:
        open_table_of(tmp_path, large + wrong)
    # Then it is told where
    assert (caught.value.code, says in caught.value.message) == (code, True), caught.value.message


def test_three_hundred_columns_are_no_fault(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(300)]
    data = ",".join(names) + "\n" + ",".join(map(str, range(300)))
    assert rows_of(tmp_path, data.encode())[0]["c299"] == "299"


@given(st.text())
def test_what_a_report_writes_for_a_spreadsheet_program_is_read_as_it_was(cell: str) -> None:
    shown = for_report(cell)
    assert from_report(shown) == cell
    assert not shown.startswith(("=", "@", "+cmd", "-cmd"))
