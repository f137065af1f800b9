"""Questions that filter and group by further columns, by each path, against the reference."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from clusters import sail
from command import run
from paths import PATHS, by
from relhealth import DataError, QuestionError, ReleaseHealth
from relhealth.engines import interface
from relhealth.engines.kernel import scanning
from sessions import metric_table
from test_reference import differences, random_case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reference import Row
    from test_reference import Case

NOW = "2026-03-02T12:30:00Z"
SYSTEMS = ["iOS", "Android", "", None, "it's \\ \"/~", "健康"]
LEVELS = [7, -1, None]


@pytest.fixture(params=[*PATHS, pytest.param("sail", marks=pytest.mark.slow)])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every question is answered by each of the paths."""
    address = sail() if request.param == "sail" else request.param
    with by(address):
        yield request.param


every_path = pytest.mark.usefixtures("path")


def with_dimensions(random: Random, case: Case) -> Case:
    """Give each row an operating system and a level."""
    further = [{"os": random.choice(SYSTEMS), "level": random.choice(LEVELS)} for _ in case.rows]
    return replace(case, rows=[row | more for row, more in zip(case.rows, further, strict=True)])


def write(case: Case, folder: Path, random: Random, path: str) -> None:
    """Deal the rows out to files, of which some lack a column whose values are all none."""
    folder.mkdir()
    for number in range(case.files):
        some = case.rows[number :: case.files]
        table = metric_table(some, None if path == "sail" else case.timestamp)
        # A cluster needs one type in all files.
        kind = pa.string() if path == "sail" else random.choice([pa.string(), pa.large_string()])
        for name, type_ in (("os", kind), ("level", pa.int32())):
            values = [row[name] for row in some]
            if any(values) or random.random() < 0.5:
                table = table.append_column(name, pa.array(values, type_))
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=case.row_group)


def answered(folder: Path, *argv: str) -> dict[str, Any]:
    """Return the document of an overview."""
    result = run("overview", str(folder), "-f", "json", *argv)
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    return found


CASES = pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 12))]
)


@CASES
def test_where_is_an_overview_of_those_rows(seed: int, path: str, tmp_path: Path) -> None:
    random = Random(seed)
    case = with_dimensions(random, random_case(random, most_rows=150))
    write(case, tmp_path / "data", random, path)
    wanted = random.sample([one for one in SYSTEMS if one is not None], 2)
    level = str(random.choice(LEVELS) or "")
    sign = random.choice(["=", "!="])
    argv = [f"--where=os={one}" for one in wanted] + [f"--where=level{sign}{level}"]
    document = answered(tmp_path / "data", *case.question.argv(), *argv)

    def holds(row: Row) -> bool:
        its = "" if row["level"] is None else str(row["level"])
        return (row["os"] or "") in wanted and (its == level) == (sign == "=")

    check(document["data"], case.question.answer([row for row in case.rows if holds(row)]))
    assert document["meta"]["where"] == [f"os={one}" for one in wanted] + [f"level{sign}{level}"]


@CASES
def test_a_row_by_value_is_the_overview_of_that_value(seed: int, path: str, tmp_path: Path) -> None:
    random = Random(seed)
    case = with_dimensions(random, random_case(random, most_rows=150))
    write(case, tmp_path / "data", random, path)
    document = answered(tmp_path / "data", *case.question.argv(), "--by", "os")

    question = replace(case.question, pairs=None)
    if case.question.pairs is not None:
        question = replace(question, projects=tuple({p for p, _ in case.question.pairs}))
    expected = [
        {**row, "os": value}
        for value in sorted({row["os"] or "" for row in case.rows})
        for row in question.answer([row for row in case.rows if (row["os"] or "") == value])
        if case.question.pairs is None or pair_of(row) in case.question.pairs
    ]
    seen = {pair_of(row) for row in expected}
    if case.question.pairs is not None:
        every = case.question.answer(case.rows)
        expected += [{**row, "os": None} for row in every if pair_of(row) not in seen]
    check(document["data"], expected)


def pair_of(row: Row) -> tuple[int, str]:
    return row["project_id"], row["release"]


