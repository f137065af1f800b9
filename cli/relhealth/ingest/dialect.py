"""Dialects of CSV: finds the delimiter by the header line."""

import csv
import io
import re

from relhealth.core.errors import DataError
from relhealth.ingest.mapping import Words

_DELIMITERS = (",", ";", "\t", "|")
# A line that some spreadsheets write before the names.
_DECLARED = re.compile(rb'"?sep=([^\w\s"\']|\t)"?[\t,;|]*(?:\r\n?|\n|$)', re.IGNORECASE)


def declared(head: bytes) -> str | None:
    """Return the delimiter that a first line such as ``sep=;`` declares; ``None`` for none."""
    match = _DECLARED.match(head)
    return None if match is None else match[1].decode(errors="replace")


def dialect_of(head: bytes, words: Words) -> str | None:
    """Return the delimiter of a table by its first bytes; ``None`` if it is not a table.

    It is the one that gives the most columns of sessions, else the most columns.
    """
    delimiter = declared(head)
    if delimiter is not None:
        names = header_of(_DECLARED.sub(b"", head, 1).decode(errors="replace"), delimiter)
        return delimiter if len(names) > 1 else None
    text = head.decode(errors="replace")
    best: tuple[tuple[int, int], str] | None = None
    for delimiter in _DELIMITERS:
        names = header_of(text, delimiter)
        if len(names) < 2:  # noqa: PLR2004 - a table of sessions has more columns than one
            continue
        try:
            found = len(words.find(names))
        except DataError:  # reading the table reports it
            found = len(names)
        size = found, len(names)
        if best is None or size > best[0]:
            best = size, delimiter
    return None if best is None else best[1]


def header_of(text: str, delimiter: str) -> list[str]:
    """Return the cells of the first line with text."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return next(([cell.strip() for cell in cells] for cells in reader if cells), [])
    except csv.Error:
        return []
