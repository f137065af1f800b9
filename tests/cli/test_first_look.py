"""What people see first: columns, widths, order, and answers that begin with their conclusion."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len

import rows
from command import Result, run
from places import ROOT
from relhealth import ReleaseHealth
from relhealth.core.errors import ExitCode, QuestionError
from relhealth.output.formats.text import SIGNS
from rows import NOON, session, user

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = str(ROOT / "sample_data")
BAD, BEFORE = "com.example.shop@3.9.0+4296", "com.example.shop@3.8.1+4282"


def typed(line: str, *more: str) -> Result:
    """Run a command on the sample data, at its newest."""
    command, *options = line.split()
    return run(command, SAMPLE, *options, *more, "--now", "latest")


def out(line: str, *more: str) -> str:
    """Return what a command on the sample data prints."""
    result = typed(line, *more)
    assert result.code == 0, result.err
    return result.out


def document(line: str) -> list[dict[str, Any]]:
    """Return the rows of a command's JSON."""
    found: list[dict[str, Any]] = json.loads(out(line, "-f", "json"))["data"]
    return found


# Columns.

NAMED = {
    "overview": "release,crash_free_sessions,total_users,project_id,status",
    "releases": "release,last_seen,adoption_stage",
    "projects": "project_id,crash_free_users",
    "adoption": "environment,release,adoption_stage,first_adopted",
}


@pytest.mark.parametrize("command", NAMED)
def test_columns_are_the_named_ones_in_every_format(command: str) -> None:
    names = NAMED[command].split(",")
    line = f"{command} --columns {NAMED[command]}"
    found = document(line)
    assert found
    assert all(list(row) == names for row in found)
    lines = out(line, "-f", "jsonl").splitlines()
    assert [json.loads(one) for one in lines] == found
    assert out(line, "-f", "csv").splitlines()[0] == NAMED[command]
    assert pq.read_table(io.BytesIO(typed(line, "-f", "parquet").raw)).column_names == names
    head, rule, *_ = out(line, "-f", "markdown").splitlines()
    assert head.count("|") == rule.count("|") == len(names) + 1
    if command == "overview":
        assert head == "| Release | Crash free sessions | Users | Proj. | Status |"


@pytest.mark.parametrize("command", NAMED)
def test_columns_that_are_unknown_are_refused_with_the_nearest(command: str) -> None:
    result = typed(f"{command} --columns project_id,adopton,relase")
    assert result.code == ExitCode.USAGE
    assert "column 'adopton': unknown" in result.err
    assert "; did you mean " in result.err or "; known are " in result.err
    result = typed(f"{command} --columns zzz")
    assert "column 'zzz': unknown; known are " in result.err
    result = typed(f"{command} --columns project_id --wide")
    assert (result.code, "--wide has all columns" in result.err) == (ExitCode.USAGE, True)


def test_columns_of_the_overview_have_the_short_names_of_sort() -> None:
    line = "overview --columns release,sessions,users,sessions"
    assert list(document(line)[0]) == ["release", "total_sessions", "total_users"]


def test_columns_are_for_rows() -> None:
    result = typed("overview --columns release -f prometheus")
    assert (result.code, "prometheus has no columns" in result.err) == (ExitCode.USAGE, True)


def test_columns_can_be_a_series_that_nobody_asked_for() -> None:
    assert document("overview --columns stats")[0] == {"stats": None}
    assert "Series" in out("overview --columns release,stats")


@pytest.mark.parametrize("command", NAMED)
def test_machine_formats_have_every_figure(command: str) -> None:
    """However a table is narrowed; the status is a column only when it is named."""
    head = out(command, "-f", "csv").splitlines()[0].split(",")
    assert head == list(document(command)[0])
    assert "status" not in head
    wide = out(f"{command} --wide")
    narrow = out(command)
    assert max(map(cell_len, narrow.splitlines())) < max(map(cell_len, wide.splitlines()))
    assert max(map(cell_len, narrow.splitlines())) < 140


def test_wide_has_the_stage_and_every_figure() -> None:
    assert "Stage" not in out("overview")
    wide = out("overview --wide -f markdown")
    assert "| Stage |" in wide
    assert f"| `{BAD}` | ▼ 93.66% | 16.91% | replaced | 221 |" in wide
    assert "users 24h" in wide
    assert "Series" not in wide
    stages = {row["release"]: row["adoption_stage"] for row in document("releases")}
    named = document("overview --columns release,adoption_stage")
    assert {row["release"]: row["adoption_stage"] for row in named}.items() <= stages.items()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("command", [*NAMED, "status", f"release {BAD}"])
