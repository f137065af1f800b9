"""Ingest with ``--dimension``: from every kind of input into columns, which every change keeps."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import run
from envelopes import NOW, SESSIONS, envelope, update
from sessions import CONTRACT
from tables import attempt, refusal, session, write_csv, write_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path

OS = ("--dimension", "os")
WRITERS = {"csv": write_csv, "jsonl": write_lines, "parquet": write_parquet}


def bucket(value: int, **tags: str) -> dict[str, Any]:
    """Return a bucket of sessions."""
    return {
        "org_id": 1,
        "project_id": 1,
        "name": SESSIONS,
        "type": "c",
        "timestamp": 1_772_452_800,
        "value": value,
        "tags": {"session.status": "init", "release": "shop@1.0.0", **tags},
    }


def by(dataset: Path, dimension: str = "os", *argv: str) -> dict[str, int]:
    """Return the sessions of each value."""
    asked = ["-F", "sum(session)", "-g", dimension, "--interval", "1d", *argv]
    result = run("query", str(dataset), *asked, "--now", NOW, "-f", "json")
    assert result.code == 0, result.err
    groups = json.loads(result.out)["data"]["groups"]
    return {one["by"][dimension]: one["totals"]["sum(session)"] for one in groups}


def columns(dataset: Path) -> set[tuple[str, ...]]:
    """Return the columns of each file, beside the contract's."""
    files = dataset.glob("date=*/*.parquet")
    return {
        tuple(name for name in pq.read_schema(file).names if name not in CONTRACT) for file in files
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_columns_of_a_table(kind: str, tmp_path: Path) -> None:
    given = [
        session(0, os="iOS", model="a", api=34),
        session(1, os="iOS", model="b", api=35),
        session(2, os=None, model="b", api=None),
        session(3, os="N/A", model="健康 'x'", api=35, status="crashed"),
    ]
    source = WRITERS[kind](tmp_path / f"in.{kind}", given)
    argv = [*OS, "--dimension", "device=model", "--dimension", "level=api"]
    result = attempt(source, tmp_path / "data", *argv)
    assert result.code == 0, result.err
    assert columns(tmp_path / "data") == {("device", "level", "os")}
    assert by(tmp_path / "data") == {"iOS": 2, "": 2}
    assert by(tmp_path / "data", "device") == {"a": 1, "b": 2, "健康 'x'": 1}
    assert by(tmp_path / "data", "level") == {"34": 1, "35": 2, "": 1}
    assert by(tmp_path / "data", "os", "--where", "device=b") == {"iOS": 1, "": 1}


def test_values_of_a_table_that_are_no_text(tmp_path: Path) -> None:
    given = [session(0, os=["iOS"]), session(1, os=True), session(2, os=1.5), session(3)]
    result = attempt(write_lines(tmp_path / "in.jsonl", given), tmp_path / "data", *OS)
    assert result.code == 0, result.err
    assert "dimension os" in result.err
    assert by(tmp_path / "data") == {"": 3, "true": 1}
    flags = write_parquet(tmp_path / "in.parquet", [session(9, rooted=True)])
    assert attempt(flags, tmp_path / "flags", "--dimension", "rooted").code == 0
    assert by(tmp_path / "flags", "rooted") == {"true": 1}


def attributes(number: int, **more: Any) -> dict[str, Any]:
    return {"release": "shop@1.0.0", "environment": "production", "level": number % 2, **more}


@pytest.mark.parametrize("count", [3, 200])
def test_attributes_of_updates(count: int, tmp_path: Path) -> None:
    """A few are read one by one, many as columns; numbers are texts either way."""
    items = [
        update(f"{n:032x}", attrs=attributes(n, os="iOS" if n % 3 else ""), did=f"u{n}")
        for n in range(count)
    ]
    source = tmp_path / "in.envelope"
    source.write_bytes(envelope(*items))
    assert attempt(source, tmp_path / "data", *OS, "--dimension", "lv=level").code == 0
    ios = count - len(range(0, count, 3))
    assert by(tmp_path / "data") == {"iOS": ios, "": count - ios}
    assert by(tmp_path / "data", "lv") == {"0": len(range(0, count, 2)), "1": count // 2}
    texts = [update(f"{n:032x}", attrs={"release": "a@1", "os": "iOS"}) for n in range(count)]
    source.write_bytes(envelope(*texts))
    assert attempt(source, tmp_path / "texts", *OS).code == 0
    assert by(tmp_path / "texts") == {"iOS": count}


def test_attributes_of_aggregates_and_of_sessions_without_an_id(tmp_path: Path) -> None:
    started = "2026-03-02T12:00:00Z"
    source = tmp_path / "in.envelope"
    source.write_bytes(
        envelope(
            {"aggregates": [{"started": started, "exited": 5}], "attrs": {"os": "iOS"}},
            update("", status="exited", attrs={"release": "a@1", "os": "Android"}),
            update("b" * 32, attrs=[]),
        )
    )
    assert attempt(source, tmp_path / "data", *OS).code == 0
    assert by(tmp_path / "data") == {"iOS": 5, "Android": 1, "": 1}


def test_tags_of_buckets(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    tagged = bucket(4, **{"device.os": "iOS"})
    source.write_text(f"{json.dumps(tagged)}\n{json.dumps(bucket(2))}\n")
    assert attempt(source, tmp_path / "data", "--dimension", "os=device.os").code == 0
    assert by(tmp_path / "data") == {"iOS": 4, "": 2}
    message = {"topic": "ingest-metrics", "partition": 0, "offset": 1, "tstype": "create", "ts": 1}
    source.write_text(json.dumps({**message, "key": None, "payload": json.dumps(bucket(8))}) + "\n")
    assert attempt(source, tmp_path / "kafka", "--dimension", "os=release").code == 0
    assert by(tmp_path / "kafka") == {"shop@1.0.0": 8}


@pytest.mark.parametrize("document", ['dimensions = ["os"]', 'dimensions = { os = "os" }'])
def test_a_mapping_file(document: str, tmp_path: Path) -> None:
    (tmp_path / "mapping.toml").write_text(document)
    source = write_csv(tmp_path / "in.csv", [session(0, os="iOS", model="a")])
    mapping = ["--mapping", str(tmp_path / "mapping.toml")]
    assert attempt(source, tmp_path / "data", *mapping).code == 0
    assert by(tmp_path / "data") == {"iOS": 1}
    more = [*mapping, "--dimension", "os=model"]  # the command line wins
    assert attempt(source, tmp_path / "other", *more).code == 0
    assert by(tmp_path / "other") == {"a": 1}


def test_the_list_and_a_dry_run_name_them(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [session(0, os="iOS")])
    shown = attempt(source, tmp_path / "data", *OS, "--dry-run").out
    assert '"dimension os": "iOS"' in shown
    assert attempt(source, tmp_path / "data", *OS).code == 0
    listed = run("ingest", "--list", "--to", str(tmp_path / "data"))
    assert "--dimension os=os" in listed.out
    again = attempt(source, tmp_path / "data")
    assert again.code == 4
    assert "with other options (--dimension os=os; now no options)" in again.err
    assert attempt(source, tmp_path / "data", "--replace").code == 0
    assert columns(tmp_path / "data") == {()}


def compacted(dataset: Path) -> None:
    """Compact a data set into one file a day."""
    assert run("compact", str(dataset)).code == 0
    assert len(list(dataset.glob("date=*/*.parquet"))) == 1


def test_files_with_and_without_them(tmp_path: Path) -> None:
    """Also such as another program wrote, and such that spell a column differently."""
    data = tmp_path / "data"
    for number, argv in enumerate([OS, (), ("--dimension", "OS=os"), ("--dimension", "model")]):
        given = [session(10 * number + n, os="iOS", model="a") for n in range(2)]
        source = write_csv(tmp_path / f"{number}.csv", given)
        assert attempt(source, data, *argv).code == 0
    rows.write(
        next(data.glob("date=*")) / "other.parquet",
        [rows.session(os="iOS", api=7, score=0.5, value=16.0)],
        types={"os": pa.string(), "api": pa.int64(), "score": pa.float64()},
    )
    before = by(data), by(data, "model"), by(data, "api")
    assert before == ({"iOS": 20, "": 4}, {"a": 2, "": 22}, {"7": 16, "": 8})
    compacted(data)
    assert (by(data), by(data, "model"), by(data, "api")) == before
    assert {name.lower() for name in next(iter(columns(data)))} == {"os", "model", "api"}


def test_rows_that_differ_only_in_them_stay_apart(tmp_path: Path) -> None:
    for name in ("iOS", "Android"):
        source = tmp_path / f"{name}.jsonl"
        source.write_text(json.dumps(bucket(1, os=name)))
        assert attempt(source, tmp_path / "data", *OS).code == 0
    compacted(tmp_path / "data")
    assert by(tmp_path / "data") == {"iOS": 1, "Android": 1}


@pytest.mark.parametrize("change", ["forget", "replace"])
@pytest.mark.parametrize("before", ["as it is", "compacted"])
def test_a_repeated_session_keeps_its_own(change: str, before: str, tmp_path: Path) -> None:
    """Of two inputs with one session, the second counts, with its value, once the first is gone."""
    data = tmp_path / "data"
    for name in ("iOS", "Android"):
        source = write_csv(tmp_path / f"{name}.csv", [session(0, os=name)])
        assert attempt(source, data, *OS).code == 0
    assert by(data) == {"iOS": 1}
    if before == "compacted":
        compacted(data)
    if change == "forget":
        assert run("ingest", "--forget", "iOS.csv", "--to", str(data)).code == 0
    else:
        write_csv(tmp_path / "iOS.csv", [session(1, os="Windows")])
        assert attempt(tmp_path / "iOS.csv", data, *OS, "--replace").code == 0
    assert by(data) == {"Android": 1} | ({"Windows": 1} if change == "replace" else {})


def test_repeats_of_an_earlier_version(tmp_path: Path) -> None:
    """They have no column of dimensions."""
    data = tmp_path / "data"
    for number in range(2):
        source = write_csv(tmp_path / f"{number}.csv", [session(0), session(number)])
        assert attempt(source, data).code == 0
    (repeats,) = data.glob("_ledger/date=*/*.repeats.parquet")
    pq.write_table(pq.read_table(repeats).drop_columns("dimensions"), repeats)
    assert run("ingest", "--forget", "0.csv", "--to", str(data)).code == 0
    result = run("overview", str(data), "--now", NOW, "-f", "json")
    assert [row["total_sessions"] for row in json.loads(result.out)["data"]] == [2]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_missing_column(kind: str, tmp_path: Path) -> None:
    source = WRITERS[kind](tmp_path / f"in.{kind}", [session(0, os_name="iOS")])
    told = refusal(source, *OS)
    assert "no column os for the dimension os; found session_id, " in told
    assert "; name it with --dimension os=COLUMN" in told


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--dimension", "release"], "--dimension release: name it with --release"),
        (["--dimension", "Project=x"], "--dimension Project: name it with --project"),
        (["--dimension", "member=x"], "--dimension member: a column of the data contract"),
        (["--dimension", "=os"], "--dimension =os: expected two words with = between them"),
        (["--dimension", "os="], "--dimension os=: expected two words with = between them"),
        (["--dimension", "os", "--dimension", "OS"], "--dimension OS: differs from os only in"),
    ],
)  # fmt: skip
def test_bad_names(argv: list[str], told: str, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", [session(0, os="iOS")])
    result = attempt(source, tmp_path / "data", *argv)
    assert result.code == 2
    assert told in result.err
    assert not (tmp_path / "data").exists()


def test_a_rollup_of_them(tmp_path: Path) -> None:
    """A rollup answers what is not about them, and says why it does not answer the rest."""
    source = write_csv(tmp_path / "in.csv", [session(n, os="iOS") for n in range(3)])
    assert attempt(source, tmp_path / "data", *OS).code == 0
    assert run("rollup", str(tmp_path / "data")).code == 0
    assert by(tmp_path / "data") == {"iOS": 3}
    plain = ["overview", str(tmp_path / "data"), "--now", NOW, "--engine", "rollup"]
    assert run(*plain).code == 0
    assert "it does not keep os" in run(*plain, "--by", "os").err


def test_values_of_many_sessions(tmp_path: Path) -> None:
    """A question of some values is that of a data set of only their sessions."""
    random = Random(5)
    systems = ["iOS", "Android", None]
    given = [
        session(
            n,
            user_id=f"u{random.randrange(40)}",
            status=random.choice(["exited", "exited", "crashed", "abnormal"]),
            duration=random.randrange(100),
            errors=random.choice([0, 2]),
            os=random.choice(systems),
        )
        for n in range(400)
    ]
    answers = []
    for name, some, where in (
        ("all", given, ["--where", "os=iOS"]),
        ("some", [row for row in given if row["os"] == "iOS"], []),
    ):
        source = write_csv(tmp_path / f"{name}.csv", some)
        assert attempt(source, tmp_path / name, *OS).code == 0
        compacted(tmp_path / name) if name == "all" else None
        result = run("overview", str(tmp_path / name), *where, "--now", NOW, "-f", "json")
        answers.append(json.loads(result.out)["data"])
    assert answers[0] == answers[1]
    assert answers[0][0]["total_sessions"] > 100


def test_a_gate_replayed_as_data_arrived(tmp_path: Path) -> None:
    """Of the rows that meet the condition, also from files without the column."""
    data = tmp_path / "data"
    started = "2026-03-01T12:00:00Z"
    for number, argv in enumerate([OS, ()]):
        given = [
            session(1000 * number + n, os="iOS" if n % 2 else "Android", started=started,
                    status="crashed" if n % 2 else "exited")
            for n in range(60)
        ]  # fmt: skip
        source = write_csv(tmp_path / f"{number}.csv", given)
        assert attempt(source, data, *argv).code == 0
    verdicts = {}
    for value in ("iOS", "Android", ""):
        asked = ["gate", "test", str(data), "--since", "2026-03-01", "--target", "90",
                "-r", "1/shop@1.0.0", "--where", f"os={value}", "-f", "json"]  # fmt: skip
        result = run(*asked)
        assert result.code == 0, result.err
        document = json.loads(result.out)
        verdicts[value] = str(document["data"])
        assert document["meta"]["where"] == [f"os={value}"]
    assert len(set(verdicts.values())) == 3, verdicts


def test_an_inspection_lists_them(tmp_path: Path) -> None:
    given = [session(n, os="iOS" if n else "", plan=f"p{n}") for n in range(12)]
    source = write_csv(tmp_path / "in.csv", given)
    assert attempt(source, tmp_path / "data", *OS, "--dimension", "plan").code == 0
    found = json.loads(run("inspect", str(tmp_path / "data"), "--now", NOW, "-f", "json").out)
    os, plan = found["data"]["dimensions"]
    assert (os["dimension"], os["values"]) == ("os", 1)
    assert [one["value"] for one in os["most_frequent"]] == ["iOS", ""]
    assert (plan["dimension"], plan["values"], len(plan["most_frequent"])) == ("plan", 12, 10)
    shown = run("inspect", str(tmp_path / "data"), "--now", NOW).out
    assert "iOS 11, (none) 1" in shown
