"""Reads a table of rows: CSV (commas, semicolons, tabs or vertical bars), TSV, or JSON Lines. One row is in memory at a time.

A table for people is hardly ever plain: spreadsheet programs write a byte-order mark, UTF-16, semicolons, blanks in the header,
empty lines at the end and quoted cells with newlines. These are read. What could be read in two ways is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from daemon.errors import JobError

#: Endings of the files that hold rows.
TABLE_ENDINGS: Final = (".csv", ".tsv", ".jsonl")
#: Most columns of a table, and most characters of one cell; most characters of a row of JSON Lines.
MAX_COLUMNS, MAX_CELL, MAX_LINE = 1000, 100_000, 1_000_000
#: Most rows that are read, whatever `limit` says.
MAX_ROWS = 100_000
#: Columns that a report adds to those of its table. They are not read as columns where a report is handed in again.
REPORT_COLUMNS: Final = ("_row", "_state", "_job", "_file", "_seconds", "_code", "_error", "_sha256", "_batch")

#: Zero-width signs, which come with cells that were copied from pages, and marks of files that were joined.
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*")
_SEPARATOR = re.compile(r"sep=([,;\t|])", re.IGNORECASE)
_DELIMITERS = ",;\t|"
_SAVE_AGAIN = (
    "In Excel: Save as, “CSV UTF-8 (Comma delimited)”; in LibreOffice: Save as, Text CSV, character set UTF-8."
)
#: How the files of spreadsheet programs begin, which are no text.
_WORKBOOKS = ((b"PK\x03\x04", "an Excel or LibreOffice workbook"), (b"\xd0\xcf\x11\xe0", "an old Excel workbook"))

#: A cell's text; in JSON Lines also a number, a truth value, a list or an object.
Cell = Any


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        number: from 1, without the header and empty lines.
        line: of the file in which it begins, from 1.
        cells: by column; what is empty is left out.
        error: what is wrong with the row itself; empty where nothing is.
    """

    number: int
    line: int
    cells: Mapping[str, Cell]
    error: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose header has been read.

    Attributes:
        path: the file.
        name: what people call it.
        columns: names in small letters without outer blanks, in order; empty for JSON Lines, where each row has its own.
        headers: the same names as they are written.
        delimiter: sign that parts its columns; empty for JSON Lines.
        is_report: whether it is the report of a batch, handed in again.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    headers: tuple[str, ...]
    encoding: str
    delimiter: str
    is_report: bool = False

    def rows(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            JobError: `rows-invalid`, where the rest of the file cannot be read.
        """
        with self.path.open(encoding=self.encoding, newline="") as file:
            rows, seen = _checked(self.name, self._lines(file) if self.delimiter else _objects(file)), set[int]()
            yield from (self._of_report(row, seen) for row in rows) if self.is_report else rows

    def _lines(self, file: TextIO) -> Iterator[Row]:
        reader = _reader(file, self.delimiter)
        header_read, number = False, 0
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as exc:
                raise _invalid(self.name, line, exc) from exc
            if cells is None:
                return
            if not any(map(str.strip, cells)):
                continue
            if not header_read:
                header_read = _SEPARATOR.fullmatch(self.delimiter.join(cells).strip()) is None
                continue
            number += 1
            if len(cells) > len(self.columns) and any(map(str.strip, cells[len(self.columns) :])):
                extra = next(cell for cell in cells[len(self.columns) :] if cell.strip())
                columns = f"{len(self.columns)} column{'s' if len(self.columns) > 1 else ''}"
                error = (
                    f"it has {len(cells)} cells, but the table has {columns} (the first one too many: “{extra[:40]}”)"
                )
                yield Row(number, line, {}, error)
                continue
            pairs = zip(self.columns, cells, strict=False)
            yield Row(number, line, {column: cell.strip() for column, cell in pairs if column and cell.strip()})

    @staticmethod
    def _of_report(row: Row, seen: set[int]) -> Row:
        """Return a row of a report with the number and the cells that it had in its table: people sort and filter reports."""
        if row.error:
            return row
        row = replace(row, cells={key: from_report(c) if isinstance(c, str) else c for key, c in row.cells.items()})
        cell = str(row.cells.get(REPORT_COLUMNS[0], ""))
        number = int(cell) if cell.isdecimal() and len(cell) < 10 and 0 < int(cell) <= MAX_ROWS else 0
        if not number or number in seen:
            what = f"`{REPORT_COLUMNS[0]}` is {f'{number} in another row, too' if number else 'no number of a row'}"
            return replace(row, error=what)
        seen.add(number)
        return replace(row, number=number)


def open_table(path: Path, name: str) -> Table:
    """Open a table and read its header.

    Args:
        name: of the file, for messages and by its ending.

    Raises:
        JobError: `rows-not-text`, `rows-empty`, `rows-invalid`.
    """
    with path.open("rb") as file:
        head = file.read(4)
    for mark, what in _WORKBOOKS:
        if head.startswith(mark):
            raise JobError("rows-not-text", f"{name} is {what}, not a table of text.", f"Save it as CSV. {_SAVE_AGAIN}")
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    _check_encoding(path, name, encoding)
    if name.lower().endswith(".jsonl"):
        table = Table(path, name, (), (), encoding, "")
        if (row := next(table.rows(), None)) is None:
            raise JobError("rows-empty", f"{name} has no rows.", "Write one JSON object in each line.")
        return replace(table, is_report=REPORT_COLUMNS[0] in row.cells)
    with path.open(encoding=encoding, newline="") as file:
        first = _first_line(file)
        # What Excel reads as an order which sign parts the columns.
        if first is not None and (order := _SEPARATOR.fullmatch(first.strip())) is not None:
            first = _first_line(file)
            if first is not None:
                return _table(path, name, encoding, first, order[1])
    if first is None:
        raise JobError(
            "rows-empty", f"{name} is empty.", "Its first line names the columns; each further line is a row."
        )
    return _table(path, name, encoding, first, "\t" if name.lower().endswith(".tsv") else _delimiter_of(first))


def _table(path: Path, name: str, encoding: str, first: str, delimiter: str) -> Table:
    headers = _headers(name, first, delimiter)
    if is_report := REPORT_COLUMNS[0] in map(column_name, headers):
        headers = tuple(map(from_report, headers))
    table = Table(path, name, tuple(map(column_name, headers)), headers, encoding, delimiter, is_report)
    if next(table.rows(), None) is None:
        raise JobError(
            "rows-empty", f"{name} has a header, but no rows.", "Write a line for each job below the header."
        )
    return table


def _check_encoding(path: Path, name: str, encoding: str) -> None:
    """Refuse a file that is no text of this encoding: names of people are spoken, so none is guessed.

    Raises:
        JobError: `rows-not-text`.
    """
    line = 1
    with path.open("rb") as raw:
        if _is_text(raw, encoding):
            return
        raw.seek(0)  # what is wrong, and in which line: to look at one line after the other takes twenty times as long
        if encoding == "utf-16":
            try:
                file = io.TextIOWrapper(raw, encoding)
                while text := file.readline(MAX_LINE + 1):
                    _check_line_length(name, text, line)
                    if "\0" in text:  # UTF-32, which begins alike
                        raise _no_text(name, line)
                    line += 1
            except UnicodeError as exc:
                what = f"{name} begins like UTF-16 text, but cannot be read as that."
                raise JobError("rows-not-text", what, f"Save it as UTF-8. {_SAVE_AGAIN}") from exc
            return
        while data := raw.readline(MAX_LINE):
            if b"\0" in data:
                raise _no_text(name, line)
            try:
                data.decode()
            except UnicodeDecodeError as exc:
                if len(data) == MAX_LINE and exc.start > MAX_LINE - 4:
                    raise _too_long(name, line) from exc
                words = data.rstrip(b"\r\n").decode("cp1252", "replace")
                at = len(data[: exc.start].decode("cp1252", "replace"))
                seen = words[max(0, at - 15) : at + 15].strip()
                raise JobError(
                    "rows-not-text",
                    f"{name} is not UTF-8 text: line {line} reads “{seen}” if it is Windows' western encoding, and otherwise "
                    "if it is another one.",
                    f"Save it as UTF-8, so that names are said as they are. {_SAVE_AGAIN}",
                ) from exc
            if len(data) == MAX_LINE:
                raise _too_long(name, line)
            line += 1


def _is_text(raw: BinaryIO, encoding: str) -> bool:
    """Whether a file is text of this encoding whose lines are certainly short, as there is an end of one in each block."""
    decoder, size = codecs.getincrementaldecoder(encoding)(), MAX_LINE // 4
    try:
        while block := raw.read(size):
            text = decoder.decode(block)
            if "\0" in text or (len(block) == size and "\n" not in text):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _no_text(name: str, line: int) -> JobError:
    return JobError("rows-not-text", f"{name} is not a text file (line {line}).", f"Save it as CSV. {_SAVE_AGAIN}")


def _check_line_length(name: str, text: str, line: int) -> None:
    if len(text) > MAX_LINE:
        raise _too_long(name, line)


def _too_long(name: str, line: int) -> JobError:
    return JobError(
        "rows-invalid",
        f"Line {line} of {name} is longer than {MAX_LINE:,} characters.",
        "See whether a quotation mark was opened there and not closed.",
    )


def _first_line(file: TextIO) -> str | None:
    """Return the first line that is not empty, with the newlines in its quoted cells; None where there is none."""
    text = ""
    for line in file:
        text += line
        if text.strip() and text.count('"') % 2 == 0:
            return text
        if not text.strip():
            text = ""
        if len(text) > MAX_LINE:
            break
    return text if text.strip() else None


def _delimiter_of(header: str) -> str:
    """Return the sign that parts the columns of a header: the most frequent one outside of quotes; a comma if there is none."""
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _headers(name: str, header: str, delimiter: str) -> tuple[str, ...]:
    try:
        cells = next(_reader(io.StringIO(header, newline=""), delimiter))
    except csv.Error as exc:
        raise _invalid(name, 1, exc) from exc
    if len(cells) > MAX_COLUMNS:
        raise JobError(
            "rows-invalid", f"{name} has {len(cells)} columns; {MAX_COLUMNS} are allowed.", "Remove those without use."
        )
    seen: set[str] = set()
    for column in filter(None, map(column_name, cells)):
        if column in seen:
            raise JobError(
                "rows-invalid",
                f"{name} has two columns “{column}”.",
                "Rename one of them; capital letters do not count.",
            )
        seen.add(column)
    if not seen:
        raise JobError(
            "rows-invalid",
            f"The header of {name} names no column.",
            "Write the names of the columns in its first line.",
        )
    return tuple(" ".join(cell.split()) for cell in cells)


def for_report(cell: str) -> str:
    """Return a cell for a report. What a spreadsheet program would take for a formula, and run, gets a ' before it."""
    return f"'{cell}" if _is_formula(cell.lstrip("'")) else cell  # also where a ' stands there already: `from_report`


def from_report(cell: str) -> str:
    """Return what a cell was before `for_report`."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(cell: str) -> bool:
    return cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell)


def column_name(cell: str) -> str:
    """Return the name of a column as it is compared: without outer blanks, in small letters, its accents composed, as Macs do not
    write them, and without signs that nobody sees.
    """
    return " ".join(unicodedata.normalize("NFC", cell).translate(_UNSEEN).split()).casefold()


def _reader(file: TextIO, delimiter: str) -> Any:
    csv.field_size_limit(MAX_CELL)
    return csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)


def _objects(file: TextIO) -> Iterator[Row]:
    number = 0
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        number += 1
        try:
            value = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_number)
        except (ValueError, RecursionError) as exc:
            yield Row(number, line, {}, f"it is no JSON that can be used ({str(exc).split(':')[0]})")
            continue
        if not isinstance(value, dict):
            yield Row(number, line, {}, 'it is no JSON object, such as {"name": "Anna"}')
            continue
        cells = {column_name(key): cell.strip() if isinstance(cell, str) else cell for key, cell in value.items()}
        yield Row(number, line, {key: cell for key, cell in cells.items() if cell not in ("", None)})


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [column_name(key) for key, _ in pairs]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"it has two keys {double}")
    return dict(pairs)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no value")


def _checked(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        if row.number > MAX_ROWS:
            raise JobError("rows-invalid", f"{name} has more than {MAX_ROWS:,} rows.", "Split it.")
        yield row


def _invalid(name: str, line: int, exc: csv.Error) -> JobError:
    if "field larger" in str(exc):
        return JobError(
            "rows-invalid",
            f"A cell of {name} that begins in line {line} has more than {MAX_CELL:,} characters.",
            "See whether a quotation mark was opened there and not closed.",
        )
    return JobError(
        "rows-invalid",
        f"Line {line} of {name} cannot be read: {exc}.",
        'See whether its quotation marks are closed. A quotation mark within a quoted cell is written twice: "".',
    )
