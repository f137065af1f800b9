"""The generator of benchmark and sample data keeps to the data contract and is reproducible."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from places import ROOT

if TYPE_CHECKING:
    from types import ModuleType

SAMPLE = ROOT / "sample_data"
SMALL = ("30_000", "--seed", "5", "--days", "3", "--users", "2000")
CONTRACT = pa.schema(
    [
        ("org_id", pa.int64()),
        ("project_id", pa.int64()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("metric", pa.string()),
        ("release", pa.string()),
        ("environment", pa.string()),
        ("session_status", pa.string()),
        ("abnormal_mechanism", pa.string()),
        ("value", pa.float64()),
        ("member", pa.uint64()),
    ],
)
KINDS = {
    ("c:sessions/session@none", "init", None),
    ("c:sessions/session@none", "errored_preaggr", None),
    ("c:sessions/session@none", "abnormal", None),
    ("c:sessions/session@none", "crashed", None),
    ("c:sessions/session@none", "unhandled", None),
    ("d:sessions/duration@second", "exited", None),
    ("s:sessions/error@none", None, None),
    ("s:sessions/user@none", None, None),
    ("s:sessions/user@none", "errored", None),
    ("s:sessions/user@none", "abnormal", "anr_foreground"),
    ("s:sessions/user@none", "abnormal", "anr_background"),
    ("s:sessions/user@none", "crashed", None),
    ("s:sessions/user@none", "unhandled", None),
}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Load the script from its path: it belongs to no package."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "benchmarks" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small(generate: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small run over two projects, one of them a server, with every kind of row."""
    output = tmp_path_factory.mktemp("small")
    assert generate.main([*SMALL, str(output)]) == 0
    return output


def read(folder: Path) -> dict[str, pa.Table]:
    """Tables by the path of their file."""
    paths = sorted(folder.rglob("*.parquet"))
    return {str(path.relative_to(folder)): pq.ParquetFile(path).read() for path in paths}


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask a query of `metrics`, the rows of a folder with the `date` of their partition."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE metrics AS FROM read_parquet($files, hive_partitioning = true)",
            {"files": [str(path) for path in folder.rglob("*.parquet")]},
        )
        answer = connection.sql(query).to_arrow_table()  # Arrow needs no pytz
        return [tuple(row.values()) for row in answer.to_pylist()]


def test_same_seed_same_rows(generate: ModuleType, small: Path, tmp_path: Path) -> None:
    assert generate.main([*SMALL, str(tmp_path)]) == 0
    assert read(tmp_path) == read(small)


def test_other_seed_other_rows(generate: ModuleType, small: Path, tmp_path: Path) -> None:
    assert generate.main([*SMALL, "--seed", "6", str(tmp_path)]) == 0
    ours, theirs = (pa.concat_tables(read(folder).values()) for folder in (tmp_path, small))
    members, other_members = (set(table["member"].to_pylist()) for table in (ours, theirs))
    assert members & other_members == {None}


@pytest.mark.parametrize("rows", [2_000, 30_000])
@pytest.mark.parametrize("projects", ["1", "3"])
def test_row_count(generate: ModuleType, tmp_path: Path, rows: int, projects: str) -> None:
    generate.main([str(rows), str(tmp_path), "--projects", projects])
    assert sum(table.num_rows for table in read(tmp_path).values()) == pytest.approx(rows, rel=0.01)


def test_no_file_without_rows(generate: ModuleType, tmp_path: Path) -> None:
    generate.main(["20", str(tmp_path)])
    assert all(table.num_rows for table in read(tmp_path).values())


def test_schema(small: Path) -> None:
    for table in read(small).values():
        assert table.schema.equals(CONTRACT)


def test_strings_are_dictionaries_on_disk_and_columns_have_statistics(small: Path) -> None:
    for path in small.rglob("*.parquet"):
        group = pq.ParquetFile(path).metadata.row_group(0)
        columns = [group.column(index) for index in range(group.num_columns)]
        assert all(column.is_stats_set and column.compression == "ZSTD" for column in columns)
        texts = [column for column in columns if column.physical_type == "BYTE_ARRAY"]
        assert all("RLE_DICTIONARY" in column.encodings for column in texts)


def test_every_kind_of_row_and_no_other(small: Path) -> None:
    kinds = "SELECT DISTINCT metric, session_status, abnormal_mechanism FROM metrics"
    assert set(ask(small, kinds)) == KINDS


