"""The SQL templates: each against its cases in `queries/<template>/<case>.toml`, and by the rules.

A case starts with the arithmetic as a comment, then has

- `parameters`: the template's values; without them the window is 2026-03-02 and lists are null,
- `each`: what every row of `rows` has, beside the defaults of `rows.DEFAULTS`, unless it says
  otherwise,
- `rows`: the rows of the file; `null` lists the columns of a row that are null,
- `each_expected`, `expected`: the rows of the answer, likewise; in order where the template
  promises one,
- `dimensions`: further columns, with their types; `where`: conditions of theirs; `by`: those whose
  values take the place of environments.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

import rows
from clusters import SAIL_GAPS, sail, spark_over
from engines import WAYS, ask_for, duckdb_over, engine_over
from places import TESTS
from relhealth.engines.components import COMPONENTS
from relhealth.machine import queries
from sessions import CONTRACT

if TYPE_CHECKING:
    from collections.abc import Mapping

CASES = TESTS / "queries"
TEMPLATES = sorted(path.stem for path in queries.folder().glob("*.sql"))
# These make files, from relations of their own, and are tested by the files that they make.
MAKERS = {
    "compact_metric_rows",
    "compact_marks",
    "ingest_marked_updates",
    "ingest_metric_rows",
    "ingest_repeats",
    "ingest_marks",
}
# These are other forms of components, and have the cases of those.
PORTABLE = {one.portable for one in COMPONENTS.values() if one.portable is not None}
ASKED = [name for name in TEMPLATES if name not in MAKERS]
QUESTIONS = [name for name in ASKED if name not in PORTABLE]
PARAMETERS: Mapping[str, Any] = {
    "start": datetime(2026, 3, 2, tzinfo=UTC),
    "end": datetime(2026, 3, 3, tzinfo=UTC),
    "projects": None,
    "releases": None,
    "environments": None,
    "now": datetime(2026, 3, 2, 12, 30, tzinfo=UTC),
    "recent": datetime(2026, 3, 2, 6, tzinfo=UTC),
    "interval": None,
    "by_project": True,
    "by_release": True,
    "by_environment": False,
    "statuses": ["crashed"],
    "follow_up": 3_600,
}
CASE_KEYS = {"parameters", "each", "rows", "each_expected", "expected"}
CASE_KEYS |= {"dimensions", "where", "by"}
TYPES = {
    "string": pa.string(),
    "large": pa.large_string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "integer": pa.int16(),
    "unsigned": pa.uint64(),
    "boolean": pa.bool_(),
    "null": pa.null(),
}

# What a second engine could not run, or what would not be exact; see the design, section 7.
FORBIDDEN = [
    r"\btime_bucket\b",
    r"\benum\b",
    r"\basof\b",
    r"\bhash\s*\(",
    r"\bapprox_",
    r"\bin\s*\$",
    r"\blist\s*\(",
]

every_template = pytest.mark.parametrize("name", TEMPLATES)
every_question = pytest.mark.parametrize("name", ASKED)


def cases() -> list[Any]:
    """Every case as pytest's parameters, the id being template/case."""
    return [
        pytest.param(path.parent.name, path, id=f"{path.parent.name}/{path.stem}")
        for path in sorted(CASES.glob("*/*.toml"))
    ]


# The same templates answer from a view as from loaded rows.
WAYS_OF_COMPONENTS = [(way, [pytest.mark.slow] if way == "view" else []) for way in WAYS]


def is_asked(number: int, case: str, way: str) -> bool:
    """Tell whether a way gets a case: of a cluster's, which take a second, each third will do."""
    every = os.environ.get("SPARK_CASES") == "all"
    return way != "sail" or number % 3 == 0 or case in SAIL_GAPS or every


def known_gap(case: str, way: str) -> list[Any]:
    """The mark of a case that an engine is known to answer otherwise."""
    reason = SAIL_GAPS.get(case) if way == "sail" else None
    return [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]


