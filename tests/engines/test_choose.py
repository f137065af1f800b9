"""The choice of an engine, and the recipe for a component: it works at once, or is refused."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import run
from engines import WAYS, duckdb_over, engine_over
from relhealth import QuestionError, ReleaseHealth
from relhealth.core.scope import Scope
from relhealth.engines import AUTO, ENGINES, choose
from relhealth.engines.choose import Choice, Engines
from relhealth.engines.components import (
    HEALTH_DATA,
    PROJECTS,
    SESSIONS_BY_STATUS,
    USERS_BY_STATUS,
    Component,
    Over,
)
from relhealth.engines.interface import Ask, CannotAnswerError
from relhealth.machine import queries
from relhealth.rollup.build import make
from rows import session, user, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from relhealth.engines.interface import Engine
    from relhealth.machine.database import Row

NOW = "2026-03-02T12:30:00Z"
SCOPE = Scope.resolve(datetime(2026, 3, 2, 12, 30, tzinfo=UTC))
ANR = Component("users_with_an_anr", Over.SUMMARY, ("project_id", "release"), ("users",))
ANR_SQL = """
-- One row per (project, release) with a user whose app did not respond in the window.
-- users: distinct users; 1 or more. Parameters: $start, $end (the window, end excluded).
SELECT project_id, release, count(DISTINCT member) AS users
FROM metric_rows
WHERE
    timestamp >= $start
    AND timestamp < $end
    AND metric = 's:sessions/user@none'
    AND abnormal_mechanism IN ('anr_foreground', 'anr_background')
GROUP BY project_id, release
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with three users, one of whom had an ANR, twice."""
    anr = {"session_status": "abnormal", "abnormal_mechanism": "anr_background"}
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "a.parquet", [session(), user(1), user(2, **anr), user(2, **anr), user(3)])
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_a_new_component_works_or_is_refused(
    way: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe of CONTRIBUTING: a template, and a line of the registry."""
    shutil.copytree(queries.folder(), tmp_path / "queries")
    (tmp_path / "queries" / f"{ANR.name}.sql").write_text(ANR_SQL)
    monkeypatch.setattr(queries, "folder", lambda: tmp_path / "queries")
    ask = Ask(ANR, SCOPE)
    with closing(engine_over(data, way, monkeypatch)) as engine:
        refusal = engine.refuses(ask)
        if way in {"kernel", "rollup"}:
            assert refusal is not None
            assert ANR.name in refusal
        else:
            assert refusal is None
            (rows,) = engine.answer([ask])
            assert rows == [{"project_id": 1, "release": "shop@1.0.0", "users": 1}]
        both = engines(duckdb_over(data), engine, rows=10**9 if way == "kernel" else 0)
        new, known = both.answer([ask, Ask(USERS_BY_STATUS, SCOPE)])
        assert [row["users"] for row in new] == [1]
        assert [row["users"] for row in known] == [3]


def makers(some: Sequence[Engine]) -> dict[str, Callable[[], Engine]]:
    """Return what makes engines, by their names."""
    return {one.name: partial(lambda made: made, one) for one in some}


def engines(*some: Engine, named: str = "auto", rows: int = 0) -> Engines:
    """Return the choice between engines; the windows have so many rows."""
    return Engines(makers(some), named=named, rows_in=lambda _: rows, choices={})


class Fake:
    """An engine that refuses some components, and answers with its name."""

    def __init__(self, name: str, *refused: Component, fails: bool = False) -> None:
        """Refuse some components; fail while reading."""
        self.name = name
        self._refused = refused
        self._fails = fails

    def refuses(self, ask: Ask) -> str | None:
        """Return why."""
        return "it is too new" if ask.component in self._refused else None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the engine's name for each."""
        if self._fails:
            raise CannotAnswerError("a file is odd")
        return [[{"by": self.name}] for _ in asks]

    def close(self) -> None:
        """Do nothing."""