def test_sets_have_members_and_the_rest_has_values(small: Path) -> None:
    wrong = """
        SELECT *
        FROM metrics
        WHERE CASE metric[1]
            WHEN 's' THEN member IS NULL OR value IS NOT NULL
            WHEN 'c' THEN member IS NOT NULL OR value IS NULL OR value < 1 OR value % 1 <> 0
            ELSE member IS NOT NULL OR value IS NULL OR NOT isfinite(value) OR value < 0
        END
    """
    assert ask(small, wrong) == []


def test_timestamps_are_floored_and_in_their_day(small: Path) -> None:
    wrong = """
        SELECT *
        FROM metrics
        WHERE timestamp::DATE <> date::DATE
            OR epoch_us(timestamp) % 10_000_000 <> 0
            OR timestamp >= TIMESTAMPTZ '2026-11-20 16:30:00+00'
    """
    assert ask(small, wrong) == []
    days = ask(small, "SELECT DISTINCT date::DATE::VARCHAR FROM metrics ORDER BY 1")
    assert days == [("2026-11-18",), ("2026-11-19",), ("2026-11-20",)]


def test_troubled_sessions_are_in_the_error_set_or_the_aggregate(small: Path) -> None:
    """Of sessions that began together no more are fated than errored, nor errored than begun."""
    wrong = """
        SELECT
            sum(value) FILTER (session_status = 'init') AS sessions,
            count(DISTINCT member) FILTER (metric LIKE 's:sessions/error%')
                + coalesce(sum(value) FILTER (session_status = 'errored_preaggr'), 0) AS errored,
            coalesce(sum(value) FILTER (
                metric[1] = 'c' AND session_status IN ('abnormal', 'crashed', 'unhandled')
            ), 0) AS fated,
            coalesce(sum(value) FILTER (
                metric[1] = 'c' AND session_status IN ('abnormal', 'crashed')
            ), 0) AS died,
            count(*) FILTER (session_status = 'exited') AS exited
        FROM metrics
        GROUP BY project_id, timestamp, release, environment
        HAVING NOT (fated <= errored AND errored <= sessions AND died + exited <= sessions)
    """
    assert ask(small, wrong) == []


def test_users_of_troubled_sessions_are_errored_users(small: Path) -> None:
    wrong = """
        SELECT member, timestamp, release
        FROM metrics
        WHERE metric LIKE 's:sessions/user%' AND session_status <> 'errored'
        EXCEPT
        SELECT member, timestamp, release
        FROM metrics
        WHERE metric LIKE 's:sessions/user%' AND session_status = 'errored'
    """
    assert ask(small, wrong) == []


def test_users_are_those_of_most_sessions(small: Path) -> None:
    """Each counter row of an app has its user row, but for the few sessions without a user."""
    shares = """
        SELECT
            count(*) FILTER (metric[1] = 's' AND session_status <> 'errored')
                / sum(value) FILTER (metric[1] = 'c' AND session_status <> 'init'),
            count(*) FILTER (metric LIKE 's:sessions/user%' AND session_status IS NULL)
                / sum(value) FILTER (session_status = 'init')
        FROM metrics
        WHERE project_id = 1
    """
    [(fated, healthy)] = ask(small, shares)
    assert 0.85 < fated < 1.0
    assert 0.90 < healthy < 0.96


def test_errors_are_told_by_session_not_by_user(small: Path) -> None:
    users = """
        SELECT member FROM metrics WHERE metric LIKE 's:sessions/error%'
        INTERSECT
        SELECT member FROM metrics WHERE metric LIKE 's:sessions/user%'
    """
    assert ask(small, users) == []
    counts = """
        SELECT count(*), count(DISTINCT member) FROM metrics WHERE metric LIKE 's:sessions/error%'
    """
    [(rows, distinct)] = ask(small, counts)
    assert rows == distinct > 100


def test_only_the_server_aggregates_and_only_counters_count_many(small: Path) -> None:
    many = """
        SELECT DISTINCT project_id, metric[1]
        FROM metrics
        WHERE session_status = 'errored_preaggr' OR (metric[1] <> 'd' AND value > 1)
    """
    assert ask(small, many) == [(2, "c")]


def test_some_rows_lack_release_user_or_environment(small: Path) -> None:
    shares = """
        SELECT
            avg((release IS NULL)::INTEGER),
            avg((environment IS NULL)::INTEGER),
            count(DISTINCT release),
            count(DISTINCT environment)
        FROM metrics
    """
    [(no_release, no_environment, releases, environments)] = ask(small, shares)
    assert 0 < no_release < 0.02
    assert 0 < no_environment < 0.1
    assert (releases, environments) == (12, 3)


