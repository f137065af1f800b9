"""Six ordinary slips of a new user: each is refused or right, and no gate passes for it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from command import Result, run
from tables import Row, write_csv, write_lines

NOW = "2026-11-20T12:30:00Z"
RELEASE = "shop@1.0.0"
SESSIONS, CRASHED, USERS = 300, 30, 50
HIGH = 9_007_199_254_740_993  # a user that, as a float, equals the next


def exported(status: str = "status", crashed: str = "crashed", **columns: Any) -> list[Row]:
    """Return what a new user has: a release of which every tenth session crashed."""
    return [
        {
            "session_id": f"s{number}",
            "started": f"2026-11-20T10:{number // 60:02d}:{number % 60:02d}Z",
            "project_id": 1,
            "release": RELEASE,
            status: crashed if number % 10 == 0 else "exited",
            "user_id": 101 + number % USERS,
            "duration": None if number % 10 == 0 else 2.5,
        }
        | columns
        for number in range(SESSIONS)
    ]


def without(rows: list[Row], name: str, called: str | None = None) -> list[Row]:
    """Return rows without a column, or with it under another name."""
    return [
        {(called or name) if key == name else key: value for key, value in row.items()}
        if called
        else {key: value for key, value in row.items() if key != name}
        for row in rows
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a new folder, with the short names that a new user types."""
    monkeypatch.chdir(tmp_path)


def typed(line: str, *more: str) -> Result:
    """Run ``relhealth`` as it is typed, at the usual now."""
    return run(*line.split(), *more, "--now", NOW)


def gate(*more: str) -> Result:
    """Return what the gate says, having checked that it is no pass."""
    judged = typed(f"gate data -r {RELEASE} --target 99", *more)
    assert judged.code != 0, judged
    assert "PASS" not in judged.out
    return judged


def right(line: str, *more: str, sessions: int = SESSIONS, crashed: int = CRASHED) -> None:
    """Ingest well; expect the figures, and a gate that fails."""
    ended = typed(line, *more)
    assert ended.code == 0, ended.err
    figures(sessions, crashed)


def figures(sessions: int = SESSIONS, crashed: int = CRASHED, users: int = USERS) -> None:
    """Expect the figures of the release in the data set, and a gate that fails."""
    ended = typed("overview data -f json")
    assert ended.code == 0, ended.err
    (row,) = json.loads(ended.out)["data"]
    assert (row["total_sessions"], row["sessions_crashed"]) == (sessions, crashed)
    assert row["total_users"] == users
    assert row["crash_free_sessions"] == pytest.approx(100 - 100 * crashed / sessions)
    assert gate().code == 1


def refused(line: str, *said: str, code: int = 4) -> None:
    """Expect a refusal that says all of this and adds nothing, and no pass of what is there."""
    ended = typed(line)
    assert (ended.code, ended.out) == (code, ""), ended
    for each in said:
        assert each in ended.err
    gate()


# 1. Crashed sessions have no duration.


@pytest.mark.parametrize("word", ["", "NA", "NaN", "nan", "NULL", "\\N", "None", "-1", "n/a", "x"])
def test_1_words_for_a_missing_duration(word: str) -> None:
    write_csv(Path("sessions.csv"), exported(), missing=word)
    right("ingest sessions.csv --to data")


# 2. Users as pandas has them.


def with_gaps() -> list[Row]:
    """Return rows of which some have no user, whose users pandas makes floats."""
    rows = exported()
    for row in rows[7::70]:
        row["user_id"] = None
    return rows


def test_2_users_as_floats() -> None:
    frame = pd.DataFrame(with_gaps())
    assert frame["user_id"].dtype == "float64"
    frame.to_csv("sessions.csv", index=False)
    assert "101.0" in Path("sessions.csv").read_text()
    right("ingest sessions.csv --to data")
    frame.to_parquet("sessions.parquet")
    right("ingest sessions.parquet --to data")  # the same users and sessions
    frame.convert_dtypes().to_parquet("integers.parquet")
    right("ingest integers.parquet --to data")


def test_2_users_that_lost_digits_as_floats() -> None:
    frame = pd.DataFrame(exported(user_id=float(HIGH)))  # which is that of the user before
    frame.to_parquet("sessions.parquet")
    refused(
        "ingest sessions.parquet --to data",
        "column user_id of type double cannot be user_id: ",
        "has lost digits as a float; write integers or text",
    )


def test_2_binary_strings() -> None:
    frame = pd.DataFrame(exported())
    for name in ("user_id", "release", "status"):
        frame[name] = pd.Series([str(each).encode() for each in frame[name]], dtype=object)
    frame.to_parquet("sessions.parquet")
    right("ingest sessions.parquet --to data")
    frame.to_csv("sessions.csv", index=False)
    refused("ingest sessions.csv --to other", "unknown words for a status: \"b'exited'\" (270)")
    frame["status"] = [each.decode() for each in frame["status"]]
    frame.to_csv("sessions.csv", index=False)
    assert typed("ingest sessions.csv --to other").code == 0
    judged = typed(f"gate other -r {RELEASE} --target 99")
    assert judged.code == 3
    assert "no session in 90 days: check the name" in judged.out


# 3. JSON lines with a column that envelopes have.


@pytest.mark.parametrize("name", ["type", "sdk", "dsn", "sent_at", "event_id"])
def test_3_json_lines_with_a_column_of_envelopes(name: str) -> None:
    write_lines(Path("sessions.jsonl"), exported(**{name: "session"}))
    right("ingest sessions.jsonl --to data")
    right("ingest sessions.jsonl --to data")


