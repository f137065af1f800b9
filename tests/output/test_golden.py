"""Golden files: every format of every answer, byte for byte.

`make golden` remakes them; read the diff before you commit it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import rows
from command import run
from places import ROOT, TESTS
from reference import Row
from relhealth import ReleaseHealth, __version__
from relhealth.core.scope import parse_release_filter
from relhealth.core.units import Unit
from relhealth.gate.policy import Policy, Rule, When
from relhealth.output.formats import Format, render
from relhealth.output.formats import table as table_format
from relhealth.output.html.content import Mark, Page, Tone
from relhealth.output.layouts.gate import gate_report
from relhealth.output.layouts.overview import overview_report
from relhealth.output.report import Column, Report, Table

pytestmark = pytest.mark.usefixtures("over")

FOLDER = TESTS / "golden"
NOW = "2026-03-02T12:30:00Z"  # off the hour: 25 buckets of an hour, the last not over
SETTLED = "2026-03-02T14:30:00Z"  # what began before 13:00 has settled
MORNING = datetime(2026, 3, 2, 9, 59, 50, tzinfo=UTC)
FILE_SIZE = 20_000  # bytes; inspect shows it
LONG = "com.example.checkout.android@12.34.56-beta.7+build.20260302.1"
HOSTILE = 'a|b "c", `d` [bold]é中\N{RIGHT-TO-LEFT OVERRIDE}'

Golden = Callable[[str, bytes], None]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Return a function that compares bytes with a golden file, or remakes it."""
    update = request.config.getoption("--update-golden")

    def check(name: str, found: bytes) -> None:
        path = FOLDER / name
        if update:
            FOLDER.mkdir(exist_ok=True)
            path.write_bytes(found)
        assert path.is_file(), f"{path} is missing: remake it with --update-golden"
        assert found.decode().split("\n") == path.read_bytes().decode().split("\n")

    return check