def test_sorting_changes_the_order_alone(generate: ModuleType, small: Path, tmp_path: Path) -> None:
    assert generate.main([*SMALL, str(tmp_path), "--sorted"]) == 0
    everything = [(name, "ascending") for name in CONTRACT.names]
    by_metric = [(name, "ascending") for name in ("metric", "project_id", "timestamp")]
    for name, by_time in read(small).items():
        table = read(tmp_path)[name]
        keys = table.select([column for column, _ in by_metric])
        assert keys == keys.sort_by(by_metric)
        assert table.sort_by(everything) == by_time.sort_by(everything)
        assert by_time["timestamp"] == by_time.sort_by("timestamp")["timestamp"]


def test_long_days_become_several_files(
    generate: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generate, "SLICE_ROWS", 4_000)
    assert generate.main([*SMALL, str(tmp_path)]) == 0
    tables = [table for name, table in read(tmp_path).items() if "2026-11-19" in name]
    assert len(tables) > 2
    times = pa.concat_tables(tables)["timestamp"].to_pylist()
    assert times == sorted(times)
    rows = sum(table.num_rows for table in read(tmp_path).values())
    assert rows == pytest.approx(30_000, rel=0.01)


def test_half_of_the_users_are_habitual(
    generate: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generate, "SLICE_ROWS", 1_000)
    arguments = ["60_000", "--days", "20", "--projects", "1", "--make", "habitual"]
    assert generate.main([*arguments, str(tmp_path)]) == 0
    users = """
        SELECT count(*), count(*) FILTER (WHERE sessions <= 2 AND days = 1),
            median(days) FILTER (WHERE days > 1)
        FROM (
            SELECT count(DISTINCT date) AS days, count(*) AS sessions
            FROM metrics
            WHERE metric = 's:sessions/user@none' AND session_status IS NULL
            GROUP BY member
        )
    """
    [(everyone, passing, days)] = ask(tmp_path, users)
    assert everyone == pytest.approx(3_000, rel=0.1)
    assert passing / everyone == pytest.approx(0.5, abs=0.05)
    assert days > 5
    assert len(list(tmp_path.rglob("*.parquet"))) == 20


def test_row_groups_of_a_habitual_make_are_large(generate: ModuleType, tmp_path: Path) -> None:
    groups = {}
    for make in ("usual", "habitual"):
        arguments = ["250_000", str(tmp_path / make), "--days", "1", "--make", make]
        assert generate.main(arguments) == 0
        [path] = (tmp_path / make).rglob("*.parquet")
        groups[make] = pq.ParquetFile(path).num_row_groups
    assert groups == {"usual": 3, "habitual": 1}


def test_a_folder_with_files_is_refused(
    generate: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    note = tmp_path / "README.md"
    note.write_text("mine")
    assert generate.main(["1000", str(tmp_path)]) == 2
    assert generate.main(["1000", str(note)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == [note]


def test_force_deletes_nothing(generate: ModuleType, tmp_path: Path) -> None:
    note = tmp_path / "README.md"
    note.write_text("mine")
    assert generate.main(["1000", str(tmp_path), "--days", "2", "--force"]) == 0
    assert generate.main(["1000", str(tmp_path), "--days", "1", "--force"]) == 0
    assert note.read_text() == "mine"
    assert len(read(tmp_path)) == 2


@pytest.mark.parametrize("wrong", [["0"], ["9", "--releases", "1"], ["9", "--until", "soon"]])
def test_wrong_arguments_are_refused(
    generate: ModuleType,
    tmp_path: Path,
    wrong: list[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        generate.main([*wrong, str(tmp_path)])


def test_sample_is_what_its_readme_says(generate: ModuleType, tmp_path: Path) -> None:
    """Row for row; the files' bytes may differ between versions of PyArrow."""
    lines = (SAMPLE / "README.md").read_text().splitlines()
    [command] = [line for line in lines if line.startswith("python benchmarks/generate.py ")]
    _, _, *arguments = shlex.split(command)
    output = arguments.index("sample_data")
    assert generate.main([*arguments[:output], str(tmp_path), *arguments[output + 1 :]]) == 0
    made, committed = read(tmp_path), read(SAMPLE)
    assert made.keys() == committed.keys()
    assert made == committed


def test_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*")) < 2_000_000


def test_sample_has_one_bad_release() -> None:
    """The story of the README: one release of the first project crashes, its hotfix does not."""
    rates = """
        SELECT release, sum(value) FILTER (session_status = 'crashed')
            / sum(value) FILTER (session_status = 'init') AS crash_rate
        FROM metrics
        WHERE metric[1] = 'c'
        GROUP BY release
        HAVING crash_rate > 0.04
    """
    [(bad, _)] = ask(SAMPLE, rates)
    assert bad.startswith("com.example.shop@")
    assert bad in (SAMPLE / "README.md").read_text()
