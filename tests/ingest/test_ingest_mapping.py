"""Mapping: columns and words of a table, what is refused without them, and the file of them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from command import run
from envelopes import NOW, SESSIONS, ingest, rows_of
from tables import attempt, refusal, session, write_csv, write_lines, write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "csv": write_csv,
    "jsonl": write_lines,
    "parquet": write_parquet,
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Return what writes a table, of each format."""
    return WRITERS[request.param]


def statuses_of(dataset: Path) -> Counter[str]:
    """Return how many sessions a data set has of each status that is counted."""
    found: Counter[str] = Counter()
    for row, times in rows_of(dataset).items():
        if row[3] == SESSIONS:
            found[row[6]] += int(row[8]) * times
    return found


def test_a_mapped_column_must_be_there(write: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in", [session(n, state="crashed") for n in range(3)])
    said = refusal(source, "--map", "status=stat")
    assert said.startswith(f"{source}: no column stat for status; found session_id, started, ")
    assert "the nearest is state" in said or "the nearest is status" in said
    for name in ("user_id", "errors", "duration", "environment", "abnormal_mechanism"):
        assert f"no column typo for {name}" in refusal(source, "--map", f"{name}=typo")


def test_no_status_must_be_said(write: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in", [session(n, status=..., outcome="crashed") for n in range(3)])
    said = refusal(source)
    assert "no column status or session_status for status" in said
    assert "--no-status" in said
    assert ingest(source, tmp_path / "a", "--no-status")["statuses"] == {"exited": 3}
    told = ingest(source, tmp_path / "b", "--map", "status=outcome")
    assert told["statuses"] == {"crashed": 3}
    assert statuses_of(tmp_path / "b") == {"init": 3, "crashed": 3}


def test_no_release_must_be_said(write: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in", [session(n, release=..., build="b") for n in range(3)])
    assert "--no-release" in refusal(source)
    ingest(source, tmp_path / "a", "--no-release")
    assert {row[4] for row in rows_of(tmp_path / "a")} == {None}
    ingest(source, tmp_path / "b", "--map", "release=build")
    assert {row[4] for row in rows_of(tmp_path / "b")} == {"b"}


def test_unknown_words_stop_the_run_and_are_counted(write: Any, tmp_path: Path) -> None:
    rows = [session(n, status=["crash", "fine", "ok"][min(n, 2)]) for n in range(5)]
    rows += [session(9, status="crash")]
    source = write(tmp_path / "in", rows)
    said = refusal(source)
    assert "'crash' (2), 'fine' (1)" in said
    assert "--status 'crash=crashed'" in said
    assert "--unknown-status reject" in said
    told = ingest(source, tmp_path / "a", "--unknown-status", "reject", code=4)
    assert (told["sessions"], told["unknown_statuses"]) == (3, {"crash": 2, "fine": 1})
    options = ("--status", "CRASH=crashed", "--status", "fine=exited")
    told = ingest(source, tmp_path / "b", *options)
    assert told["statuses"] == {"crashed": 2, "exited": 1, "ok": 3}


def test_missing_statuses_are_not_guessed(write: Any, tmp_path: Path) -> None:
    rows = [session(0), session(1, status=None), session(2, status="NULL")]
    source = write(tmp_path / "in", rows)
    assert "'(missing)' (2)" in refusal(source)
    assert "--status '=crashed'" in refusal(source)
    assert ingest(source, tmp_path / "a", "--status", "=crashed")["statuses"]["crashed"] == 2


@pytest.mark.parametrize("word", ["OK", "Crashed", " exited ", "HEALTHY", "Abnormal", "UnHandled"])
def test_statuses_are_read_whatever_their_case(word: str, write: Any, tmp_path: Path) -> None:
    told = ingest(write(tmp_path / "in", [session(0, status=word)]), tmp_path / "data")
    assert sum(told["statuses"].values()) == 1


def test_truth_values_and_numbers_can_be_statuses(write: Any, tmp_path: Path) -> None:
    rows = [session(n, status=..., crashed=n == 0) for n in range(3)]
    source = write(tmp_path / "in", rows)
    options = ("--map", "status=crashed", "--status", "true=crashed", "--status", "false=exited")
    assert ingest(source, tmp_path / "a", *options)["statuses"] == {"crashed": 1, "exited": 2}
    rows = [session(n, status=n % 2) for n in range(3)]
    source = write(tmp_path / "in", rows)
    told = ingest(source, tmp_path / "b", "--status", "1=crashed", "--status", "0=exited")
    assert told["statuses"] == {"crashed": 1, "exited": 2}


def test_columns_are_found_whatever_their_case(write: Any, tmp_path: Path) -> None:
    row = {"Session ID": "a", "STARTED": NOW, "Project-Id": 1, "Version": "r", "Status": "ok"}
    told = ingest(write(tmp_path / "in", [row | {"Notes": "n"}]), tmp_path / "data")
    assert told["columns"] == {
        "session_id": ["Session ID"], "project_id": ["Project-Id"], "release": ["Version"],
        "status": ["Status"], "started": ["STARTED"],
    }  # fmt: skip
    assert told["ignored_columns"] == ["Notes"]
    ambiguous = write(tmp_path / "in2", [row | {"sessionId": "b"}])
    assert "columns Session ID and sessionId may both be session_id" in refusal(ambiguous)
    exact = write(tmp_path / "in3", [row | {"session_id": "b"}])
    assert ingest(exact, tmp_path / "exact")["columns"]["session_id"] == ["session_id"]


def test_a_run_says_what_it_used(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [session(0, note="x", duration=-1)])
    result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW)
    assert result.code == 0
    for line in ("session_id", "(ignored)", "started (text: 1)"):
        assert line in result.out
    assert "duration: lost in 1 session, which is kept, such as '-1'" in result.err


MAPPING = """
project = 7
no_status = false
retention = "365d"

[map]
session_id = "uuid"
status = "word"

[status]
bad = "crashed"
"" = "exited"
"""


@pytest.mark.parametrize("where", ["option", "table", "folder"])
def test_a_mapping_kept_in_a_file(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        session(n, uuid=f"u{n}", word=word, session_id=..., status=..., project_id=...)
        for n, word in enumerate(["bad", "ok", ""])
    ]
    source = write_csv(tmp_path / "in.csv", rows)
    options: tuple[str, ...] = ("--mapping", "mapping.toml")
    file = tmp_path / "mapping.toml"
    if where == "option":
        file.write_text(MAPPING)
    else:
        document = MAPPING.replace("[map]", "[ingest.map]").replace("[status]", "[ingest.status]")
        if where == "folder":
            file, options = tmp_path / "relhealth.toml", ()
        file.write_text("[ingest]" + document)
    told = ingest(source, tmp_path / "data", *options)
    assert told["statuses"] == {"crashed": 1, "ok": 1, "exited": 1}
    assert {row[1] for row in rows_of(tmp_path / "data")} == {7}
    told = ingest(source, tmp_path / "other", *options, "-p", "8", "--status", "bad=abnormal")
    assert told["statuses"] == {"abnormal": 1, "ok": 1, "exited": 1}
    assert {row[1] for row in rows_of(tmp_path / "other")} == {8}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("mapp = 1", "mapp: unknown word; known are map, status, project"),
        ("project = 'x'", "project 'x': unknown: expected an id, or a name of [projects]"),
        ("[map]\nnonsense = 'x'", "--map nonsense: unknown field"),
        ("[status]\nbad = 'worse'", "--status worse: unknown status"),
        (
            "from = 'xml'",
            "from: unknown word 'xml'; expected one of envelopes, buckets,",
        ),
        ("unknown_status = 'x'", "unknown_status: unknown word 'x'; expected one of stop, reject"),
        ("project = 2026-03-02", "project: expected a whole number, got a date"),
        ("[map]\nrelease = 5", "map: expected text, got a whole number"),
        ("no_status = [1]", "no_status: expected true or false, got a list"),
        ("= 1", "not TOML"),
        ("ingest = 1", "ingest: expected a table"),
    ],
)
def test_a_bad_mapping_file(document: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(document)
    source = write_csv(tmp_path / "in.csv", [session(0)])
    result = attempt(source, tmp_path / "data", "--mapping", str(file))
    assert result.code == 2
    assert said in result.err
    gone = attempt(source, tmp_path / "data", "--mapping", str(tmp_path / "gone"))
    assert gone.code == 2
    assert "cannot read the mapping" in gone.err


def test_a_mapping_file_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text("\ufeffproject = 7\n", encoding="utf-8")
    source = write_csv(tmp_path / "in.csv", [session(0, project_id=...)])
    ingest(source, tmp_path / "data", "--mapping", str(file))
    assert {row[1] for row in rows_of(tmp_path / "data")} == {7}


def test_a_policy_s_file_may_hold_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "relhealth.toml"
    file.write_text("[ingest]\nproject = 1\n[[gate.rule]]\ntarget = 99.0\n")
    source = write_csv(tmp_path / "in.csv", [session(0)])
    ingest(source, tmp_path / "data")
    line = ("gate", str(tmp_path / "data"), "--now", NOW, "-r", "shop@1.0.0")
    assert "unknown word" not in run(*line, "--policy", str(file)).err


def test_sparse_rows_of_json_lines(tmp_path: Path) -> None:
    rows = [session(0, status="crashed", user_id="u"), session(1, environment=...), session(2)]
    told = ingest(write_lines(tmp_path / "in", rows), tmp_path / "data", "--map", "user_id=user_id")
    assert told["accepted"] == {"row": 3}
    lacking = [session(0), session(1, status=...)]
    assert "'(missing)' (1)" in refusal(write_lines(tmp_path / "in2", lacking))


def test_the_first_of_the_usual_names_is_taken_however_it_is_spelled(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(f"session_id,started,project_id,status,version,Release\na,{NOW},1,ok,x,a@1\n")
    told = ingest(source, tmp_path / "data")
    assert told["columns"]["release"] == ["Release"]
    assert {row[4] for row in rows_of(tmp_path / "data")} == {"a@1"}


def test_two_columns_that_may_be_the_status_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    head = "session_id,started,project_id,release,status,session_status\n"
    source.write_text(f"{head}a,{NOW},1,a@1,ok,crashed\n")
    told = refusal(source)
    assert "columns status and session_status may both be status; name one with --map" in told
    ingest(source, tmp_path / "data", "--map", "status=session_status")
    assert (SESSIONS, "crashed") in {(row[3], row[6]) for row in rows_of(tmp_path / "data")}


def test_rows_without_a_status_among_others_that_have_one(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    row = {"session_id": "a", "started": NOW, "project_id": 1, "release": "a@1"}
    source.write_text(f"{json.dumps(row)}\n{json.dumps(row | {'status': 'crashed'})}\n")
    assert "some rows have a status and others none" in refusal(source, "--no-status")


def test_empty_cells_at_the_end_of_a_row_may_be_left_out(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    head = "session_id,started,project_id,release,status,user_id,duration\n"
    source.write_text(f"{head}a,{NOW},1,a@1,crashed\nb,{NOW},1,a@1,ok,u,2\n")
    assert ingest(source, tmp_path / "data")["sessions"] == 2
