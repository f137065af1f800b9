"""The engine of a cluster: sources, settings, refusals and errors, over Sail."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from clusters import SAIL_GAPS, check_nanoseconds, check_overflow, sail
from command import run
from paths import by
from places import ROOT
from process import environment, finish, script
from relhealth import QuestionError, ReleaseHealth
from relhealth.engines.spark import relation
from relhealth.engines.spark.errors import cause
from relhealth.engines.spark.sources import is_table, only_on_cluster
from test_reference import check_adoption_and_health_data, check_overview, random_case

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = ROOT / "sample_data"
NO_PATH = "[PATH_NOT_FOUND] No path: s3a://b"
FAILED_TASK = (
    "Task 0 in stage 3.0 failed 4 times, most recent failure: Lost task 0.3 in stage 3.0 (TID 9)"
    " (10.0.0.7 executor 2): java.io.IOException: no space left on device\n\tat java.base/x"
)
NOW = "2026-03-02T12:30:00Z"
BAD, GOOD = "com.example.shop@3.9.0+4296", "com.example.shop@3.8.1+4282"
QUESTIONS = [
    ["overview"],
    ["overview", "--period", "90d", "--stats-period", "90d", "--stat", "users"],
    ["overview", "--period", "7d", "--stats-period", "7d", "-e", "production", "-p", "1"],
    ["overview", "--period", "48h", "--stats-period", "30d", "-r", BAD, "-r", "ghost@1"],
    ["releases", "--period", "7d"],
    ["release", BAD, "--period", "7d"],
    ["projects", "--period", "7d"],
    ["adoption"],
    ["inspect"],
    ["query", "-F", "sum(session)", "-F", "count_unique(user)", "-F", "avg(session.duration)",
     "-F", "p95(session.duration)", "-F", "anr_rate()", "-g", "release", "--interval", "6h"],
    ["compare", GOOD, BAD, "--period", "7d"],
    ["gate", "-r", BAD, "--target", "99", "--critical", "98", "--dry-run"],
    ["gate test", "--since", "2026-11-15", "--target", "99", "--every", "1d"],
    ["gate plan", "--target", "99"],
]  # fmt: skip


def asked(question: list[str], source: str, *options: str) -> str:
    """The answer as JSON, without what names files and the engine."""
    words = question[0].split()
    result = run(*words, source, *question[1:], "--now", "latest", "-f", "json", *options)
    assert result.code == 0, result.err
    text = re.sub(r'"sources": \{[^}]*\}', '"sources": {}', result.out)
    return re.sub(r', "engine": \[[^]]*\]', "", text)


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_every_question_has_the_same_bytes(question: list[str]) -> None:
    cluster = asked(question, f"file://{SAMPLE}", "--engine", "spark", "--spark", sail())
    assert cluster == asked(question, str(SAMPLE))
    assert len(cluster) > 500


def on_sail(source: str, *options: str) -> tuple[int, str, str]:
    return run(
        "overview", source, "--engine", "spark", "--spark", sail(), "--now", NOW, "-f", "json",
        *options,
    )  # fmt: skip


def test_the_engine_and_its_reason_are_told(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()])
    _, out, err = on_sail(f"file://{tmp_path}", "--debug")
    assert json.loads(out)["meta"]["engine"] == [{"name": "spark", "reason": "it was named"}]
    assert "relhealth: engine spark: it was named" in err


@pytest.mark.parametrize(
    ("source", "table", "elsewhere"),
    [
        ("s3a://bucket/sessions/", False, True),
        ("hdfs:///data", False, True),
        ("lake.metrics.sessions", True, True),
        ("`my lake`.sessions", True, True),
        ("file:///data", False, False),
        ("s3://bucket/x", False, False),
        ("data", False, False),
        ("sessions.parquet", False, False),
        ("a.b.c.d.e", False, False),
    ],
)
def test_names_of_sources(source: str, *, table: bool, elsewhere: bool) -> None:
    assert (is_table(source), only_on_cluster(source)) == (table, elsewhere)


def test_a_folder_with_a_dot_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()])
    monkeypatch.chdir(tmp_path.parent)
    tmp_path.rename(tmp_path.parent / "lake.sessions")
    monkeypatch.setenv("RELHEALTH_SPARK", "sc://127.0.0.1:1")
    result = run("overview", "lake.sessions", "--now", NOW, "-f", "json")
    assert (result.code, len(json.loads(result.out)["data"])) == (0, 1)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (
            ["overview", "data/", "--engine", "spark", "--spark", "sc://127.0.0.1:1"],
            (
                "data/: a cluster resolves sources itself: name a path with its scheme (s3a://…,"
                " file:///…) or a table (catalogue.schema.table)"
            ),
        ),
        (
            ["overview", "s3a://b/x"],
            "s3a://b/x: name the cluster with --spark sc://HOST:PORT or RELHEALTH_SPARK",
        ),
        (
            ["overview", "s3a://b/x", "--engine", "spark"],
            "s3a://b/x: name the cluster with --spark sc://HOST:PORT or RELHEALTH_SPARK",
        ),
        (
            ["overview", "s3a://b/x", "--spark", "sc://127.0.0.1:1", "--threads", "2"],
            "--threads: the cluster has its own limits; set them there, or leave it out",
        ),
        (
            ["projects", "a.b.c", "--spark", "sc://127.0.0.1:1", "--memory-limit", "2GB"],
            "--memory-limit: the cluster has its own limits; set them there, or leave it out",
        ),
        (
            ["overview", "s3a://b/x", "--spark", "http://127.0.0.1:1"],
            (
                "--spark http://127.0.0.1:1: expected sc://HOST:PORT, perhaps with"
                " ;token=…;use_ssl=true"
            ),
        ),
        (
            ["inspect", "s3a://b/x", "--spark", "sc://127.0.0.1:1", "--verify"],
            "verify: it reads the pages of files on this machine; leave it out",
        ),
        *(
            (
                [*args, *more],
                (
                    f"{what}: {args[0]} writes files on this machine, and a cluster only answers"
                    " questions; docs/scale.md has a Spark job in its place"
                ),
            )
            for args in (["rollup", "x"], ["compact", "x"], ["ingest", "x", "--to", "y"])
            for more, what in (
                (["--spark", "sc://127.0.0.1:1"], "--spark"),
                (["--engine", "spark"], "--engine"),
            )
        ),
        (
            ["rollup", "hdfs://x/y"],
            (
                "hdfs:/x/y: rollup writes files on this machine, and a cluster only answers"
                " questions; docs/scale.md has a Spark job in its place"
            ),
        ),
    ],
)
def test_refusals_are_usage_errors(args: list[str], line: str) -> None:
    result = run(*args)
    assert (result.code, result.out, result.err) == (2, "", f"relhealth: error: {line}\n")


def test_no_server() -> None:
    started = time.monotonic()
    result = run("overview", "s3a://b/x", "--spark", "sc://127.0.0.1:1;token=secret")
    assert time.monotonic() - started < 30  # by default, the client tries for minutes
    assert result.code == 4
    assert result.err.startswith(
        "relhealth: error: sc://127.0.0.1:1: no connection, or it was lost"
    )
    assert result.err.count("\n") == 1
    assert "secret" not in result.err


def test_a_server_of_another_kind() -> None:
    """It answers as one of another version: it does not know what it is asked."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    result = run("overview", "s3a://b/x", "--spark", f"sc://127.0.0.1:{port}")
    server.stop(None)
    assert (result.code, result.out, result.err.count("\n")) == (4, "", 1)
    assert "the server is of another version than the client, or no Spark Connect" in result.err