def test_3_a_table_that_is_asked_directly() -> None:
    write_lines(Path("sessions.jsonl"), exported(type="session"))
    write_csv(Path("sessions.csv"), exported())
    for name in ("sessions.jsonl", "sessions.csv"):
        asked = typed(f"gate {name} -r {RELEASE} --target 99")
        assert (asked.code, asked.out) == (4, "")
        assert "relhealth ingest" in asked.err


# 4. Columns and words of other names.


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_4_a_typo_in_the_mapping(kind: str) -> None:
    write = {"csv": write_csv, "jsonl": write_lines}[kind]
    write(Path("sessions"), exported())
    refused(
        "ingest sessions --to data --map status=TYPO",
        "no column TYPO for status; found session_id, started, ",
        "name it with --map status=COLUMN",
    )
    refused("ingest sessions --to data --map stauts=status", "--map stauts: unknown field", code=2)
    right("ingest sessions --to data")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_4_a_status_column_of_another_name(kind: str) -> None:
    write = {"csv": write_csv, "jsonl": write_lines}[kind]
    write(Path("sessions"), exported(status="outcome"))
    refused(
        "ingest sessions --to data",
        "no column status or session_status for status; found ",
        "--map status=COLUMN, or say with --no-status",
    )
    right("ingest sessions --to data --map status=outcome")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_4_unknown_words_for_a_status(kind: str) -> None:
    write = {"csv": write_csv, "jsonl": write_lines}[kind]
    write(Path("sessions"), exported(crashed="crash"))
    refused(
        "ingest sessions --to data",
        "unknown words for a status: 'crash' (30); say what each means, such as"
        " --status 'crash=crashed', or leave their rows out with --unknown-status reject",
    )
    refused("ingest sessions --to data --status crash=crahsed", "unknown status", code=2)
    right("ingest sessions --to data --status crash=crashed")


def test_4_statuses_in_another_case() -> None:
    write_csv(Path("sessions.csv"), exported(crashed="Crashed"))
    right("ingest sessions.csv --to data")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_4_a_release_that_is_not_mapped(kind: str) -> None:
    write = {"csv": write_csv, "jsonl": write_lines}[kind]
    write(Path("sessions"), without(exported(), "release", "build"))
    refused(
        "ingest sessions --to data",
        "no column release or version ",
        "name it with --map release=COLUMN, or say with --no-release",
    )
    right("ingest sessions --to data --map release=build")


# 5. The wrong options, then the right ones.


def test_5_a_wrong_mapping_then_the_right_one() -> None:
    write_csv(Path("sessions.csv"), exported(environment="production"))
    assert typed("ingest sessions.csv --to data --map release=environment").code == 0
    assert gate().code == 3
    refused(
        "ingest sessions.csv --to data",
        "with other options (--map release=environment; now no options); --replace ingests it",
    )
    right("ingest sessions.csv --to data --replace")


def test_5_no_status_then_the_right_mapping() -> None:
    write_csv(Path("sessions.csv"), exported(status="outcome"))
    assert typed("ingest sessions.csv --to data --no-status").code == 0
    ended = typed("ingest sessions.csv --to data --map status=outcome")
    assert ended.code == 4
    assert "--no-status; now --map status=outcome); --replace ingests it again" in ended.err
    right("ingest sessions.csv --to data --map status=outcome --replace")


def test_5_a_wrong_project_then_the_right_one() -> None:
    write_csv(Path("sessions.csv"), without(exported(), "project_id"))
    ended = typed("ingest sessions.csv --to data")
    assert ended.code == 4
    assert "no project: the row has none; name one with --project" in ended.err
    right("ingest sessions.csv --to data --project 7")
    assert gate("-p", "1").code != 1
    refused(
        "ingest sessions.csv --to data --project 1",
        "with other options (--project 7; now --project 1); --replace",
    )
    right("ingest sessions.csv --to data --project 1 --replace")
    assert gate("-p", "1").code == 1
    assert gate("-p", "7").code != 1
    assert typed("ingest sessions.csv --to data --project 1").code == 0  # known, and as it was
    figures()


def test_5_taken_out_and_ingested_anew() -> None:
    write_csv(Path("sessions.csv"), exported(environment="production"))
    assert typed("ingest sessions.csv --to data --map release=environment").code == 0
    assert run("ingest", "--forget", "sessions.csv", "--to", "data").code == 0
    right("ingest sessions.csv --to data")


# 6. The same sessions again.


def test_6_the_same_export_twice() -> None:
    write_csv(Path("monday.csv"), exported())
    right("ingest monday.csv --to data")
    Path("tuesday.csv").write_bytes(Path("monday.csv").read_bytes())
    right("ingest monday.csv tuesday.csv --to data")
    write_lines(Path("sessions.jsonl"), exported())
    right("ingest sessions.jsonl --to data")


def test_6_a_log_that_was_compressed_since() -> None:
    write_lines(Path("app.log"), exported())
    right("ingest app.log --to data")
    Path("app.log.1.gz").write_bytes(gzip.compress(Path("app.log").read_bytes()))
    right("ingest app.log.1.gz --to data")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_6_a_file_that_grows(kind: str) -> None:
    write = {"csv": write_csv, "jsonl": write_lines}[kind]
    for sessions in (200, 250, SESSIONS):
        write(Path("app.log"), exported()[:sessions])
        right("ingest app.log --to data", sessions=sessions, crashed=sessions // 10)


def test_6_exports_that_overlap() -> None:
    for number, (start, end) in enumerate([(0, 200), (100, SESSIONS), (0, SESSIONS)]):
        write_csv(Path(f"{number}.csv"), exported()[start:end])
        right(f"ingest {number}.csv --to data", sessions=end, crashed=end // 10)
    right("ingest 2.csv 1.csv 0.csv --to data")