def check(answer: list[Row], expected: list[Row]) -> None:
    """Compare the rows of an answer, in any order."""
    found = {(*pair_of(row), row.get("os")): row for row in answer}
    wanted = {(*pair_of(row), row.get("os")): row for row in expected}
    assert len(found) == len(answer)
    assert found.keys() == wanted.keys()
    assert [key for key, row in wanted.items() if differences(found[key], row)] == []


DATA = [
    rows.session(os="iOS", variant="a", environment="production", value=4.0),
    rows.session("crashed", os="iOS", variant="a", environment="production"),
    rows.session(os="iOS", variant="b", release="shop@2.0.0", value=2.0),
    rows.session(os="Android", variant="b", environment="production", value=3.0),
    rows.session(value=1.0),
    rows.user(1, os="iOS"),
    rows.user(1, os="Android"),
    rows.user(2, os="iOS"),
    rows.user(2, "crashed", os="iOS"),
    rows.duration(30.0, os="iOS"),
]


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A file with two further columns of text."""
    types = {"os": pa.string(), "variant": pa.string()}
    (tmp_path / "data").mkdir()
    rows.write(tmp_path / "data" / "rows.parquet", DATA, types=types)
    return str(tmp_path / "data")


@every_path
def test_query_by_a_column(data: str) -> None:
    argv = ["-F", "sum(session)", "-F", "count_unique(user)", "-g", "os", "--interval", "1d"]
    result = run("query", data, *argv, "--now", NOW, "-f", "json")
    assert result.code == 0, result.err
    groups = {one["by"]["os"]: one["totals"] for one in json.loads(result.out)["data"]["groups"]}
    assert groups == {
        "iOS": {"sum(session)": 6, "count_unique(user)": 2},
        "Android": {"sum(session)": 3, "count_unique(user)": 1},
        "": {"sum(session)": 1, "count_unique(user)": 0},
    }


@every_path
def test_query_by_columns_environment_and_status(data: str) -> None:
    keys = ["variant", "environment", "os", "session.status"]
    argv = [one for key in keys for one in ("-g", key)]
    result = run("query", data, "-F", "sum(session)", *argv, "--now", NOW, "-f", "jsonl")
    assert result.code == 0, result.err
    found = [json.loads(line) for line in result.out.splitlines()]
    assert list(found[0]) == [
        "environment", "session.status", "variant", "os", "bucket", "sum(session)",
    ]  # fmt: skip
    counted = {tuple(row.values())[:4]: row["sum(session)"] for row in found if row["sum(session)"]}
    assert counted == {
        ("production", "healthy", "a", "iOS"): 4,
        ("production", "crashed", "a", "iOS"): 1,
        ("", "healthy", "b", "iOS"): 2,
        ("production", "healthy", "b", "Android"): 3,
        ("", "healthy", "", ""): 1,
    }


QUESTIONS = [
    ["overview", "--stats-period", "7d"],
    ["overview", "--by", "environment", "--stat", "users", "--stats-period", "24h"],
    ["query", "-F", "sum(session)", "-F", "p90(session.duration)", "-g", "release"],
    ["releases", "--period", "7d", "--sort", "release"],
    ["release", "shop@1.0.0", "--period", "7d"],
    ["projects"],
    ["adoption"],
    ["compare", "shop@1.0.0", "shop@2.0.0", "--period", "7d"],
    ["status"],
    ["gate", "-r", "shop@2.0.0", "--target", "90", "--critical", "80", "--dry-run"],
    ["gate", "-r", "latest", "--baseline", "prevailing", "--margin", "2", "--dry-run"],
    ["gate plan", "--target", "90"],
    ["gate test", "--since", "2026-02-28", "--target", "90", "-r", "shop@2.0.0"],
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
@pytest.mark.parametrize(
    "path", ["kernel", "duckdb", pytest.param("sail", marks=pytest.mark.slow)], indirect=True
)
@every_path
def test_every_question_takes_where(question: list[str], tmp_path: Path) -> None:
    """As if there were no other rows."""
    random = Random(7)
    kinds = [rows.session] * 6 + [lambda **row: rows.session("crashed", **row)]
    given = []
    for _ in range(900):
        row = {
            "os": random.choice(["iOS", "Android", None]),
            "release": random.choice(["shop@1.0.0", "shop@2.0.0"]),
            "environment": random.choice(["production", "beta"]),
            "timestamp": rows.NOON - timedelta(seconds=random.randrange(5 * 86_400)),
        }
        given.append(random.choice(kinds)(**row))
        given.append(rows.user(random.randrange(99), random.choice([None, "crashed"]), **row))
        given.append(rows.duration(float(random.randrange(99)), **row))
    answers = []
    for name, some, where in (
        ("all", given, ["--where", "os=iOS"]),
        ("some", [row for row in given if row["os"] == "iOS"], []),
    ):
        folder = tmp_path / name
        folder.mkdir()
        rows.write(folder / "rows.parquet", some, types={"os": pa.string()})
        command, *options = question
        argv = [*command.split(), str(folder), *options, *where, "--now", NOW, "-f", "json"]
        result = run(*argv)
        assert result.code == 0, result.err
        document = json.loads(result.out)
        assert document["meta"].pop("where", None) == (["os=iOS"] if where else None)
        answers.append(document["data"])
    assert answers[0] == answers[1]
    assert len(str(answers[0])) > 100


def test_python_takes_where(data: str) -> None:
    """Also in the questions that no command asks."""
    ios, android = {"os": ["iOS"]}, ["os=Android"]
    pair = (1, rows.RELEASE)
    now: Any = NOW
    window: Any = {"start": "2026-03-02T00:00Z", "end": NOW}
    with ReleaseHealth(data) as health:
        assert health.overview(where=ios, now=now)[pair].total_sessions == 4
        assert health.overview(where=ios, by="variant", now=now)[(*pair, "a")].total_sessions == 4
        assert health.overview(by="OS", now=now).by == "OS"
        assert health.adoption([pair], where=ios, now=now)[pair]["sessions_24h"] == 4
        assert health.sessions_count(1, where=android, **window) == 3
        assert health.sessions_per_project([1], where=ios, **window) == {1: 6}
        assert health.releases_by_stability(where=android, now=now) == [pair]
        assert health.releases_count(where=ios, now=now) == 2
        assert health.release_stats(*pair, where=ios, **window)[1]["sessions"] == 4
        breakdown = health.crash_free_breakdown(*pair, start="2026-03-02", where=ios, now=now)
        assert breakdown[0]["total_sessions"] == 4
        bounds = health.session_time_bounds(*pair, where={"os": ["none"]}, now=now)
        assert set(bounds.values()) == {None}
        asked: list[Any] = [
            health.overview(where=ios, now=now),
            health.query(["sum(session)"], where=ios, now=now),
            health.releases(where=ios, now=now),
            health.projects(where=ios, now=now),
            health.adoption_stages(where=ios, now=now),
            health.release(pair, where=ios, now=now),
            health.compare(pair, "shop@2.0.0", where=ios, now=now),
        ]
        for found in asked:
            assert [one.texts() for one in found.scope.where] == [["os=iOS"]]


def test_a_column_whose_name_has_markup(tmp_path: Path) -> None:
    name = "[bold]os[/bold]"
    file = rows.write(
        tmp_path / "a.parquet", [rows.session(**{name: "x"})], types={name: pa.string()}
    )
    for argv in (
        ["overview", file, "--by", name],
        ["query", file, "-F", "sum(session)", "-g", name],
    ):
        result = run(*argv, "--now", NOW)
        assert (result.code, name in result.out) == (0, True), result.err


def test_a_history_of_looks_tells_conditions_apart(data: str, tmp_path: Path) -> None:
    history = str(tmp_path / "looks.jsonl")
    argv = ["gate", data, "-r", rows.RELEASE, "--target", "50", "--history", history, "--dry-run"]
    for where, looks in (("os=iOS", False), ("os=Android", False), ("os=iOS", True)):
        result = run(*argv, "--where", where, "--now", NOW)
        assert result.code == 0
        assert ("1 earlier look" in result.err) == looks


def test_a_table_of_values(data: str) -> None:
    result = run("overview", data, "--by", "os", "--now", NOW, "-f", "csv")
    lines = result.out.splitlines()
    assert lines[0].startswith("project_id,release,os,adoption,")
    assert [line.split(",")[1:3] for line in lines[1:]] == [
        [rows.RELEASE, "iOS"],
        [rows.RELEASE, "Android"],
        ["shop@2.0.0", "iOS"],
        [rows.RELEASE, ""],
    ]
    shown = run("overview", data, "--by", "os", "--where", "os=", "--now", NOW).out
    assert "(none)" in shown
    assert "os=" in shown


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["overview", "--where", "osx=iOS"], "--where osx: no file has this column; there is os"),
        (["overview", "--by", "vairant"], "--by vairant: no file has this column; there is var"),
        (["query", "-F", "sum(session)", "-g", "o"], "--group-by o: no file has this column;"),
        (["overview", "--where", "os"], "--where os: expected COLUMN=VALUE or COLUMN!=VALUE"),
        (["overview", "--where", "=iOS"], "--where =iOS: expected COLUMN=VALUE"),
        (["overview", "--where", "!=iOS"], "--where !=iOS: expected COLUMN=VALUE"),
        (["overview", "--where", "release=1"], "--where release: name it with --release"),
        (["overview", "--where", "project=1"], "--where project: name it with --project"),
        (["overview", "--where", "Environment=b"], "Environment: name it with --environment"),
        (["overview", "--where", "session_status=x"], "name it with --status of relhealth query"),
        (["overview", "--where", "member=1"], "--where member: a column of the data contract"),
        (["overview", "--by", "os", "--by", "level"], "--by os, level: name one column;"),
        (["overview", "--by", "release"], "--by release: name it with --release"),
        (["overview", "--by", "adoption"], "--by adoption: the answer has a column of that name"),
        (["query", "-F", "sum(session)", "-g", "bucket"], "--group-by bucket: the answer has a"),
        (["query", "-F", "sum(session)", "-g", "value"], "--group-by value: a column of the data"),
        (["gate", "-r", "x@1", "--target", "9", "--where", "osx=1"], "--where osx: no file has"),
        (["overview", "--engine", "rollup", "--where", "os=iOS"], "it does not keep os"),
    ],
)  # fmt: skip
def test_refused(argv: list[str], told: str, data: str) -> None:
    if "rollup" in argv:
        assert run("rollup", data).code == 0
    result = run(argv[0], data, *argv[1:], "--now", NOW)
    assert (result.code, result.out) == (2, "")
    assert told in result.err


def test_a_choice_says_why_it_is_no_rollup(data: str) -> None:
    assert run("rollup", data).code == 0
    result = run("overview", data, "--by", "os", "--now", NOW, "-f", "json")
    reasons = {one["name"]: one["reason"] for one in json.loads(result.out)["meta"]["engine"]}
    assert reasons["duckdb"].endswith("; rollup: it does not keep os")
    assert (
        run("overview", data, "--by", "environment", "--engine", "rollup", "--now", NOW).code == 0
    )


def test_types_that_are_no_dimensions(tmp_path: Path) -> None:
    for name, kind, value in (("a", pa.string(), "x"), ("b", pa.float64(), 1.5)):
        given = [rows.session(os=value)]
        rows.write(tmp_path / f"{name}.parquet", given, types={"os": kind})
    assert run("overview", str(tmp_path), "--now", NOW).code == 0
    result = run("overview", str(tmp_path), "--where", "os=x", "--now", NOW)
    assert result.code == 4
    told = f"{tmp_path}/b.parquet: column os: found double, expected text, an integer, or true"
    assert told in result.err
    with pytest.raises(DataError, match="column os: found double"):
        ReleaseHealth(tmp_path).overview(by="os", now=NOW)


def test_files_that_spell_a_column_differently(tmp_path: Path, path: str) -> None:
    if path != "sail":
        for name in ("os", "OS"):
            given = [rows.session(**{name: "iOS"})]
            rows.write(tmp_path / f"{name}.parquet", given, types={name: pa.string()})
        health = ReleaseHealth(tmp_path)
        found = health.overview(where={"Os": ["iOS"], "oS": ["Android"]}, by="oS", now=NOW)
        assert [(row.by, row.total_sessions) for row in found.rows] == [(("oS", "iOS"), 2)]


@every_path
def test_an_enumeration_of_duckdb(data: str) -> None:
    """Arrow reads it as bytes."""
    made = f"{data}/../enum.parquet"
    kept = "SELECT * REPLACE (os::ENUM('iOS', 'Android') AS os)"
    duckdb.sql(f"COPY ({kept} FROM '{data}/rows.parquet') TO '{made}'")
    found = ReleaseHealth(made).overview(by="os", where=["os!=Android"], now=NOW)
    assert {row.by: row.total_sessions for row in found.rows if row.release == rows.RELEASE} == {
        ("os", "iOS"): 4,
        ("os", ""): 1,
    }


def test_one_file_with_two_spellings(tmp_path: Path) -> None:
    given = [rows.session(os="iOS", OS="x")]
    types = {"os": pa.string(), "OS": pa.string()}
    rows.write(tmp_path / "rows.parquet", given, types=types)
    result = run("overview", str(tmp_path), "--where", "os=iOS", "--now", NOW)
    assert result.code == 4
    assert "column os: found also as 'OS', expected one spelling" in result.err


@every_path
def test_a_column_of_folders(tmp_path: Path) -> None:
    for value in ("iOS", "a%2Fb", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / "data" / f"os={value}").mkdir(parents=True)
        rows.write(tmp_path / "data" / f"os={value}" / "rows.parquet", [rows.session()])
    health = ReleaseHealth(tmp_path / "data")
    found = health.overview(by="os", now=NOW)
    assert sorted(row.by[1] or "" for row in found.rows if row.by) == ["", "a/b", "iOS"]
    some = health.overview(where={"os": ["iOS", ""]}, now=NOW)
    assert [row.total_sessions for row in some.rows] == [2]


@every_path
def test_names_that_templates_use(tmp_path: Path) -> None:
    """A column of any name is apart from the columns of the SQL templates."""
    names = ["users", "crashed", "look", "metric_rows", "quo\"ted `name` it's", "group"]
    given = [rows.session(**dict.fromkeys(names, "x")), rows.user(1, **dict.fromkeys(names, "y"))]
    rows.write(tmp_path / "rows.parquet", given, types=dict.fromkeys(names, pa.string()))
    health = ReleaseHealth(tmp_path)
    every = {name: ["x", "y"] for name in names}
    found = health.overview(where=every, by=names[4], now=NOW)
    assert [(row.by, row.total_sessions, row.total_users) for row in found.rows] == [
        ((names[4], "x"), 1, None)
    ]


def test_no_data_yet_has_any_column(tmp_path: Path) -> None:
    rows.write(tmp_path / "rows.parquet", [])
    result = run("overview", str(tmp_path), "--where", "os=iOS", "--by", "os", "--now", NOW)
    assert result.code == 0
    assert "no data yet" in result.err


def test_damage_in_a_column(tmp_path: Path, path: str) -> None:
    """Text that is not UTF-8 is a fault of that column."""
    if path == "sail":
        return
    bad = pa.array([b"\xff"], pa.binary()).view(pa.string())
    table = rows.table([rows.session()]).append_column("os", bad)
    pq.write_table(table, tmp_path / "rows.parquet")
    assert run("overview", str(tmp_path), "--now", NOW).code == 0
    result = run("overview", str(tmp_path), "--where", "os=x", "--now", NOW)
    assert result.code == 4, result.err
    assert "rows.parquet: " in result.err


def test_labels_of_metrics(data: str) -> None:
    argv = ["--by", "os", "--where", "variant=b", "--now", NOW, "-f", "prometheus"]
    result = run("overview", data, *argv)
    assert (
        'relhealth_sessions{project="1",release="shop@1.0.0",period="24h",os="Android",'
        'where="variant=b"} 3' in result.out
    )


@pytest.fixture
def many(tmp_path: Path) -> str:
    """A file with a value a session, 40 of them."""
    given = [rows.session(os=f"os {number}") for number in range(40)]
    return rows.write(tmp_path / "many.parquet", given, types={"os": pa.string()})


@every_path
def test_more_groups_than_memory_may_hold(many: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "MOST_GROUPS", 40)
    monkeypatch.setattr(scanning, "MOST_GROUPS", 10)
    assert len(ReleaseHealth(many).overview(by="os", now=NOW)) == 40
    monkeypatch.setattr(interface, "MOST_GROUPS", 39)
    with pytest.raises(QuestionError, match="by os: more than 39 groups; ask about fewer"):
        ReleaseHealth(many).overview(by="os", now=NOW)
    with pytest.raises(QuestionError, match="by os: more than 39 groups; ask about fewer"):
        ReleaseHealth(many).query(["sum(session)"], group_by=["os"], interval="1d", now=NOW)
    assert len(ReleaseHealth(many).overview(where={"os": ["os 7"]}, now=NOW)) == 1


def test_the_kernel_leaves_many_groups_to_duckdb(
    many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "MOST_GROUPS", 10)
    told = "kernel: it counts at most 10 groups by columns"
    with by("kernel"):
        argv = ["overview", many, "--by", "os", "--now", NOW, "-f", "json"]
        document = json.loads(run(*argv).out)
        assert len(document["data"]) == 40
        assert told in json.dumps(document["meta"]["engine"])
        refused = run(*argv, "--engine", "kernel")
        assert refused.code == 2
        assert told in refused.err


def test_a_condition_that_no_session_meets(data: str, tmp_path: Path) -> None:
    """As any filter that matches nothing, it does not replace a good file."""
    told = "no session with os=OS/2 in 90 days; values of os: iOS, none, Android"
    line = ["overview", data, "--now", NOW, "--where", "os=OS/2"]
    shown = run(*line)
    assert (shown.code, shown.err.partition("\n")[0]) == (0, f"relhealth: warning: {told}")
    file = tmp_path / "answer.csv"
    file.write_text("good")
    refused = run(*line, "-o", str(file))
    assert (refused.code, refused.err) == (4, f"relhealth: error: {told}\n")
    assert file.read_text() == "good"
    near = run(*line[:-1], "os=ios").err
    assert "no session with os=ios in 90 days; values of os: iOS, none, Android\n" in near
    both = run(*line[:-1], "os=iOS", "--where", "os!=iOS").err
    assert "no session with os=iOS, os!=iOS in 90 days; inspect shows what there is\n" in both
    of_project = run(*line[:-1], "os=iOS", "-p", "9")
    assert "no session of project 9 with os=iOS in 90 days; there are: 1\n" in of_project.err


def test_a_word_for_each_value_and_a_page(tmp_path: Path) -> None:
    """A release that is bad on one system is bad on its page, whose charts have those rows."""
    some = [rows.session(value=400.0), rows.session("crashed", value=40.0)]
    table = pa.concat_tables(
        [
            metric_table(some).append_column("os", pa.array(["iOS"] * 2)),
            metric_table([rows.session(value=900.0)]).append_column("os", pa.array(["Android"])),
        ]
    )
    pq.write_table(table, tmp_path / "data.parquet")
    line = ["overview", str(tmp_path), "--now", NOW, "-f", "json", "--columns", "os,status"]
    found = json.loads(run(*line, "--by", "os").out)["data"]
    assert found == [{"os": "Android", "status": "ok"}, {"os": "iOS", "status": "bad"}]
    page = tmp_path / "page.html"
    figure = "has 90.00% crash-free sessions (of 400)"
    told = {
        "--by=os": f"1 of 1 release is bad for a value of os: shop@1.0.0 with os iOS {figure}",
        "--where=os=iOS": f"1 of 1 release is bad: shop@1.0.0 {figure}",
        "--where=os!=iOS": "1 of 1 release is fine.",
    }
    for option, sentence in told.items():
        assert run("overview", str(tmp_path), "--now", NOW, option, "-o", str(page)).code == 0
        assert sentence in page.read_text()
    refused = run(*line[:-1], "adoption_stage", "--by", "os")
    assert refused.code == 2
    assert "column 'adoption_stage': a release has one, and none for each os" in refused.err