@pytest.mark.parametrize("source", ["file:///no/such/place", "metrics.sessions"])
def test_a_source_that_is_missing(source: str) -> None:
    result = on_sail(source)
    assert (result[0], result[1], result[2].count("\n")) == (4, "", 1)
    assert re.search("no such path|not found", result[2])


def test_the_extra_is_missing() -> None:
    code = (
        "import sys\n"
        "sys.modules['pyspark'] = None\n"
        "from relhealth.__main__ import main\n"
        "sys.exit(main(['overview', 's3a://b/x', '--spark', 'sc://127.0.0.1:1']))\n"
    )
    done = finish(script(code))
    assert done.code == 2
    assert done.err == (
        "relhealth: error: this needs the Spark client: pip install 'relhealth[spark]' (there is no"
        " pyspark)\n"
    )


def test_types_that_differ_between_files(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()])
    text = {**rows.session(), "value": "1"}
    rows.write(tmp_path / "b.parquet", [text], types={"value": pa.string()})
    code, _, err = on_sail(f"file://{tmp_path}")
    assert (code, err) == (
        4,
        (
            f"relhealth: error: file://{tmp_path}/b.parquet: column value: found string, but"
            " double in files before it; a cluster needs one type in all files, so write it as"
            " that\n"
        ),
    )