@pytest.fixture(scope="module")
def file(
    over: None,  # noqa: ARG001 - anew over each
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A data set that has a bit of everything, as a file of a fixed size."""
    path = tmp_path_factory.mktemp("golden") / "sessions.parquet"
    table = rows.table(data())
    pad = 0
    # The size depends on pyarrow's version; a padded footer makes it one and the same. The length
    # of the pad is itself of one to three bytes, hence the tries.
    for _ in range(5):
        with pq.ParquetWriter(path, table.schema, store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"pad": "x" * pad})
        pad += FILE_SIZE - path.stat().st_size
    assert path.stat().st_size == FILE_SIZE
    return str(path)


def data() -> list[Row]:
    """The rows; figures that come of them are in the comments."""
    good: dict[str, Any] = {"org_id": 1, "release": "shop@1.0.0", "environment": "production"}
    bad: dict[str, Any] = {"org_id": 1, "release": "shop@1.1.0", "environment": "production"}
    early: dict[str, Any] = {"org_id": 1, "release": "shop@1.2.0-rc.1+7", "environment": "staging"}
    hostile: dict[str, Any] = {"org_id": 1, "release": HOSTILE, "environment": "staging|`é`"}
    long: dict[str, Any] = {"org_id": 1, "release": LONG, "environment": None}
    other: dict[str, Any] = {"org_id": 1, "project_id": 2, "release": "5f3c9a1", "environment": ""}
    old: dict[str, Any] = {
        "org_id": 1,
        "project_id": 2,
        "release": "api@0.9.0",
        "environment": "production",
    }
    nameless: dict[str, Any] = {"org_id": 1, "release": None, "environment": "production"}
    yesterday = MORNING - timedelta(hours=16)  # 2026-03-01 17:59:50
    months_ago = MORNING - timedelta(days=60)
    return [
        # 20,000 sessions, 1 crashed: 99.995 % crash-free, which is shown as 99.99.
        rows.session(value=12_000.0, timestamp=MORNING, **good),
        rows.session(value=8_000.0, timestamp=yesterday, **good),
        rows.session("crashed", timestamp=MORNING, **good),
        rows.error(101, timestamp=MORNING, **good),
        rows.error(102, timestamp=MORNING, **good),  # errored: 2 less the crashed one
        # Users 1 to 6, of whom 1 crashed.
        *[rows.user(member, timestamp=MORNING, **good) for member in range(1, 7)],
        rows.user(1, "errored", timestamp=MORNING, **good),
        rows.user(1, "crashed", timestamp=MORNING, **good),
        # Durations 0.5, 10, 90, 7200 s: p50 50 s, p90 90 + 0.7 * 7110 = 5067 s.
        *[rows.duration(s, timestamp=MORNING, **good) for s in (10.0, 0.5, 7_200.0, 90.0)],
        # 40 sessions: 3 crashed, 1 abnormal, 1 unhandled, 6 with errors of which 1 handled.
        rows.session(value=40.0, **bad),
        rows.session("crashed", value=3.0, **bad),
        rows.session("abnormal", **bad),
        rows.session("unhandled", **bad),
        *[rows.error(member, **bad) for member in range(201, 207)],
        # Users 5 to 8, 5 and 6 are also of the good release; 7 crashed, 8 had an unhandled error.
        *[rows.user(member, **bad) for member in (5, 6, 7, 8)],
        rows.user(7, "errored", **bad),
        rows.user(7, "crashed", **bad),
        rows.user(8, "errored", **bad),
        rows.user(8, "unhandled", **bad),
        rows.duration(0.012345, **bad),
        # Pre-aggregated: 8 sessions, 3 with errors, of which 2 crashed; no users.
        rows.session(value=8.0, **early),
        rows.session("errored_preaggr", value=3.0, **early),
        rows.session("crashed", value=2.0, **early),
        # 2 sessions of one user, yesterday.
        rows.session(value=2.0, timestamp=yesterday, **hostile),
        rows.user(9, timestamp=yesterday, **hostile),
        # 1 session without a user.
        rows.session(**long),
        # Project 2: 3 sessions of 2 users, all crashed.
        rows.session(value=3.0, **other),
        rows.session("crashed", value=3.0, **other),
        *[rows.error(member, **other) for member in (301, 302, 303)],
        *[rows.user(member, "crashed", **other) for member in (1, 2)],
        # Seen, but not in the last day.
        rows.session(value=500.0, timestamp=months_ago, **old),
        rows.user(77, timestamp=months_ago, **old),
        # 5 sessions and a user without a release: of project 1's totals, and of no row.
        rows.session(value=5.0, **nameless),
        rows.user(10, **nameless),
        # Invalid rows, and a metric that relhealth does not read.
        rows.session(value=float("nan"), **good),
        rows.session(value=-1.0, **bad),
        rows.duration(float("inf"), **bad),
        rows.duration(-0.5, **bad),
        rows.user(0, **good) | {"member": None},
        rows.session(**good) | {"metric": "c:custom/clicks@none"},
    ]


ASKED = [
    f"--release={name}"
    for name in (
        "shop@1.0.0",
        "shop@1.1.0",
        "shop@1.2.0-rc.1+7",
        HOSTILE,
        LONG,
        "5f3c9a1",
        "api@0.9.0",
        "2/ghost@9.9.9",
    )
]


def answer(file: str, *options: str) -> bytes:
    """The overview of every release, and of one that nobody knows."""
    result = run("overview", file, "--now", NOW, "--stats-period", "24h", *ASKED, *options)
    assert result.code == 0, result.err
    return result.raw


def without_version(text: bytes) -> bytes:
    """The text with a word for the tool's version, so that a release breaks no golden file."""
    own, told = (f'"relhealth": "{word}"'.encode() for word in (__version__, "VERSION"))
    assert text.count(own) == 1
    text = re.sub(rb'"engine": \[[^]]*\]', b'"engine": ENGINES', text)  # each gives the rest
    return text.replace(own, told)


def arrow_text(data: bytes) -> bytes:
    """The schema, meta data and rows of a Parquet file, as text."""
    table = pq.read_table(io.BytesIO(data))
    lines = [f"{field.name}: {kind(field.type)}" for field in table.schema]
    metadata = dict(table.schema.metadata or {})
    lines += [f"metadata {key.decode()}: {text.decode()}" for key, text in metadata.items()]
    for row in table.to_pylist():
        lines += ["", *(f"{name} = {plain(value)}" for name, value in row.items())]
    return "\n".join([*lines, ""]).encode()


def kind(found: pa.DataType) -> str:
    """An Arrow type in words that do not vary with pyarrow's version."""
    if pa.types.is_map(found):
        return f"map of {kind(found.key_type)} to {kind(found.item_type)}"
    if pa.types.is_list(found):
        return f"list of {kind(found.value_type)}"
    if pa.types.is_struct(found):
        parts = (found.field(index) for index in range(found.num_fields))
        return "{" + ", ".join(f"{part.name}: {kind(part.type)}" for part in parts) + "}"
    return str(found)


def plain(value: object) -> str:
    """A value as JSON, with instants of any zone type."""
    return json.dumps(value, default=lambda instant: instant.isoformat(), ensure_ascii=False)


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        (Format.TABLE, "overview.txt"),
        (Format.CSV, "overview.csv"),
        (Format.JSONL, "overview.jsonl"),
        (Format.MARKDOWN, "overview.md"),
    ],
)
def test_overview(chosen: Format, name: str, file: str, golden: Golden) -> None:
    golden(name, answer(file, "-f", chosen))


