"""DuckDB database files as sources."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest

import rows
from command import run
from relhealth import ReleaseHealth
from rows import error, session, user

if TYPE_CHECKING:
    from pathlib import Path

NOW = ("--now", "2026-03-02T12:30:00Z")
GIVEN = [session(), session(), session("crashed"), user(2**64 - 1), user(7, "crashed"), error(9)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(rows.table(GIVEN), path)
    return path


@pytest.fixture
def database(tmp_path: Path, parquet: Path) -> Path:
    path = tmp_path / "sessions.duckdb"
    fill(path, f"CREATE TABLE sessions AS SELECT * FROM '{parquet}'")
    return path


def fill(path: Path, *statements: str) -> None:
    """Run statements in a database file."""
    with duckdb.connect(str(path)) as connection:
        for one in statements:
            connection.execute(one)


def refusal(source: str) -> str:
    """Return the one line that refuses a source."""
    result = run("overview", source, *NOW)
    assert (result.code, result.out) == (4, "")
    (line,) = result.err.splitlines()
    return line.removeprefix("relhealth: error: ")


@pytest.mark.parametrize("engine", ["duckdb", "kernel"])
def test_its_table_is_a_source(database: Path, parquet: Path, engine: str) -> None:
    line = ("overview", *NOW, "-f", "json", "--engine", engine)
    found = run(*line, str(database))
    assert found.code == 0, found.err
    assert json.loads(found.out) == json.loads(run(*line, str(parquet)).out)
    with ReleaseHealth(database) as health:
        assert health.overview(now=NOW[1]).rows[0].sessions_crashed == 1


def test_one_of_several_tables_or_a_view_is_named(database: Path) -> None:
    fill(
        database,
        "CREATE TABLE copy AS SELECT * FROM sessions LIMIT 2",
        "CREATE SCHEMA lake",
        "CREATE VIEW lake.crashes AS SELECT * FROM sessions WHERE session_status = 'crashed'",
        "CREATE TABLE users (name VARCHAR)",
    )
    assert refusal(str(database)) == (
        f"{database}: several tables with the columns metric, project_id, timestamp; name one as"
        " sessions.duckdb::TABLE (there: lake.crashes, copy, sessions)"
    )
    with ReleaseHealth(f"{database}::copy") as health:
        assert health.overview(now=NOW[1]).rows[0].total_sessions == 2
    with ReleaseHealth(f"{database}::lake.crashes") as health:
        assert health.overview(now=NOW[1]).rows[0].sessions_crashed == 1
    assert "no table nothing; name one as" in refusal(f"{database}::nothing")
    assert refusal(f"{database}::users") == f"{database}: table users has no session metrics"


def test_what_it_lacks_is_told_as_of_a_file(database: Path) -> None:
    fill(database, "ALTER TABLE sessions DROP value")
    assert "value" in refusal(str(database))
    fill(database, "ALTER TABLE sessions ADD value VARCHAR")
    fill(database, "UPDATE sessions SET value = 'many'")
    told = refusal(str(database))
    assert str(database) in told
    assert "table.parquet" not in told


def test_a_change_is_seen_and_nothing_is_written_to_it(database: Path) -> None:
    def sessions() -> int | None:
        with ReleaseHealth(database) as health:
            return health.overview(now=NOW[1]).rows[0].total_sessions

    before = database.read_bytes()
    assert sessions() == sessions() == 2
    assert database.read_bytes() == before
    assert {path.name for path in database.parent.iterdir()} == {
        "cache",
        "rows.parquet",
        "sessions.duckdb",
    }
    fill(database, "INSERT INTO sessions SELECT * FROM sessions")
    assert sessions() == 4


def test_integers_beyond_64_bits_stay_exact(database: Path) -> None:
    fill(database, "ALTER TABLE sessions ALTER member TYPE HUGEINT")
    with ReleaseHealth(database) as health:
        assert health.overview(now=NOW[1]).rows[0].total_users == 2


def test_one_that_another_process_writes_is_refused(database: Path) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert "another process has this DuckDB database open for writing" in refusal(str(database))
        process.communicate(b"\n")


def test_a_damaged_one_is_refused(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    database.write_bytes(content)
    assert f"{database}: a DuckDB database that cannot be read" in refusal(str(database))
    database.write_bytes(content[:100])
    assert f"{database}: a DuckDB database that cannot be read" in refusal(str(database))


def test_a_table_named_twice_counts_once(database: Path) -> None:
    sources = [f"{database}::sessions", f"{database}::main.sessions", str(database)]
    with ReleaseHealth(sources) as health:
        assert health.overview(now=NOW[1]).rows[0].total_sessions == 2


def test_odd_names_of_tables(database: Path) -> None:
    fill(
        database,
        'CREATE TABLE "a::b" AS SELECT * FROM sessions',
        'CREATE TABLE "x.y" AS SELECT * FROM sessions',
        "CREATE SCHEMA x",
        "CREATE TABLE x.y AS SELECT * FROM sessions",
        "CREATE VIEW fails AS SELECT * REPLACE (metric::INTEGER AS project_id) FROM sessions",
    )
    for name in ("a::b", "SESSIONS"):
        with ReleaseHealth(f"{database}::{name}") as health:
            assert health.overview(now=NOW[1]).rows[0].total_sessions == 2
    assert "several tables are called x.y" in refusal(f"{database}::x.y")
    told = refusal(f"{database}::fails")
    assert told.startswith(f"{database}: fails cannot be read (Conversion Error")
    assert told.endswith("; mend the table or view")