def test_a_column_that_a_file_lacks_is_null(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session(environment="beta")])
    rows.write(tmp_path / "b.parquet", [rows.session()], without=["environment"])
    code, out, _ = on_sail(f"file://{tmp_path}", "-e", "")
    assert code == 0
    assert [row["total_sessions"] for row in json.loads(out)["data"]] == [1]


def test_a_column_that_all_files_lack(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()], without=["value"])
    code, _, err = on_sail(f"file://{tmp_path}")
    assert (code, err) == (
        4,
        f"relhealth: error: file://{tmp_path}: column value: missing, expected a number\n",
    )


def test_columns_of_folders(tmp_path: Path) -> None:
    for project in (1, 2):
        folder = tmp_path / f"project_id={project}"
        folder.mkdir()
        rows.write(folder / "a.parquet", [rows.session()] * project, without=["project_id"])
    _, out, _ = on_sail(f"file://{tmp_path}")
    found = {row["project_id"]: row["total_sessions"] for row in json.loads(out)["data"]}
    assert found == {1: 1, 2: 2}


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = rows.write(tmp_path / "a.parquet", [rows.session()])
    folder = f"file://{tmp_path}"
    assert on_sail(folder)[1] == run(
        "overview", folder, folder, "--engine", "spark", "--spark", sail(), "--now", NOW, "-f",
        "json",
    ).out  # fmt: skip
    result = run(
        "overview", folder, f"file://{path}", "--engine", "spark", "--spark", sail(), "--now", NOW
    )
    assert result.code == 2
    assert f"has files of {folder} too" in result.err


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ("_delta_log/00000000000000000000.json", "Delta Lake"),
        ("metadata/v1.metadata.json", "Iceberg"),
    ],
)
def test_a_table_is_read_by_its_log_only(log: str, kind: str, tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()])
    (tmp_path / log).parent.mkdir()
    (tmp_path / log).write_text("{}")
    code, _, err = on_sail(f"file://{tmp_path}")
    assert code == 2
    assert f"a table of {kind}, whose log alone tells its files" in err


def test_files_that_are_no_parquet(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()])
    (tmp_path / "README.md").write_text("notes")
    assert on_sail(f"file://{tmp_path}")[0] == 0
    shutil.copy(tmp_path / "a.parquet", tmp_path / "part-0")
    code, _, err = on_sail(f"file://{tmp_path}")
    assert code == 4
    assert "a file without a suffix, part-0" in err


