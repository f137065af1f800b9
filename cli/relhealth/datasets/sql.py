"""Texts and paths as SQL, for views; templates bind their values instead."""

from collections.abc import Iterable

# What DuckDB reads as a pattern in a path; it has no way to write one beside a backslash.
PATTERN_CHARACTERS = "*?["


def literal(text: str) -> str:
    """Return text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def parquet_files(paths: Iterable[str]) -> str:
    """Return absolute paths as an SQL list that DuckDB does not read as patterns."""
    return f"[{', '.join(literal(_unglobbed(path)) for path in paths)}]"


def _unglobbed(path: str) -> str:
    return "".join(f"[{char}]" if char in PATTERN_CHARACTERS else char for char in path)