# What an engine does not know, by its name; the rollup keeps no timestamps.
NOT_KNOWN = {
    "duckdb": frozenset[str](),
    "view": frozenset[str](),
    "portable": frozenset[str](),
    "kernel": frozenset[str](),
    "rollup": frozenset({"user_sessions", "followed_users"}),
    "sail": frozenset[str](),
}


@pytest.mark.parametrize(
    ("name", "path", "way"),
    [
        pytest.param(
            *case.values, way, id=f"{case.id}-{way}", marks=[*marks, *known_gap(case.id, way)]
        )
        for number, case in enumerate(cases())
        for way, marks in (
            WAYS_OF_COMPONENTS if case.values[0] in COMPONENTS else [("view", []), ("sail", [])]
        )
        if case.values[0] not in NOT_KNOWN[way] and is_asked(number, str(case.id), way)
    ],
)
def test_case(
    name: str, path: Path, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, expected = prepared(path, tmp_path)
    if name in COMPONENTS:
        ask = ask_for(name, values)
        asked = {key: ask.values()[key] for key in queries.load(name).parameters}
        if ask.scope.by:  # environments are filtered before others take their place
            asked.pop("environments")
        assert asked == {key: values[key] for key in asked}
        with closing(engine_over(tmp_path, way, monkeypatch)) as engine:
            refusal = engine.refuses(ask)
            if refusal is not None:
                told = ["it answers only for whole hours", "it does not keep "]
                assert way == "rollup" and refusal.startswith(told[bool(ask.scope.cut)])  # noqa: PT018
                return
            (answer,) = engine.answer([ask])
        columns = {*ask.component.keys, *ask.component.figures}
        assert all(row.keys() == columns for row in answer), answer
    else:
        reader = spark_over(sail(), tmp_path) if way == "sail" else duckdb_over(tmp_path)
        with closing(reader):
            (answer,) = reader.all_rows([(name, values)])

    check_answer(name, answer, expected)


def prepared(path: Path, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the rows of a case into a folder; return its values, and the expected answer."""
    case = tomllib.loads(path.read_text(encoding="utf-8"))
    assert case.keys() <= CASE_KEYS
    further = {name: TYPES[kind] for name, kind in case.get("dimensions", {}).items()}
    given = filled(rows.DEFAULTS | dict.fromkeys(further) | case.get("each", {}), case["rows"])
    columns = {*CONTRACT, *further}
    assert all(row.keys() == columns for row in given), "a row has an unknown column"
    rows.write(folder / "rows.parquet", given, types=further)
    expected = filled(case.get("each_expected", {}), case["expected"])
    cut = {"where": case.get("where"), "by": case.get("by", ())}
    return {**PARAMETERS, **case.get("parameters", {}), **cut}, expected


def check_answer(name: str, answer: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compare an answer with the expected one, in order where the template promises one."""
    if not promises_order(name):
        answer, expected = sorted(answer, key=repr_of), sorted(expected, key=repr_of)
    assert len(answer) == len(expected), answer
    for found, wanted in zip(answer, expected, strict=True):
        check_row(found, wanted)


def filled(each: Mapping[str, Any], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what they all have, and with nulls where they say so."""
    return [one_filled(each, row) for row in given]


def one_filled(each: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    whole = {**each, **row}
    nulls = whole.pop("null", [])
    return whole | dict.fromkeys(nulls)


def promises_order(name: str) -> bool:
    return "ORDER BY" in queries.load(name).sql


def repr_of(row: Mapping[str, Any]) -> str:
    """A key to sort any rows; figures last, so that close ones pair up."""
    return repr(sorted(row.items(), key=lambda item: (isinstance(item[1], float), item[0])))


def check_row(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Integers, text and flags are exact and of their type; floats are within rounding."""
    assert found.keys() == wanted.keys()
    for column, value in wanted.items():
        assert type(found[column]) is type(value), (column, found)
        if isinstance(value, float):
            assert math.isclose(found[column], value, rel_tol=1e-12), (column, found)
        else:
            assert found[column] == value, (column, found)


def test_every_question_has_cases() -> None:
    assert sorted(path.name for path in CASES.iterdir()) == QUESTIONS
    assert [name for name in QUESTIONS if not list((CASES / name).glob("*.toml"))] == []


@pytest.mark.parametrize(("name", "path"), cases())
def test_case_starts_with_its_arithmetic(name: str, path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"# \S", first), name


def header(name: str) -> list[str]:
    """The comment lines that a template starts with."""
    found = []
    for line in queries.load(name).sql.splitlines():
        if not line.startswith("-- "):
            break
        found.append(line.removeprefix("-- "))
    return found


@every_template
def test_header_says_what_a_row_is(name: str) -> None:
    lines = header(name)
    assert 2 <= len(lines) <= 6
    assert re.match(r"One row(:| per )", lines[0])


@every_template
def test_header_names_every_parameter(name: str) -> None:
    named = set(re.findall(r"\$([a-z_]+)", "\n".join(header(name))))
    assert named == queries.load(name).parameters


@every_question
def test_header_names_every_measure(name: str) -> None:
    """Every column of the answer that is not in a row's grain is explained."""
    text = "\n".join(header(name))
    answer = duckdb.connect().execute(f"DESCRIBE {runnable(name)}", values_of(name)).fetchall()
    unexplained = [column for column, *_ in answer if not re.search(rf"\b{column}\b", text)]
    # The header says the grain in words: "(project, release)".
    assert set(unexplained) <= {"project_id"}


@every_template
def test_template_is_one_plain_statement(name: str) -> None:
    template = queries.load(name)
    statements = duckdb.extract_statements(template.sql)
    assert len(statements) == 1
    assert statements[0].type == duckdb.StatementType.SELECT
    assert statements[0].named_parameters == template.parameters
    assert not re.search(r"[{}]", template.sql), "a format brace, or Jinja"
    assert template.sql.endswith("\n")
    assert not template.sql.rstrip().endswith(";"), "a statement is not a script"


@every_template
@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_template_keeps_to_portable_exact_sql(name: str, pattern: str) -> None:
    code = re.sub(r"--[^\n]*", "", queries.load(name).sql)
    assert not re.search(pattern, code, re.IGNORECASE)


@every_question
def test_template_runs_as_written(name: str) -> None:
    answer = duckdb.connect().execute(runnable(name), values_of(name)).fetchall()
    # Without rows the answer is empty, except the one row of `newest` and similar templates.
    assert answer == ([(None,)] if name in {"newest", "newest_until"} else [])


@every_question
def test_template_lists_its_columns(name: str) -> None:
    code = re.sub(r"--[^\n]*", "", queries.load(name).sql)
    assert not re.search(r"(\bSELECT|,|\.)\s*\*", code)


def runnable(name: str) -> str:
    """The template with a relation `metric_rows` that has no rows."""
    types = {"timestamp": "TIMESTAMPTZ", "value": "DOUBLE", "member": "UBIGINT"}
    types |= {"org_id": "BIGINT", "project_id": "BIGINT"}
    columns = ", ".join(f"NULL::{types.get(name, 'VARCHAR')} AS {name}" for name in CONTRACT)
    empty = f"metric_rows AS (SELECT {columns} WHERE false)"
    sql = re.sub(r"^(--[^\n]*\n)+", "", queries.load(name).sql)
    if sql.startswith("WITH"):
        return sql.replace("WITH", f"WITH {empty},", 1)
    return f"WITH {empty} {sql}"


def values_of(name: str) -> dict[str, Any]:
    return {
        key: {**PARAMETERS, "interval": 3_600, "fractions": [0.5]}[key]
        for key in queries.load(name).parameters
    }