def test_a_pipe_fits_columns(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    longest = max(cell_len(line) for line in out(command).splitlines())
    assert longest <= width


# The order and the look of the overview.


def test_projects_are_groups_with_bad_and_new_releases_first() -> None:
    lines = out("overview").splitlines()
    heads = [line.split()[1] for line in lines if line.startswith("project ")]
    assert heads == ["1", "2"]
    names = [word for line in lines for word in line.split() if "@3." in word]
    assert names[:3] == [BAD, "com.example.shop@3.10.0-rc.1+4310", "com.example.shop@3.9.1+4303"]
    assert f"{SIGNS['BAD']} BAD  " in next(line for line in lines if BAD in line)
    assert "1 bad" in typed("overview").err


def test_sort_and_reverse_are_over_all_projects() -> None:
    found = out("overview --sort sessions")
    assert "\nproject " not in found
    sessions = [row["total_sessions"] for row in document("overview")]
    assert sessions == sorted(sessions, reverse=True)
    assert [row["total_sessions"] for row in document("overview --reverse")] == sessions[::-1]
    assert "\nproject " not in out("overview --reverse")


def test_markdown_shows_a_project_once() -> None:
    body = out("overview", "-f", "markdown").splitlines()[2:10]
    assert [line.split("|")[1].strip() for line in body] == ["1", "", "", "", "", "2", "", ""]


# Commands that end in the right word.


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A release born three hours ago, with an hour of nothing, and one before it."""
    given = []
    for hours, release, count, crashed in (
        (-20, "shop@1.0.0", 500, 1),
        (-3, "shop@1.1.0", 100, 20),
        (-1, "shop@1.1.0", 50, 0),
    ):
        at: dict[str, Any] = {"release": release, "timestamp": NOON + timedelta(hours=hours)}
        given += [session(value=float(count), **at), session("crashed", value=float(crashed), **at)]
        given += [user(count * 1_000 + number, **at) for number in range(count)]
        given += [user(count * 1_000 + number, "crashed", **at) for number in range(crashed)]
    return rows.write(tmp_path / "rows.parquet", given)


def test_a_release_has_no_rows_before_its_birth(source: str) -> None:
    asked = ("release", source, "shop@1.1.0", "--now", "2026-03-02T12:30:00Z")
    people = run(*asked).out
    assert people.startswith(
        f"{SIGNS['BAD']} BAD  shop@1.1.0: 86.66% crash-free sessions, 86.66% crash-free"
    )
    body = people[people.index("· over time") :]
    lines = [line.split()[:3] for line in body.splitlines() if line.startswith("2026-")]
    assert lines == [
        ["2026-03-02T09:00:00Z", "100", "▼"],
        ["2026-03-02T10:00:00Z", "0", "\N{EN DASH}"],
        ["2026-03-02T11:00:00Z", "50", "100%"],
        ["2026-03-02T12:00:00Z", "0", "\N{EN DASH}"],
    ]
    assert "▁ █\n" not in people
    assert "▁ █" in people  # a gap, not 0 %, where nothing was
    (row,) = json.loads(run(*asked, "-f", "json").out)["data"]
    assert row["crash_free_sessions"] == pytest.approx(100 - 20 / 1.5)
    assert len(row["series"]) == 25, "every bucket"
    assert len(run(*asked, "-f", "csv").out.splitlines()) == 26
    unknown = run("release", source, "1/shop@9.9.9", "--now", "2026-03-02T12:30:00Z").out
    assert unknown.startswith("- NO DATA  shop@9.9.9: 0 sessions in 24h\n")


def test_a_comparison_begins_with_its_conclusion(source: str) -> None:
    now = ("--now", "2026-03-02T12:30:00Z")
    worse = run("compare", source, "shop@1.0.0", "shop@1.1.0", *now).out
    assert worse.startswith("▼ WORSE  shop@1.1.0 is worse than shop@1.0.0 by 4 metrics;")
    assert "crash_free_sessions 86.66% instead of 99.80%\n" in worse
    better = run("compare", source, "shop@1.1.0", "shop@1.0.0", *now).out
    assert better.startswith("▲ BETTER  shop@1.0.0 is better than shop@1.1.0 by 4 metrics;")
    unclear = out("compare prevailing latest -p 1")
    assert unclear.startswith("? UNCLEAR  no clear difference between com.example.shop@3.10.0-rc.1")


@pytest.mark.parametrize("width", range(20, 90, 10))
def test_a_conclusion_is_wrapped_but_no_name_is(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    first = out("compare prevailing latest -p 1").partition("\n\n")[0]
    names = [word for word in first.split() if "@" in word]
    assert names == ["com.example.shop@3.10.0-rc.1+4310", "com.example.shop@3.8.1+4282"]


def test_a_comparison_can_be_mixed(tmp_path: Path) -> None:
    given = [session(value=500.0, release=name) for name in ("shop@1.0.0", "shop@1.1.0")]
    given += [session("abnormal", value=90.0, release="shop@1.0.0")]
    given += [session("crashed", value=90.0, release="shop@1.1.0")]
    source = rows.write(tmp_path / "rows.parquet", given)
    found = run("compare", source, "shop@1.0.0", "shop@1.1.0", "--now", "latest").out
    assert found.startswith(
        "◆ MIXED  shop@1.1.0 is worse than shop@1.0.0 by 2 metrics, better than shop@1.0.0 by"
        " 1 metric; crash_free_sessions 82.00% instead of 100%\n"
    )


def test_a_comparison_has_the_difference_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = out("compare", BEFORE, BAD).splitlines()
    assert lines[0].startswith("▼ WORSE  ")
    row = next(line for line in lines if line.startswith("crash_free_sessions "))
    assert row.split() == ["crash_free_sessions", "worse", "99.65%", "93.66%", "-5.99"]


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ("--stage adopted", {"adopted"}),
        ("--stage low", {"low_adoption"}),
        ("--stage low_adoption --stage replaced", {"low_adoption", "replaced"}),
        ("", {"adopted", "low_adoption", "replaced"}),
    ],
)
def test_adoption_lists_the_stages_asked_for(options: str, stages: set[str]) -> None:
    found = document(f"adoption {options}")
    assert {row["adoption_stage"] for row in found} == stages
    everything = document("adoption")
    assert found == [row for row in everything if row["adoption_stage"] in stages]


@pytest.mark.parametrize(
    ("sort", "figure"),
    [
        ("sessions", "sessions_6h"),
        ("adoption", "sessions_adoption"),
        ("first_adopted", "first_adopted"),
        ("last_adopted", "last_adopted"),
    ],
)
def test_adoption_is_sorted(sort: str, figure: str) -> None:
    found = [row[figure] for row in document(f"adoption --sort {sort}")]
    present = [value for value in found if value is not None]
    assert present == sorted(present, reverse=True)
    assert found[len(present) :] == [None] * (len(found) - len(present))
    least = [row[figure] for row in document(f"adoption --sort {sort} --reverse")]
    assert least == present[::-1] + found[len(present) :]


def test_adoption_in_version_order_and_limited() -> None:
    names = [row["release"] for row in document("adoption --sort release -p 1")]
    assert names[0] == "com.example.shop@3.8.0+4275"
    assert names[-1] == "com.example.shop@3.10.0-rc.1+4310"
    result = typed("adoption --limit 2", "-f", "csv")
    assert len(result.out.splitlines()) == 3
    assert "43 stages left out by --limit" in result.err
    assert document("adoption --reverse") == document("adoption")[::-1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--stage adoptd", "stage 'adoptd': expected adopted, low or replaced"),
        ("--sort users", "cannot sort by 'users': expected one of sessions, adoption,"),
        ("--limit 0", "limit"),
    ],
)
def test_adoption_refuses_other_words(options: str, told: str) -> None:
    result = run("adoption", "nowhere.parquet", *options.split())
    assert (result.code, told in result.err) == (ExitCode.USAGE, True)


def test_python_has_the_same_options() -> None:
    with ReleaseHealth(SAMPLE) as health:
        found = health.adoption_stages(stages=["low"], sort="release", limit=1, now="latest")
        assert [(row.release, found.left_out) for row in found] == [
            ("com.example.shop@3.9.0-rc.1+4289", 2)
        ]
        with pytest.raises(QuestionError, match="stage 'x'"):
            health.adoption_stages(stages=["x"])