def test_overview_json(file: str, golden: Golden) -> None:
    golden("overview.json", without_version(answer(file, "-f", "json")))


def test_overview_parquet(file: str, golden: Golden) -> None:
    golden("overview.parquet.txt", without_version(arrow_text(answer(file, "-f", "parquet"))))


def test_overview_without_a_question(file: str, golden: Golden) -> None:
    """No release asked for, no series: other columns, and only rows with sessions."""
    result = run("overview", file, "--now", NOW)
    assert result.code == 0
    golden("overview_default.txt", result.raw)


def test_overview_talk(file: str, golden: Golden) -> None:
    """What stderr shows beside the answer."""
    options = ("--now", NOW, "--limit", "2", "-f", "csv", *ASKED)
    golden("overview_stderr.txt", run("overview", file, *options).err.encode())


def test_inspect(file: str, golden: Golden) -> None:
    golden("inspect.txt", run("inspect", file, "--now", NOW).raw)


def test_inspect_json(file: str, golden: Golden) -> None:
    golden("inspect.json", without_version(run("inspect", file, "--now", NOW, "-f", "json").raw))


# On terminals: colours, and what the width has room for.


def on_terminal(report: Report, width: int, *, ascii_only: bool = False) -> bytes:
    """The tables as a terminal of that width gets them."""
    stream = io.StringIO(newline="")
    console = Console(
        file=stream,
        width=width,
        force_terminal=True,
        color_system="standard",
        no_color=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    table_format.write(report, console, width=width, ascii_only=ascii_only)
    return stream.getvalue().encode()


@pytest.fixture(scope="module")
def overview(file: str) -> Report:
    """The report that the overview's golden files show."""
    names = [option.removeprefix("--release=") for option in ASKED]
    asked = [(2, "ghost@9.9.9") if "/" in name else name for name in names]
    with ReleaseHealth(file) as health:
        found = health.overview(asked, health_stats_period="24h", now=NOW)
    return overview_report(found, grouped=True)


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_overview_on_a_terminal(width: int, overview: Report, golden: Golden) -> None:
    golden(f"overview_terminal_{width}.txt", on_terminal(overview, width))


def test_overview_on_an_ascii_terminal(overview: Report, golden: Golden) -> None:
    golden(
        "overview_terminal_ascii.txt", without_colour(on_terminal(overview, 100, ascii_only=True))
    )


def without_colour(text: bytes) -> bytes:
    """The text without what colours it, which is nothing but colour."""
    plain_text = re.sub(rb"\x1b\[[0-9;]*m", b"", text)
    assert b"\x1b" not in plain_text
    return plain_text


# The first look: the sample as a new user types it.

SAMPLE = str(ROOT / "sample_data")


@pytest.fixture(scope="module")
def first_look() -> Report:
    """The overview of the sample data."""
    with ReleaseHealth(SAMPLE) as health:
        return overview_report(health.overview(now="latest"), grouped=True)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_first_look(width: int, first_look: Report, golden: Golden) -> None:
    golden(f"first_look_{width}.txt", on_terminal(first_look, width))


def test_the_first_look_without_colour(first_look: Report, golden: Golden) -> None:
    """Each meaning has a word or a sign beside its colour."""
    golden("first_look_no_colour_80.txt", without_colour(on_terminal(first_look, 80)))


def test_the_first_look_in_a_pipe(golden: Golden) -> None:
    golden("first_look_pipe.txt", run("overview", SAMPLE, "--now", "latest").raw)


COMMANDS = {
    "status": ["status"],
    "compare": ["compare", "com.example.shop@3.8.1+4282", "com.example.shop@3.9.0+4296"],
    "release": ["release", "com.example.shop@3.9.1+4303"],
    "releases": ["releases"],
    "projects": ["projects"],
    "adopted": ["adoption", "--stage", "adopted", "--sort", "adoption", "--limit", "5"],
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_look_of_commands(
    name: str, width: int, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a terminal without colours: a pipe of that width."""
    monkeypatch.setenv("COLUMNS", str(width))
    command, *more = COMMANDS[name]
    result = run(command, SAMPLE, *more, "--now", "latest")
    assert result.code == 0, result.err
    golden(f"first_look_{name}_{width}.txt", result.raw)


# A literal report: each renderer alone, with every unit.

EVERY_UNIT = (
    Column("project_id", Unit.PROJECT, "Proj."),
    Column("release", Unit.RELEASE, "Release"),
    Column("note", Unit.TEXT, "Note"),
    Column("sessions", Unit.COUNT, "Sessions"),
    Column("rate", Unit.PERCENT, "Crash\nrate"),
    Column("crash_free", Unit.CRASH_FREE, "Crash\nfree"),
    Column("adoption", Unit.SHARE, "Adoption"),
    Column("p50", Unit.SECONDS, "p50"),
    Column("healthy", Unit.FLAG, "Healthy"),
    Column("stats", Unit.SERIES, "Series"),
)
# Machine formats have their own order.
STABLE = ("release", "project_id", *(column.name for column in EVERY_UNIT[2:]))
LITERAL_ROWS = (
    {
        "project_id": 1,
        "release": "shop@1.0.0",
        "note": "all is well",
        "sessions": 1_234_567,
        "rate": 0.001,
        "crash_free": 99.999,
        "adoption": 62.5,
        "p50": 0.25,
        "healthy": True,
        "stats": {"1h": [[1_772_449_200, 0], [1_772_452_800, 7]]},
    },
    {
        "project_id": -2,
        "release": 'x`y|z,"é\x1b[31m\n',
        "note": "a, b",
        "sessions": 0,
        "rate": 100.0,
        "crash_free": 0.0,
        "adoption": 100.0,
        "p50": 0.0,
        "healthy": False,
        "stats": {"1h": [[1_772_449_200, 3], [1_772_452_800, 1]]},
    },
    {
        "project_id": 3,
        "release": "none@0",
        "note": None,
        "sessions": None,
        "rate": None,
        "crash_free": 98.5,
        "adoption": None,
        "p50": None,
        "healthy": False,
        "stats": None,
    },
)
LITERAL = Report(
    meta={"format": 1, "command": "literal", "names": ["é", '"']},
    data=[{name: row[name] for name in STABLE} for row in LITERAL_ROWS],
    tables=(Table("A title", EVERY_UNIT, LITERAL_ROWS, STABLE),),
    summary="3 rows",
)


def rendered(chosen: Format) -> bytes:
    """The literal report, in a format."""
    stream = io.BytesIO()
    render(LITERAL, chosen, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        (Format.TABLE, "literal.txt"),
        (Format.CSV, "literal.csv"),
        (Format.JSON, "literal.json"),
        (Format.JSONL, "literal.jsonl"),
        (Format.MARKDOWN, "literal.md"),
    ],
)
def test_literal(chosen: Format, name: str, golden: Golden) -> None:
    golden(name, rendered(chosen))


def test_literal_parquet(golden: Golden) -> None:
    golden("literal.parquet.txt", arrow_text(rendered(Format.PARQUET)))


def test_literal_page(golden: Golden) -> None:
    """The page but for its charts, which are the library's to draw."""
    page = Page(Mark("BAD", Tone.BAD), 'One of 3 <is> "bad".', facts=(("Charts", "none"),))
    stream = io.BytesIO()
    render(LITERAL._replace(page=page, notes=("a note",)), Format.HTML, stream)
    own = f"relhealth {__version__}".encode()
    assert stream.getvalue().count(own) == 1
    golden("literal.html", stream.getvalue().replace(own, b"relhealth VERSION"))


@pytest.mark.parametrize("width", [40, 80])
def test_literal_on_a_terminal(width: int, golden: Golden) -> None:
    golden(f"literal_terminal_{width}.txt", on_terminal(LITERAL, width))


def test_every_unit_is_in_the_literal_report() -> None:
    # The golden files of inspect, gates, projects and queries have these.
    elsewhere = {Unit.INSTANT, Unit.FIGURE, Unit.VERDICT, Unit.RATIO, Unit.CHANGE}
    elsewhere |= {Unit.RATE_SERIES, Unit.FINDING}
    assert {column.unit for column in EVERY_UNIT} == set(Unit) - elsewhere


# The folder.


def test_golden_files_are_all_compared_and_have_unix_lines() -> None:
    source = Path(__file__).read_text()
    for path in FOLDER.iterdir():
        named = re.sub(r"_\d+\.", "_{width}.", path.name)
        named = re.sub(rf"_({'|'.join(COMMANDS)})_", "_{name}_", named)
        assert f'"{path.name}"' in source or named in source, f"{path.name}: no test compares it"
        assert b"\r" not in path.read_bytes()
        assert path.read_bytes().endswith(b"\n")


POLICY = Policy(
    rule=(
        Rule(metric="crash_free_sessions", target=99.9, critical=90.0, when=When(sessions=2)),
        Rule(metric="crash_free_users", target=99.0, projects=(1,), follow_up="1h"),
        Rule(metric="duration_p50", target=60.0, projects=(1,)),
        Rule(metric="crash_free_sessions", baseline="previous", margin=0.2, sequential=True),
    )
)


@pytest.fixture(scope="module")
def gate(file: str) -> Report:
    """A gate with every verdict, on the releases of the overview."""
    releases = [parse_release_filter(one.removeprefix("--release=")) for one in ASKED]
    with ReleaseHealth(file) as health:
        return gate_report(health.gate(releases, POLICY, now=SETTLED), origin="relhealth.toml")


GATES = {
    Format.TABLE: "gate.txt",
    Format.CSV: "gate.csv",
    Format.JSON: "gate.json",
    Format.JSONL: "gate.jsonl",
    Format.MARKDOWN: "gate.md",
    Format.JUNIT: "gate.xml",
    Format.GITLAB: "gate_gitlab.json",
    Format.PROMETHEUS: "gate.prom",
    Format.OPENMETRICS: "gate_openmetrics.txt",
}


@pytest.mark.parametrize("chosen", GATES, ids=str)
def test_gate(chosen: Format, gate: Report, golden: Golden) -> None:
    """Every format; the time of the last run is not in the golden file."""
    stream = io.BytesIO()
    render(gate, chosen, stream)
    found = re.sub(rb"(last_run_timestamp_seconds\S*) [0-9.e+]+", rb"\1 0", stream.getvalue())
    golden(GATES[chosen], without_version(found) if chosen is Format.JSON else found)


def test_gate_explained_in_a_terminal(file: str, golden: Golden) -> None:
    with ReleaseHealth(file) as health:
        found = health.gate(["shop@1.1.0", LONG], POLICY, now=SETTLED)
    stream = io.BytesIO()
    report = gate_report(found, origin="relhealth.toml", explain=True)
    render(report, Format.TABLE, stream, width=80, colour=False)
    golden("gate_explained_80.txt", stream.getvalue())


def test_compare(file: str, golden: Golden) -> None:
    for name, chosen in (
        ("compare.txt", "table"),
        ("compare.csv", "csv"),
        ("compare.md", "markdown"),
    ):
        result = run("compare", file, "shop@1.0.0", "shop@1.1.0", "--now", NOW, "-f", chosen)
        assert result.code == 0, result.err
        golden(name, result.raw)


def test_compare_json(file: str, golden: Golden) -> None:
    result = run("compare", file, "shop@1.0.0", "shop@1.1.0", "--now", NOW, "-f", "json")
    golden("compare.json", without_version(result.raw))


def test_gate_test(file: str, golden: Golden) -> None:
    args = [
        "--since",
        "2026-03-01",
        "--now",
        NOW,
        "--target",
        "99",
        "--metric",
        "crash_free_sessions",
    ]
    for name, chosen in (("gate_test.txt", "table"), ("gate_test.csv", "csv")):
        golden(name, run("gate", "test", file, *args, "-f", chosen).raw)
    golden("gate_test.json", without_version(run("gate", "test", file, *args, "-f", "json").raw))


# The service's commands, each in every format.
QUESTIONS = {
    "releases": ["--period", "7d", "--sort", "crash_free_sessions"],
    "release": ["shop@1.0.0", "--period", "1h", "--stat", "users"],
    "projects": ["--period", "48h"],
    "adoption": [],
    "query": [
        *("--field", "sum(session)", "--field", "p90(session.duration)"),
        *("-g", "release", "-g", "environment", "--interval", "12h", "--limit", "5"),
    ],
}
BY_SUFFIX = {
    "txt": Format.TABLE,
    "csv": Format.CSV,
    "json": Format.JSON,
    "jsonl": Format.JSONL,
    "md": Format.MARKDOWN,
    "parquet.txt": Format.PARQUET,
}
ANSWERS = [
    "releases.txt",
    "releases.csv",
    "releases.json",
    "releases.jsonl",
    "releases.md",
    "releases.parquet.txt",
    "release.txt",
    "release.csv",
    "release.json",
    "release.jsonl",
    "release.md",
    "release.parquet.txt",
    "projects.txt",
    "projects.csv",
    "projects.json",
    "projects.jsonl",
    "projects.md",
    "projects.parquet.txt",
    "adoption.txt",
    "adoption.csv",
    "adoption.json",
    "adoption.jsonl",
    "adoption.md",
    "adoption.parquet.txt",
    "query.txt",
    "query.csv",
    "query.json",
    "query.jsonl",
    "query.md",
    "query.parquet.txt",
]


@pytest.mark.parametrize("name", ANSWERS)
def test_service(name: str, file: str, golden: Golden) -> None:
    command, _, suffix = name.partition(".")
    chosen = BY_SUFFIX[suffix]
    result = run(command, file, *QUESTIONS[command], "--now", NOW, "-f", chosen)
    assert result.code == 0, result.err
    match chosen:
        case Format.JSON:
            golden(name, without_version(result.raw))
        case Format.PARQUET:
            golden(name, without_version(arrow_text(result.raw)))
        case _:
            golden(name, result.raw)
