"""Dimensions of sessions on their way into a data set: one text a row, of names and values.

The text is a JSON object in the order of the names, without values that are missing, or null for
none. Only the writer of a day makes a column of each name.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from relhealth.core.dimensions import check_dimension, key
from relhealth.core.errors import QuestionError
from relhealth.datasets.casts import quoted
from relhealth.datasets.sql import literal
from relhealth.ingest.values import BadValueError, text_of

FIELD = "dimension "  # before the name of a dimension, among the fields of a row
# The names of the dimensions in some rows.
NAMES = """
SELECT DISTINCT unnest(json_keys(dimensions)) AS name
FROM (SELECT dimensions FROM marked_updates UNION ALL SELECT dimensions FROM metric_data)
WHERE dimensions IS NOT NULL
ORDER BY name
"""


def check(dimensions: Mapping[str, str]) -> None:
    """Raise ``QuestionError`` for names that are no dimensions, or that differ only in case."""
    known: dict[str, str] = {}
    for name in dimensions:
        check_dimension("--dimension", name)
        other = known.setdefault(key(name), name)
        if other != name:
            raise QuestionError(f"--dimension {name}: differs from {other} only in case")


def packed(values: Mapping[str, str | None]) -> str | None:
    """Return the text of a row's dimensions."""
    return _packed(tuple(sorted((name, value) for name, value in values.items() if value)))


@lru_cache(maxsize=4096)
def _packed(values: tuple[tuple[str, str], ...]) -> str | None:
    return json.dumps(dict(values), ensure_ascii=False) if values else None


def read(
    dimensions: Mapping[str, str],
    given: Mapping[str, object],
    lose: Callable[[str, object], None],
) -> str | None:
    """Return the text of the dimensions in given columns; lose a value that is no text."""
    found: dict[str, str | None] = {}
    for name, column in dimensions.items():
        value = given.get(column)
        try:
            found[name] = text_of(value)
        except BadValueError:
            lose(f"{FIELD}{name}", value)
    return packed(found)


def columns(names: Iterable[str]) -> list[str]:
    """Return SQL for the column of each name; names that differ only in case have one."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(key(name), []).append(name)
    return [
        f"coalesce({', '.join(map(_value, some))}) AS {quoted(some[0])}" for some in alike.values()
    ]


def _value(name: str) -> str:
    return f"json_extract_string(dimensions, {literal(_pointer(name))})"


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def joined(texts: Sequence[Sequence[str | None]], names: Sequence[str]) -> list[str | None]:
    """Return the text of each row, of columns of values by name."""
    return [packed(dict(zip(names, row, strict=True))) for row in zip(*texts, strict=True)]
