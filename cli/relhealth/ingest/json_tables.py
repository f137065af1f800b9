"""Session tables of JSON: one object per line, or an array of objects."""

import json
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from typing import Any

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets.compression import HEAD
from relhealth.ingest.protocol import FaultError, parse_object
from relhealth.ingest.staging import Stage
from relhealth.ingest.tables import TableRows, TableSettings, as_json

MOST_DOCUMENT = 1 << 26  # bytes of a document, which is in memory at once
_MOST_SHAPES = 1_000  # cached sets of keys, with their columns
_LINES = "write an object a line, such as with jq -c '.[]'"


def read(stream: BufferedReader, source: str, stage: Stage, table: TableSettings) -> None:
    """Stage every object as one session.

    Raises ``DataError`` for a table without its columns, at the end of the input, because
    each object can lack some.
    """
    rows = TableRows(table, source, stage)
    shapes: dict[tuple[str, ...], dict[str, str]] = {}
    some = False
    if _is_document(stream.peek(HEAD)):
        for row in _objects(stream, source):
            some = True
            _take(rows, row, partial(as_json, row), shapes)
    else:
        for line in stage.lines(stream, source):
            try:
                row = parse_object(line, "row")
            except FaultError as error:
                stage.reject(source, str(error), line, error.example)
                continue
            some = True
            _take(rows, row, partial(bytes, line), shapes)
    if some:
        rows.check()
    rows.close()


def _take(
    rows: TableRows,
    row: dict[str, Any],
    item: "partial[bytes]",
    shapes: dict[tuple[str, ...], dict[str, str]],
) -> None:
    shape = tuple(row)
    columns = shapes.get(shape)
    if columns is None:
        columns = rows.columns(shape)
        if len(shapes) < _MOST_SHAPES:
            shapes[shape] = columns
    partitions = rows.table.partitions
    fields = {
        name: row[column] if column in row else partitions[column]
        for name, column in columns.items()
    }
    rows.take(fields, item)


def _is_document(head: bytes) -> bool:
    """Return whether JSON spans lines: its first line is JSON but no line is an object."""
    if not head.lstrip().startswith((b"[", b"{")):
        return False
    return not any(_is_object(line) for line in head.split(b"\n")[:50])


def _is_object(line: bytes) -> bool:
    try:
        parse_object(line, "")
    except FaultError:
        return False
    return True


def _objects(stream: BufferedReader, source: str) -> Iterator[dict[str, Any]]:
    content = stream.read(MOST_DOCUMENT + 1)
    if len(content) > MOST_DOCUMENT:
        raise DataError(
            f"{printable(source)}: a JSON document of more than {MOST_DOCUMENT >> 20} MiB; {_LINES}"
        )
    decoder = json.JSONDecoder()
    try:
        text = content.decode().strip()
        while text:
            found, end = decoder.raw_decode(text)
            text = text[end:].lstrip()
            for one in found if isinstance(found, list) else [found]:
                if not isinstance(one, dict):
                    what = "a JSON document that is not an array of objects"
                    raise DataError(f"{printable(source)}: {what}; {_LINES}")
                yield one
    except (ValueError, RecursionError):
        raise DataError(f"{printable(source)}: damaged JSON; {_LINES}") from None
