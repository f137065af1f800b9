"""The examples of docs/feed.md: each mapping file reads what its query exports."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest

from command import run
from places import ROOT
from tables import write_csv, write_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXAMPLES = ROOT / "docs" / "examples"
NAMES = sorted(folder.name for folder in EXAMPLES.iterdir())
NOW = "2026-11-20T14:30:00Z"
DAY_START = datetime(2026, 11, 20, tzinfo=UTC)


def hour(of_day: int) -> datetime:
    """Return an hour of the day that the queries ask for."""
    return DAY_START.replace(hour=of_day)


class Export(NamedTuple):
    """What a query exports: rows, the types of some columns, and what is to come of them."""

    rows: Sequence[dict[str, Any]]
    types: Mapping[str, pa.DataType]
    expected: Mapping[str, float | None]


# Four sessions of a table of one's own: one crashed, one hung, and one of no user had errors.
ROWS: list[dict[str, Any]] = [
    {
        "session_uuid": f"00000000-0000-4000-8000-00000000000{number}",
        "account_id": account,
        "app_version": "shop@4.2.0",
        "stage": "production",
        "outcome": outcome,
        "error_count": errors,
        "started_at": hour(10 + number),
        "duration_seconds": seconds,
    }
    for number, (account, outcome, errors, seconds) in enumerate(
        [
            (101, "completed", 0, 60.5),
            (102, "crash", 1, None),
            (None, "completed", 3, 30.0),
            (102, "hang", None, None),
        ]
    )
]
# Of two users, one crashed; of four sessions, three had errors, and one of these crashed.
EXPECTED = {
    "total_sessions": 4,
    "total_users": 2,
    "sessions_crashed": 1,
    "sessions_abnormal": 1,
    "sessions_errored": 1,
    "sessions_healthy": 1,
    "crash_free_sessions": 75.0,
    "crash_free_users": 50.0,
    "duration_p50": 45.25,  # half way between 30 and 60.5
}
INSTANT = pa.timestamp("us", "UTC")


def snowflake() -> Export:
    """Return names in capitals, numbers as decimals, and instants without a zone."""
    rows = [{name.upper(): value for name, value in row.items()} for row in ROWS]
    for row in rows:
        for name in ("ACCOUNT_ID", "ERROR_COUNT", "DURATION_SECONDS"):
            row[name] = None if row[name] is None else Decimal(str(row[name]))
        row["STARTED_AT"] = row["STARTED_AT"].replace(tzinfo=None)
    types = {
        "ACCOUNT_ID": pa.decimal128(38, 0),
        "ERROR_COUNT": pa.decimal128(38, 0),
        "STARTED_AT": pa.timestamp("ns"),
        "DURATION_SECONDS": pa.decimal128(24, 6),
    }
    return Export(rows, types, EXPECTED)


def postgres() -> Export:
    """Return text as ``COPY`` writes it."""
    rows = [
        row
        | {
            "started_at": f"{row['started_at']:%Y-%m-%d %H:%M:%S}+00",
            "duration_seconds": row["duration_seconds"] and f"{row['duration_seconds']:.6f}",
        }
        for row in ROWS
    ]
    return Export(rows, {}, EXPECTED)


def firebase() -> Export:
    """Return sessions of installations, with the worst that Crashlytics has of each."""
    rows = [
        {
            "session_id": f"{number:032x}",
            "instance_id": instance,
            "event_timestamp": hour(10 + number),
            "release": "com.example.shop@4.2.0+420",
            "worst": worst,
            "anr": anr,
            "non_fatal": non_fatal,
        }
        for number, (instance, worst, anr, non_fatal) in enumerate(
            [
                ("cA1", "exited", None, 0),
                ("cB2", "FATAL", None, 0),
                ("cA1", "exited", None, 3),
                ("cB2", "ANR", "anr_foreground", 0),
            ]
        )
    ]
    return Export(rows, {"event_timestamp": INSTANT}, EXPECTED | {"duration_p50": None})


def firebase_analytics() -> Export:
    """Return sessions of events, crashed or not."""
    rows = [
        {
            "session_id": f"{user}:{1779000000 + number}",
            "user_pseudo_id": user,
            "started": hour(10 + number),
            "release": "com.example.shop@4.2.0",
            "status": status,
            "errors": errors,
            "duration": seconds,
        }
        for number, (user, status, errors, seconds) in enumerate(
            [
                ("3c8a", "exited", 0, 60.5),
                ("77fe", "crashed", 1, 12.0),
                ("3c8a", "exited", 3, 30.0),
                ("77fe", "exited", 1, 45.25),
            ]
        )
    ]
    expected = EXPECTED | {"sessions_abnormal": 0, "sessions_errored": 2}
    return Export(rows, {"started": INSTANT}, expected)


OF_A_TABLE = Export(ROWS, {"started_at": INSTANT}, EXPECTED)
EXPORTS = {
    "bigquery": OF_A_TABLE,
    "firebase": firebase(),
    "firebase-analytics": firebase_analytics(),
    "postgres": postgres(),
    "snowflake": snowflake(),
    "spark": Export(ROWS, {"started_at": pa.timestamp("us")}, EXPECTED),
}


def test_every_example_is_tested_and_in_the_table_of_the_docs() -> None:
    assert sorted(EXPORTS) == NAMES
    page = (EXAMPLES.parent / "feed.md").read_text(encoding="utf-8")
    for name in NAMES:
        for file in ("sessions.sql", "mapping.toml"):
            assert (EXAMPLES / name / file).is_file()
            assert f"(examples/{name}/{file})" in page


@pytest.mark.parametrize("name", NAMES)
def test_a_query_exports_the_columns_of_its_mapping(name: str) -> None:
    query = (EXAMPLES / name / "sessions.sql").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", re.sub(r"--.*", "", query)))
    exported = {column.lower() for column in EXPORTS[name].rows[0]}
    assert exported <= {word.lower() for word in words}
    mapping = tomllib.loads((EXAMPLES / name / "mapping.toml").read_text(encoding="utf-8"))
    assert set(mapping["map"].values()) <= exported


@pytest.mark.parametrize("name", NAMES)
def test_a_query_that_tests_do_not_run_says_so(name: str) -> None:
    query = (EXAMPLES / name / "sessions.sql").read_text(encoding="utf-8")
    comment = " ".join(line for line in query.splitlines() if line.startswith("--"))
    assert "the tests of relhealth" in comment.lower()


@pytest.mark.parametrize("name", NAMES)
def test_a_mapping_gives_the_figures_of_its_export(name: str, tmp_path: Path) -> None:
    rows, types, expected = EXPORTS[name]
    if name == "postgres":
        source = write_csv(tmp_path / "sessions.csv", rows)
    else:
        source = write_parquet(tmp_path / "sessions.parquet", rows, types)
    dataset = str(tmp_path / "data")
    mapping = str(EXAMPLES / name / "mapping.toml")
    line = ("ingest", str(source), "--to", dataset, "--mapping", mapping, "--now", NOW)
    ended = run(*line, "--strict", "-f", "json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)["data"]
    assert (told["ignored_columns"], told["lost"]) == ([], {})
    asked = run("overview", dataset, "--now", NOW, "-f", "json")
    (row,) = json.loads(asked.out)["data"]
    assert {figure: row[figure] for figure in expected} == expected


def sdk_session() -> bytes:
    """Return an envelope as a transport of an SDK writes it, without a DSN."""
    payload = {
        "sid": "0" * 31 + "1",
        "init": True,
        "started": "2026-11-20T10:00:00Z",
        "status": "exited",
        "attrs": {"release": "shop@4.2.0"},
    }
    return b"\n".join(json.dumps(each).encode() for each in ({}, {"type": "session"}, payload, {}))


def message() -> bytes:
    """Return a metric bucket as ``kcat -J`` writes it."""
    bucket = {
        "org_id": 1,
        "project_id": 1,
        "name": "c:sessions/session@none",
        "type": "c",
        "value": 3,
        "timestamp": int(hour(10).timestamp()),
        "tags": {"release": "shop@4.2.0", "session.status": "init"},
    }
    position = {"topic": "ingest-metrics", "partition": 0, "offset": 7}
    return json.dumps(position | {"payload": json.dumps(bucket)}).encode() + b"\n"


TABLE = """uuid,begin,outcome,user,release,duration,shop
a1,2026-11-20 10:00:00 UTC,good,ann,shop@4.2.0,12.5,north
a2,2026-11-20 10:01:00 UTC,bad,bob,shop@4.2.0,NULL,north
a3,2026-11-20 10:02:00 UTC,good,,shop@4.2.0,8,south
"""


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader types them; what they print is what the page shows."""
    page = (EXAMPLES.parent / "feed.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELHEALTH_NOW", NOW)
    monkeypatch.setenv("COLUMNS", "100")
    Path("sessions.envelope").write_bytes(sdk_session())
    Path("messages.jsonl").write_bytes(message())
    Path("sessions.csv").write_text(TABLE, encoding="utf-8")
    (mapping,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    Path("mapping.toml").write_text(mapping, encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    for block in blocks:
        typed = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        for line in typed:
            program, *args = shlex.split(line)
            ended = run(*args)
            assert (program, ended.code) == ("relhealth", 0), ended.err
        shown = [line for line in block.splitlines() if not line.startswith("$ ")]
        if shown:
            assert [line.rstrip() for line in ended.out.splitlines()] == shown
    asked = run("overview", "data", "-f", "json")
    (row,) = json.loads(asked.out)["data"]
    assert row["total_sessions"] == 4  # one of the envelope, three of the message


def test_the_mapping_of_the_page_is_the_command_s() -> None:
    """The file says what the command beside it says, so that the one is known by the other."""
    page = (EXAMPLES.parent / "feed.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (line,) = re.findall(r"^\$ relhealth (.* --dry-run)$", page, re.MULTILINE)
    mapping = tomllib.loads(block)
    words = shlex.split(line)
    given = [value for option, value in pairwise(words) if option in {"--map", "--status"}]
    assert given == [f"{key}={value}" for key, value in mapping["map"].items()] + [
        f"{key}={value}" for key, value in mapping["status"].items()
    ]