ASKS = [Ask(SESSIONS_BY_STATUS, SCOPE), Ask(HEALTH_DATA, SCOPE)]
FEW, MANY = choose.KERNEL_FROM - 1, choose.KERNEL_FROM
BY: list[tuple[list[Fake], int, list[str], list[Choice]]] = [
    (
        [Fake("duckdb"), Fake("kernel")],
        FEW,
        ["duckdb", "duckdb"],
        [Choice("duckdb", f"at most {FEW:,} rows in the windows")],
    ),
    (
        [Fake("duckdb"), Fake("kernel")],
        MANY,
        ["kernel", "kernel"],
        [Choice("kernel", f"at most {MANY:,} rows in the windows")],
    ),
    (
        [Fake("duckdb"), Fake("kernel", HEALTH_DATA)],
        MANY,
        ["kernel", "duckdb"],
        [
            Choice("kernel", f"at most {MANY:,} rows in the windows"),
            Choice("duckdb", f"at most {MANY:,} rows in the windows; kernel: it is too new"),
        ],
    ),
    (
        [Fake("duckdb"), Fake("kernel", fails=True)],
        MANY,
        ["duckdb", "duckdb"],
        [Choice("duckdb", f"at most {MANY:,} rows in the windows; kernel: a file is odd")],
    ),
    (
        [Fake("duckdb"), Fake("kernel"), Fake("rollup", SESSIONS_BY_STATUS)],
        FEW,
        ["duckdb", "rollup"],
        [
            Choice("rollup", "a fresh rollup is beside the data"),
            Choice("duckdb", f"at most {FEW:,} rows in the windows; rollup: it is too new"),
        ],
    ),
]


@pytest.mark.parametrize(("some", "rows", "by", "told"), BY)
def test_the_choice(some: list[Fake], rows: int, by: list[str], told: list[Choice]) -> None:
    choices: dict[Choice, None] = {}
    chosen = Engines(makers(some), named="auto", rows_in=lambda _: rows, choices=choices)
    assert chosen.answer(ASKS) == [[{"by": name}] for name in by]
    assert list(choices) == told
    assert chosen.answer([]) == []


def test_a_named_engine_answers_alone() -> None:
    some = [Fake("duckdb"), Fake("kernel", HEALTH_DATA)]
    assert engines(*some, named="duckdb").answer(ASKS) == [[{"by": "duckdb"}]] * 2
    with pytest.raises(QuestionError, match="kernel: it is too new; leave --engine out"):
        engines(*some, named="kernel").answer(ASKS)


def test_engines_at_the_command_line(data: Path) -> None:
    line = ["overview", str(data), "--now", NOW, "-f", "json", "--debug"]
    answers = []
    make(data)
    for name in ("duckdb", "kernel", "rollup"):
        result = run(*line, "--engine", name)
        assert result.code == 0, result.err
        assert f"relhealth: engine {name}: it was named\n" in result.err
        document = json.loads(result.out)
        assert document["meta"].pop("engine") == [{"name": name, "reason": "it was named"}]
        answers.append(document)
    assert answers[0] == answers[1] == answers[2]
    found = json.loads(run(*line).out)["meta"]["engine"]
    assert found == [{"name": "rollup", "reason": "a fresh rollup is beside the data"}]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "spanner",
            f"unknown engine 'spanner': expected one of {', '.join((AUTO, *ENGINES))}",
        ),
        ("rollup", "engine 'rollup' cannot be used; there is no fresh rollup beside the sources"),
    ],
)
def test_an_engine_that_is_not_there(name: str, line: str, data: Path) -> None:
    result = run("overview", str(data), "--now", NOW, "--engine", name)
    assert (result.code, result.out, result.err) == (2, "", f"relhealth: error: {line}\n")
    with pytest.raises(QuestionError, match="engine"), ReleaseHealth(data, engine=name) as health:
        health.overview(now=NOW)


def test_loaded_rows_are_those_of_the_files(data: Path) -> None:
    """A file that changes after its rows were loaded is read anew."""
    with ReleaseHealth(data, engine="duckdb") as opened:
        assert opened.overview(now=NOW).rows[0].total_sessions == 1
        write(data / "a.parquet", [session(value=5.0)])
        assert opened.overview(now=NOW).rows[0].total_sessions == 5


def test_the_projects_of_a_file_in_nanoseconds(tmp_path: Path) -> None:
    """All time is longer than nanoseconds reach."""
    table = rows.table([session()])
    at = table.column_names.index("timestamp")
    stamps = table["timestamp"].cast(pa.timestamp("ns", "UTC"))
    pq.write_table(table.set_column(at, "timestamp", stamps), tmp_path / "a.parquet")
    with closing(duckdb_over(tmp_path)) as engine:
        assert engine.answer([Ask(PROJECTS, SCOPE)]) == [[{"project_id": 1}]]