@pytest.mark.parametrize(
    ("column", "value", "kind", "seen"),
    [
        ("timestamp", "2026-03-02 12:00:00,5 GMT", pa.string(), True),
        ("timestamp", b"20260302T120000Z", pa.binary(), True),
        ("release", b"shop@1.0.0", pa.binary(), True),
        ("value", 1, pa.int16(), True),
        ("project_id", 1, pa.decimal128(20, 0), True),
    ],
)
def test_other_types(
    column: str, value: Any, kind: pa.DataType, *, seen: bool, tmp_path: Path
) -> None:
    rows.write(tmp_path / "a.parquet", [{**rows.session(), column: value}], types={column: kind})
    code, out, err = on_sail(f"file://{tmp_path}")
    assert code == 0, err
    assert [row["total_sessions"] for row in json.loads(out)["data"]] == [1] * seen


def test_text_that_is_no_instant(tmp_path: Path) -> None:
    bad = {**rows.session(), "timestamp": "yesterday"}
    rows.write(tmp_path / "a.parquet", [bad], types={"timestamp": pa.string()})
    code, _, err = on_sail(f"file://{tmp_path}")
    assert (code, err.count("\n")) == (4, 1)
    assert "column timestamp: no instant of ISO 8601: yesterday" in err


def test_several_organisations(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session(org_id=1), rows.session(org_id=2)])
    assert "the selected projects span organisations 1, 2" in on_sail(f"file://{tmp_path}")[2]
    _, out, _ = on_sail(f"file://{tmp_path}", "--org", "2")
    assert [row["total_sessions"] for row in json.loads(out)["data"]] == [1]


@pytest.fixture
def session() -> Any:
    """A session of a notebook."""
    from pyspark.sql.connect.session import SparkSession

    made = SparkSession.builder.remote(sail()).create()
    yield made
    made.stop()


@pytest.mark.filterwarnings("ignore::FutureWarning:pyspark")
def test_a_session_of_a_notebook(session: Any, tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session()])
    session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    with ReleaseHealth(f"file://{tmp_path}", spark=session) as health:
        (row,) = health.overview(now=NOW).rows
        assert (row.total_sessions, health.engines[0].engine) == (1, "spark")
    assert session.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    assert session.sql("SELECT 1").toArrow().num_rows == 1


@pytest.mark.filterwarnings("ignore::FutureWarning:pyspark")
def test_a_table_of_a_catalogue(session: Any, tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [rows.session(), rows.user(2**63 - 1)])
    session.sql("CREATE DATABASE IF NOT EXISTS metrics")
    session.sql(f"CREATE TABLE metrics.sessions USING parquet LOCATION 'file://{tmp_path}'")
    with ReleaseHealth("metrics.sessions", spark=session) as health:
        (row,) = health.overview(now=NOW).rows
    assert (row.total_sessions, row.total_users) == (1, 1)


class Fixed:
    """A session of a cluster that keeps its settings."""

    version = "4.0.0"

    def __init__(self, **kept: str) -> None:
        """Keep some settings at other values."""
        self.conf = self
        self.settings = {
            "spark.sql.ansi.enabled": "true",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.files.ignoreCorruptFiles": "false",
            "spark.sql.files.ignoreMissingFiles": "false",
        } | {f"spark.sql.{key.replace('_', '.')}": value for key, value in kept.items()}

    def get(self, key: str, default: str | None = None) -> str | None:
        """Return a setting."""
        return self.settings.get(key, default)

    def set(self, key: str, value: str) -> None:
        """Take nothing."""

    def unset(self, key: str) -> None:
        """Take nothing."""

    def interruptTag(self, tag: str) -> None:  # noqa: N802 - PySpark's name
        """Interrupt nothing."""


@pytest.mark.parametrize(
    ("kept", "setting"),
    [
        ({"ansi_enabled": "false"}, "ansi.enabled"),
        ({"session_timeZone": "CET"}, "timeZone"),
        ({"files_ignoreCorruptFiles": "true"}, "ignoreCorruptFiles"),
    ],
)
def test_settings_are_read_back(kept: dict[str, str], setting: str) -> None:
    with (
        ReleaseHealth("lake.metrics.sessions", spark=Fixed(**kept)) as health,
        pytest.raises(QuestionError, match=f"{setting} = {next(iter(kept.values()))} and does not"),
    ):
        health.overview(now=NOW)


