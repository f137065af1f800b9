"""Questions asked in slices: the same rows for any keys; no more slices than help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import rows
from command import run
from relhealth import ReleaseHealth
from relhealth.core.errors import NeedsMemoryError
from relhealth.engines.duckdb import engine as duckdb_engine
from relhealth.engines.slicing import ask_in_slices
from relhealth.machine.database import Database
from test_kernel import NOW, some_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from relhealth.machine.database import Row

SLICED = ("durations", "errored", "users")
QUERIES = {
    "releases and days": ["-g", "release", "--interval", "1d"],
    "projects and environments": ["-g", "project", "-g", "environment", "--interval", "1d"],
    "days": ["--interval", "1h", "--period", "24h"],
    "releases": ["-g", "release", "-g", "environment", "-g", "project"],
    "all": [],
}


def in_want(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse what can be asked in slices until it is asked of sixteenths; list what was asked."""
    asked = []
    ask: Callable[..., list[Row]] = Database.rows
    execute = Database.execute
    views = []

    def viewed(database: Database, sql: str) -> None:
        views.append(sql)
        execute(database, sql)

    def refused(
        database: Database, name: str, values: Mapping[str, object], most: int | None
    ) -> list[Row]:
        groups = [values.get(f"by_{key}") for key in ("project", "release", "environment")]
        by_nothing = name.endswith("_by_group") and not any((*groups, values["interval"]))
        if name.startswith(SLICED) and not by_nothing:
            asked.append(views[-1])
            if "% 16 = " not in views[-1]:
                raise NeedsMemoryError("more")
        return ask(database, name, values, most)

    monkeypatch.setattr(Database, "execute", viewed)
    monkeypatch.setattr(Database, "rows", refused)
    return asked


@pytest.mark.parametrize("query", QUERIES)
def test_queries_in_slices(query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows.write(tmp_path / "a.parquet", some_rows(7, 900))
    fields = ["count_unique(user)", "p90(session.duration)", "crash_free_rate(session)"]
    line = ["query", path, "--org", "5", "--now", NOW, "-f", "csv", "--period", "7d"]
    line += [*(part for field in fields for part in ("-F", field)), *QUERIES[query]]
    whole = run(*line)
    assert whole.code == 0, whole.err
    asked = in_want(monkeypatch)
    assert run(*line) == whole
    assert len(asked) >= 2 * (1 + 4 + 16)


def test_an_overview_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows.write(tmp_path / "a.parquet", some_rows(8, 900))
    monkeypatch.setattr(duckdb_engine, "MOST_LOADED", -1)
    question: dict[str, Any] = {"now": NOW, "summary_stats_period": "90d"}
    with ReleaseHealth(path, org=5) as health:
        whole = health.overview(**question).rows
    asked = in_want(monkeypatch)
    with ReleaseHealth(path, org=5) as health:
        assert health.overview(**question).rows == whole
    assert len(asked) == 3 * (1 + 4 + 16)


def test_an_overview_by_a_dimension_in_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        {**row, "os": ["iOS", "Android", None][at % 3]} for at, row in enumerate(some_rows(8, 900))
    ]
    path = rows.write(tmp_path / "a.parquet", given, types={"os": pa.string()})
    question: dict[str, Any] = {"now": NOW, "by": "os", "where": ["os!=Android"]}
    with ReleaseHealth(path, org=5) as health:
        whole = health.overview(**question).rows
    asked = in_want(monkeypatch)
    with ReleaseHealth(path, org=5) as health:
        assert health.overview(**question).rows == whole
    assert len(asked) >= 3 * (1 + 4 + 16)
    assert {row.by for row in whole} == {("os", "iOS"), ("os", "")}


def test_where_slices_are_no_help() -> None:
    asked: list[str | None] = []

    def ask(condition: str | None) -> list[Row]:
        asked.append(condition)
        raise NeedsMemoryError("more")

    with pytest.raises(NeedsMemoryError):
        ask_in_slices(ask, [])
    assert asked == [None]
    with pytest.raises(NeedsMemoryError):
        ask_in_slices(ask, ["a", "b"])
    assert asked[2:] == [f"hash(a, b) % {4**n} = 0" for n in range(1, 5)]


def test_a_limit_that_does_not_do_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows.write(tmp_path / "a.parquet", some_rows(8, 900))
    monkeypatch.setattr(duckdb_engine, "MOST_LOADED", -1)
    line = ["overview", path, "--org", "5", "--now", NOW, "--period", "90d"]
    assert run(*line, "--memory-limit", "64MB").code == 0
    result = run(*line, "--memory-limit", "10kB")
    assert result.code == 2
    assert "raise --memory-limit" in result.err
    assert result.err.count("\n") == 1
