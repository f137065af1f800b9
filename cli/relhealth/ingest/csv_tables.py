"""Session tables of CSV: rows under a header line, with any usual delimiter."""

import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets.compression import HEAD
from relhealth.ingest.dialect import declared, dialect_of
from relhealth.ingest.lines import MOST_BYTES, Lines
from relhealth.ingest.staging import Stage
from relhealth.ingest.tables import TableRows, TableSettings, as_json

_NEEDED = {"session_id", "started", "status", "release", "project_id"}
_DECIMAL_COMMA = re.compile(r"\s*[0-9]+,[0-9]+\s*")
_NO_FRACTION = re.compile(r"\s*[0-9]+,0+\s*")
_DECIMAL_COMMAS = dict.fromkeys(["errors", "duration"], _DECIMAL_COMMA) | dict.fromkeys(
    ["session_id", "user_id", "project_id"], _NO_FRACTION
)


def read(stream: io.BufferedReader, source: str, stage: Stage, table: TableSettings) -> None:
    """Stage every row of a CSV as one session; reject rows with more or fewer cells.

    Raises ``DataError`` for a table without its columns, and for a quote without an end, because
    the number of rows in it is unknown.
    """
    head = stream.peek(HEAD)
    delimiter = dialect_of(head, table.words) or ","
    rows = TableRows(table, source, stage)
    has_commas = delimiter == ";"  # where commas are not the delimiter, they may be of decimals
    lines = _lines(stream, head)
    if declared(head) is not None:
        next(lines)
    reader = csv.reader(_text(lines, source), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            _refuse_open_quote(error, source, reader.line_num)
            rows.reject("row: not readable as CSV", b"")
            continue
        if cells is None:
            break
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            columns = rows.columns(header)
            rows.check()
            places = {name: header.index(c) for name, c in columns.items() if c in header}
            needed = {at for name, at in places.items() if name in _NEEDED}
            fixed = {name: table.partitions[c] for name, c in columns.items() if c not in header}
            continue
        missing = set(range(len(cells), len(header)))
        if missing and not missing & needed:
            cells += [""] * len(missing)  # empty cells at the end are optional
        if len(cells) != len(header):
            more = "more" if len(cells) > len(header) else "fewer"
            rows.reject(f"row: {more} cells than the table has columns", as_json({"row": cells}))
            continue
        fields: dict[str, object] = {name: cells[at] for name, at in places.items()}
        if has_commas:
            fields = {name: _with_point(name, str(cell)) for name, cell in fields.items()}
        fields.update(fixed)
        rows.take(fields, partial(as_json, dict(zip(header, cells, strict=True))))
    rows.close()


def _refuse_open_quote(error: csv.Error, source: str, line: int) -> None:
    if "unexpected end" in str(error) or "field larger" in str(error):
        raise DataError(
            f"{printable(source)}: a quote before line {line:,} is not closed, so that rows are"
            " lost in a cell; close it, or double quotes within cells"
        ) from None


def _lines(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """Return lines, also of a file with carriage returns as line ends."""
    if b"\r" in head and b"\n" not in head:
        return iter(Lines(cast("BinaryIO", _Returns(stream))))
    return iter(Lines(stream))


class _Returns:
    """Reads carriage returns as line ends."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size).replace(b"\r", b"\n")


def _text(lines: Iterator[bytes], source: str) -> Iterator[str]:
    for line in lines:
        if len(line) > MOST_BYTES:
            raise DataError(
                f"{printable(source)}: a line is longer than {MOST_BYTES:,} bytes: no table of"
                " sessions has such rows"
            )
        yield line.decode(errors="surrogateescape") + "\n"


def _with_point(name: str, cell: str) -> str:
    """Return a number with a decimal point instead of a comma; ids only if their fraction is 0."""
    pattern = _DECIMAL_COMMAS.get(name)
    if pattern is not None and pattern.fullmatch(cell):
        return cell.replace(",", ".")
    return cell