@pytest.mark.xfail(reason=SAIL_GAPS["overflow"], strict=True)
def test_an_overflow_is_an_error() -> None:
    check_overflow(sail())


@pytest.mark.xfail(reason=SAIL_GAPS["nanoseconds"], strict=True)
def test_nanoseconds(tmp_path: Path) -> None:
    check_nanoseconds(sail(), tmp_path)


def test_an_interrupt_ends_at_once() -> None:
    # A port that takes connections and never answers.
    code = (
        "import socket, time\n"
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\n"
        "time.sleep(120)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as silent:
        assert silent.stdout
        port = int(silent.stdout.readline())
        asking = subprocess.Popen(
            [sys.executable, "-m", "relhealth", "overview", "s3a://b/x", "--spark",
             f"sc://127.0.0.1:{port}"],
            stderr=subprocess.PIPE,
            env=environment(),
        )  # fmt: skip
        time.sleep(8)  # the imports of the client
        started = time.monotonic()
        os.kill(asking.pid, signal.SIGINT)
        _, err = asking.communicate(timeout=30)
        took = time.monotonic() - started
        silent.kill()
    assert (asking.returncode, err) == (130, b"relhealth: interrupted\n")
    assert took < 3  # a second, on a machine that does nothing else


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            f"(org.apache.spark.SparkException) Job aborted due to stage failure: {FAILED_TASK}",
            "no space left on device",
        ),
        ("Job aborted\nCaused by: x.First: no\nCaused by: java.x.SomeError: heap", "heap"),
        ("[PATH_NOT_FOUND] No path: s3a://b. SQLSTATE: 42K03\n\nJVM stacktrace:\nat x", NO_PATH),
        ("", "the cluster gave no reason"),
    ],
)
def test_the_cause_of_a_failed_job(text: str, why: str) -> None:
    assert cause(text) == why


def test_paths_of_folders() -> None:
    path = "s3a://b/Project_ID=1/release=a%401/date=2026-01-01/x=1.parquet"
    assert relation._partitions(path) == {  # noqa: SLF001 - servers differ in the rest
        "project_id": "1",
        "release": "a@1",
        "date": "2026-01-01",
    }


@pytest.mark.parametrize("seed", range(4))
def test_random_cases_against_the_reference(seed: int) -> None:
    """Rows that Sail reads as Spark does: with no NaN, and no nanoseconds."""
    case = random_case(Random(seed), 300)
    kept = [row for row in case.rows if not math.isnan(row["value"] or 0)]
    plain = replace(case, rows=kept, files=min(case.files, len(kept)), timestamp=pa.timestamp("us"))
    with by(sail()):
        check_overview(plain)
        check_adoption_and_health_data(plain)


@pytest.mark.filterwarnings("ignore::FutureWarning:pyspark")
def test_compact_data_have_the_same_answers(session: Any, tmp_path: Path) -> None:
    """The statement of docs/scale.md, but for its first line, which Sail does not know."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r"^```sql\nINSERT [^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    day = SAMPLE / "date=2026-11-20"
    table = pq.read_table(day / "part-0.parquet", partitioning=None)
    members = table["member"].combine_chunks().view(pa.int64())  # as Spark has them
    table = table.set_column(table.schema.get_field_index("member"), "member", members)
    pq.write_table(table, tmp_path / "table.parquet")
    session.read.parquet(f"file://{tmp_path}/table.parquet").createOrReplaceTempView("sessions")
    found = session.sql(statement.replace("lake.metrics.sessions", "sessions")).toArrow()
    pq.write_table(found, tmp_path / "day.parquet")
    assert 0 < found.num_rows < table.num_rows
    for question in (["overview", "--stats-period", "24h"], ["adoption"], ["projects"]):
        answer = asked(question, str(tmp_path / "day.parquet"))
        assert answer == asked(question, str(day))
