"""Every format has the same figures: the tests read each back and compare its rows."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

import rows
from command import run
from process import command, finish
from relhealth.core.scope import Scope
from relhealth.output.columns import Chosen
from relhealth.output.formats import Format, render
from relhealth.output.layouts.overview import overview_report
from relhealth.questions.overview import Overview, ReleaseOverview

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reference import Row
    from relhealth.output.report import Report

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
ABSENT = "\N{EN DASH}"
SHADES = "▁▂▃▄▅▆▇█"
NAMES = tuple(field.name for field in fields(ReleaseOverview))
# The series, which is aligned left, is not the last column.
SHOWN_FIRST = ("project_id", "release", "stats")
PERCENTS = {
    "adoption",
    "sessions_adoption",
    "crash_free_sessions",
    "crash_free_users",
    "unhandled_session_rate",
    "unhandled_user_rate",
}
DURATIONS = {"duration_p50", "duration_p90"}
HOSTILE = (
    "shop@1.0.0",
    "a\nb",
    "a\rb",
    "\r",
    "tab\there",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\x00",
    "[bold]bold[/bold]",
    "[/]",
    "[link=https://example.org]x[/link]",
    ":smile:",
    "=1+1",
    "-1",
    "@x",
    'say "hi"',
    "a,b",
    "a;b",
    "'",
    '"',
    "|",
    "a|b",
    "a\\|b",
    "\\",
    "`",
    "``a`",
    "a`b``c",
    "*em* _em_ <b>&amp;</b> ~~x~~",
    "https://example.org",
    "![x](y)",
    " ",
    "   ",
    " lead",
    "trail ",
    " both ",
    "a  b",
    "\u00a0",
    "中文字",
    "e\u0301",
    "👩‍👩‍👧",
    "🇩🇪",
    "\u202eevil",
    "\u200b",
    "\ufeff",
    "a\u2028b\u2029c\x85d",
    "\x7f",
    "null",
    "NaN",
    "x" * 300,
)

projects = st.integers(-(2**63), 2**63 - 1)
releases = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
percents = st.sampled_from(
    [0.0, 100.0, 99.996, 99.49999999, 56.99999999999999, 99.99999999999999, 1e-12]
) | st.floats(1e-12, 100)
counts = st.integers(0, 2**63 - 1)
durations = st.sampled_from([0.0, 1e-9, 0.25, 59.99, 3_600.0]) | st.floats(1e-9, 1e12)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A figure that may be absent."""
    return st.none() | values


def rows_of(series: st.SearchStrategy[Any]) -> st.SearchStrategy[list[ReleaseOverview]]:
    """Rows with any figure at all, whether they fit together or not."""
    row = st.builds(
        ReleaseOverview,
        project_id=projects,
        release=releases,
        adoption=optional(percents),
        sessions_adoption=optional(percents),
        total_users_24h=optional(counts),
        total_project_users_24h=optional(counts),
        total_sessions_24h=optional(counts),
        total_project_sessions_24h=optional(counts),
        total_sessions=optional(counts),
        total_users=optional(counts),
        has_health_data=st.booleans(),
        sessions_crashed=counts,
        sessions_abnormal=counts,
        sessions_unhandled=counts,
        sessions_errored=counts,
        sessions_healthy=counts,
        users_crashed=counts,
        users_unhandled=counts,
        crash_free_sessions=optional(percents),
        crash_free_users=optional(percents),
        unhandled_session_rate=optional(percents),
        unhandled_user_rate=optional(percents),
        duration_p50=optional(durations),
        duration_p90=optional(durations),
        stats=series,
    )
    return st.lists(row, max_size=4)


def points(period: str) -> st.SearchStrategy[Any]:
    """A series over a period, of any counts."""
    series = Scope.resolve(NOW, stats_period=period).series
    assert series
    starts = series.starts()
    return st.lists(counts, min_size=len(starts), max_size=len(starts)).map(
        lambda found: {period: tuple(zip(starts, found, strict=True))}
    )


def report_of(found: Sequence[ReleaseOverview], stats_period: str | None = None) -> Report:
    """The report of an overview with these rows."""
    return overview_report(
        Overview(
            rows=tuple(found),
            scope=Scope.resolve(NOW, stats_period=stats_period),
            period="24h",
            stat="sessions",
            files=1,
            empty_files=(),
            invalid_rows={},
        )
    )


def rendered(report: Report, chosen: Format) -> bytes:
    """The report in one format, as a pipe gets it."""
    stream = io.BytesIO()
    render(report, chosen, stream)
    return stream.getvalue()


def plain(row: ReleaseOverview) -> dict[str, Any]:
    """The row in machine formats."""
    found = {name: getattr(row, name) for name in NAMES}
    if row.stats is not None:
        found["stats"] = {
            period: [[start, count] for start, count in series]
            for period, series in row.stats.items()
        }
    return found


# Reading each format back.


def no_constant(text: str) -> object:
    """Refuse what is no JSON: NaN and the infinities."""
    raise ValueError(text)


def strict(text: bytes) -> Any:
    """The value of strict JSON."""
    return json.loads(text.decode(), parse_constant=no_constant)


def from_csv(text: bytes) -> list[dict[str, Any]]:
    """The rows of a CSV."""
    reader = csv.reader(io.StringIO(text.decode(), newline=""), strict=True)
    names, *lines = list(reader)
    assert tuple(names) == NAMES
    return [
        {name: csv_value(name, cell) for name, cell in zip(names, line, strict=True)}
        for line in lines
    ]


def csv_value(name: str, cell: str) -> Any:
    """The value in a cell of a CSV; empty means none."""
    if not cell:
        return None
    if name == "release":
        return cell
    if name == "stats":
        return strict(cell.encode())
    if name == "has_health_data":
        return {"true": True, "false": False}[cell]
    return float(cell) if name in PERCENTS | DURATIONS else int(cell)


def from_parquet(data: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    table = pq.read_table(io.BytesIO(data))
    assert tuple(table.column_names) == NAMES
    found: list[dict[str, Any]] = table.to_pylist()
    for row in found:
        if row["stats"] is not None:
            row["stats"] = {
                period: [[int(point["bucket"].timestamp()), point["count"]] for point in series]
                for period, series in row["stats"]
            }
    return found


def from_markdown(text: bytes) -> list[list[str]]:
    """The cells of a Markdown table's rows, as a reader of GitHub's Markdown sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text.decode())
    body = [token.type for token in tokens].index("tbody_open") if lines_of_body(text) else None
    if body is None:
        return []
    found: list[list[str]] = []
    for index, token in enumerate(tokens[body:], body):
        if token.type == "tr_open":
            found.append([])
        if token.type == "td_open":
            inline = tokens[index + 1].children or []
            found[-1].append("".join(part.content for part in inline))
    return found


def lines_of_body(text: bytes) -> list[bytes]:
    """The lines of a Markdown table below its head."""
    return [line for line in text.split(b"\n") if line.startswith(b"|")][2:]


def from_table(
    text: bytes, shown_names: Sequence[tuple[int, str]], columns: Sequence[str]
) -> list[dict[str, str]]:
    """The cells of a piped table, of which the projects and names are known."""
    lines = text.decode().split("\n")
    assert lines.pop() == ""
    rule = next(index for index, line in enumerate(lines) if line and not line.strip("─ "))
    widths = [len(line) for line in lines[rule].split("  ")]
    assert len(widths) == len(columns)
    tail = len("  ".join("x" * width for width in widths[2:]))
    body = lines[rule + 1 :]
    assert len(body) == len(shown_names) or (not shown_names and "nothing" in body[0])
    found = []
    for line, (project, name) in zip(body, shown_names, strict=False):
        start = f"{project:>{widths[0]}}  {name}"
        assert line.startswith(start)
        # The last column is aligned right, so the line has the full width.
        assert line[len(start) : -tail] == " " * (widths[1] - cell_len(name) + 2)
        cells = [str(project), name]
        rest = line[-tail:]
        for width in widths[2:]:
            cells.append(rest[:width].strip())
            assert rest[width : width + 2] in {"  ", ""}
            rest = rest[width + 2 :]
        found.append(dict(zip(columns, cells, strict=True)))
    return found


# What people read, worked out again.


def harmless(char: str) -> bool:
    """Tell whether a character can do nothing to a terminal, a line or the reading direction."""
    return char in "\u200c\u200d" or unicodedata.category(char) not in {
        "Cc",
        "Cf",
        "Cs",
        "Zl",
        "Zp",
    }


def shown(name: str) -> str:
    """A name with its harmful characters written as escapes."""
    return "".join(
        char if harmless(char) else ascii(char)[1:-1] if ord(char) > 0x7F else escaped(char)
        for char in name
    )


def escaped(char: str) -> str:
    """An ASCII control character as Python writes it."""
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, f"\\x{ord(char):02x}")


def check_figure(name: str, value: Any, text: str) -> None:
    """Assert that a text shows a figure, cut to its digits and never more."""
    if value is None:
        assert text == ABSENT, name
    elif name == "has_health_data":
        assert text == ("yes" if value else "no")
    elif name == "stats":
        (series,) = value.values()
        told = text.replace("\N{NO-BREAK SPACE}", " ").strip()  # cells are padded
        gaps = "".join("x" if count else " " for _, count in series).strip()
        assert [char == " " for char in told] == [char == " " for char in gaps]
        assert (max(map(SHADES.find, told), default=-1) == 7) == bool(gaps)
    elif name in {"crash_free_sessions", "crash_free_users"}:
        sign = "▼ " if value < 98 else "▽ " if value < 99.5 else ""
        assert text.startswith(sign)
        check_percent(value, text.removeprefix(sign))
    elif name in PERCENTS:
        check_percent(value, text)
    elif name in DURATIONS:
        check_duration(value, text)
    elif name == "project_id":
        assert text == str(value)
    else:
        assert re.fullmatch(r"\d{1,3}(,\d{3})*", text), text
        assert int(text.replace(",", "")) == value, name


def check_percent(value: float, text: str) -> None:
    """Assert that a percentage is cut after two decimals."""
    if value in {0, 100}:
        assert text == f"{value:.0f}%"
        return
    assert re.fullmatch(r"\d{1,2}\.\d\d%", text), text
    told = float(text[:-1])
    assert 0 < told < 100
    assert told - 1e-9 <= value < told + 0.01 or (told == 0.01 and value < 0.01)


def check_duration(value: float, text: str) -> None:
    """Assert that a duration has three digits."""
    number, _, unit = text.partition(" ")
    size = {"h": 3_600, "min": 60, "s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
    told = float(number.replace(",", "")) * size
    assert told == pytest.approx(value, rel=0.005_001)


def check_all(found: Sequence[ReleaseOverview], stats_period: str | None) -> None:
    """Assert that every format has these rows."""
    report = report_of(found, stats_period)
    expected = [plain(row) for row in found]

    document = strict(rendered(report, Format.JSON))
    assert list(document) == ["meta", "data"]
    assert document["data"] == expected
    lines = rendered(report, Format.JSONL).split(b"\n")
    assert lines.pop() == b""
    assert [strict(line) for line in lines] == expected
    for row in [*document["data"], *(strict(line) for line in lines)]:
        assert tuple(row) == NAMES

    assert from_csv(rendered(report, Format.CSV)) == expected
    assert from_parquet(rendered(report, Format.PARQUET)) == expected

    columns = [*SHOWN_FIRST, *(name for name in NAMES if name not in SHOWN_FIRST)]
    if report.meta.get("has_users") is False:  # then people see no zeros of users
        expected = [
            {name: None if "users" in name and value == 0 else value for name, value in row.items()}
            for row in expected
        ]
    report = Chosen(tuple(columns)).within(report)

    markdown = rendered(report, Format.MARKDOWN)
    check_harmless(markdown)
    cells = from_markdown(markdown)
    assert [len(line) for line in cells] == [len(columns)] * len(found)
    for row, line in zip(expected, cells, strict=True):
        check_line(row, dict(zip(columns, line, strict=True)))

    text = rendered(report, Format.TABLE)
    check_harmless(text)
    names = [(row.project_id, shown(row.release)) for row in found]
    for row, by_name in zip(expected, from_table(text, names, columns), strict=True):
        if by_name["adoption"] != ABSENT:
            _, _, by_name["adoption"] = by_name["adoption"].rpartition(" ")  # behind its bar
        check_line(row, by_name)


def check_line(row: dict[str, Any], cells: dict[str, str]) -> None:
    """Assert that a row's cells show all of its figures."""
    for name, text in cells.items():
        if name == "release":
            assert text.strip() == shown(row["release"]).strip()  # cells are padded
        else:
            check_figure(name, row[name], text)


def check_harmless(text: bytes) -> None:
    """Assert that nothing in a text for people can harm a terminal."""
    assert all(harmless(char) for char in text.decode().replace("\n", ""))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows_of(st.none()))
@example([])
def test_all_formats_tell_the_rows(found: list[ReleaseOverview]) -> None:
    check_all(found, None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows_of(points("7d")))
def test_all_formats_tell_the_series(found: list[ReleaseOverview]) -> None:
    check_all(found, "7d")


@pytest.mark.parametrize("release", HOSTILE, ids=ascii)
def test_all_formats_tell_every_name(release: str) -> None:
    empty = dict.fromkeys(NAMES)
    zero = {name: 0 for name in NAMES if name.startswith(("sessions_", "users_"))}
    row = empty | zero | {"sessions_adoption": None, "has_health_data": False}
    check_all([ReleaseOverview(**row | {"project_id": 1, "release": release})], None)  # type: ignore[arg-type]


# The same, through the command line.


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with two projects, figures of every kind and names of every kind."""
    data: list[Row] = []
    for index, name in enumerate(HOSTILE):
        of_release: dict[str, Any] = {"release": name, "project_id": 1 + index % 2}
        data += [
            rows.session(value=float(10**index % 1_234_567 + 1), **of_release),
            rows.session("crashed", value=float(index % 5), **of_release),
            rows.session("errored_preaggr", value=float(index % 7), **of_release),
        ]
        if index % 3:
            data += [rows.user(index, **of_release), rows.user(index + 1, "crashed", **of_release)]
            data += [rows.error(index, **of_release), rows.duration(index / 7, **of_release)]
    return rows.write(tmp_path_factory.mktemp("formats") / "data.parquet", data)


def test_formats_of_the_command_agree(file: str) -> None:
    raw = {
        chosen: run("overview", file, "--now", "latest", "--stats-period", "24h", "-f", chosen).raw
        for chosen in Format
    }
    data = strict(raw[Format.JSON])["data"]
    assert {(row["project_id"], row["release"]) for row in data} == {
        (1 + index % 2, name) for index, name in enumerate(HOSTILE)
    }
    assert [strict(line) for line in raw[Format.JSONL].split(b"\n")[:-1]] == data
    assert from_csv(raw[Format.CSV]) == data
    assert from_parquet(raw[Format.PARQUET]) == data
    assert raw[Format.MARKDOWN] == rendered_again(data, Format.MARKDOWN)
    assert raw[Format.TABLE] == rendered_again(data, Format.TABLE)


def rendered_again(data: list[dict[str, Any]], chosen: Format) -> bytes:
    """What the renderer makes of the rows of the JSON, at the data's own now."""
    now = rows.NOON.replace(second=1)
    found = [
        ReleaseOverview(**row | {"stats": {"24h": tuple(map(tuple, row["stats"]["24h"]))}})
        for row in data
    ]
    overview = Overview(
        rows=tuple(found),
        scope=Scope.resolve(now, stats_period="24h"),
        period="24h",
        stat="sessions",
        files=1,
        empty_files=(),
        invalid_rows={},
    )
    return rendered(overview_report(overview, grouped=True), chosen)


def test_a_pipe_gets_what_matters_at_full_width(file: str) -> None:
    lines = run("overview", file, "--now", "latest", "--stats-period", "24h").out.split("\n")[:-1]
    told = [shown(name) for name in HOSTILE]
    assert all(any(name in line for line in lines) for name in told)
    rule = next(index for index, line in enumerate(lines) if line and not line.strip("─ "))
    body = [line for line in lines[rule + 1 :] if not line.startswith("project ")]
    assert len(body) == len(HOSTILE)
    assert {cell_len(line) for line in body} == {len(lines[rule])}
    # The project is a heading; six columns, and the series that was asked for.
    assert len(lines[rule].split("  ")) == 7


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_pipe_is_as_wide_as_columns(
    file: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run("overview", file, "--now", "latest").out.split("\n")
    told = [shown(name) for name in HOSTILE]
    assert all(any(name in line for line in lines) for name in told)
    longest = [line for line in lines if cell_len(line) > columns]
    assert all(any(name in line for name in told if len(name) > columns // 3) for line in longest)
    monkeypatch.setenv("COLUMNS", "nonsense")
    assert "x" * 300 + " " in run("overview", file, "--now", "latest").out


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_real_pipe_gets_the_same_bytes(
    file: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    asked = ("overview", file, "--now", "latest")
    assert finish(command(*asked), COLUMNS=columns).out == run(*asked).raw
    asked = ("inspect", file, "--now", "latest")
    assert finish(command(*asked), COLUMNS=columns).out == run(*asked).raw


def test_thousands_of_rows_are_all_told(tmp_path: Path) -> None:
    names = [f"shop@{number}.0.0" for number in range(1_500)]
    file = rows.write(tmp_path / "many.parquet", [rows.session(release=name) for name in names])
    for chosen in (Format.TABLE, Format.MARKDOWN, Format.CSV, Format.JSONL):
        out = run("overview", file, "--now", "latest", "-f", chosen, "--sort", "release").out
        found = re.findall(r"shop@\d+\.0\.0", out)
        assert found == names, chosen


def test_no_rows_are_told_in_every_format(tmp_path: Path) -> None:
    file = rows.write(tmp_path / "none.parquet", [rows.session(release=None)])
    asked = ("overview", file, "--now", "latest", "-f")
    assert strict(run(*asked, "json").raw)["data"] == []
    assert run(*asked, "jsonl").raw == b""
    assert run(*asked, "csv").raw == ",".join(NAMES).encode() + b"\n"
    assert from_parquet(run(*asked, "parquet").raw) == []
    assert from_markdown(run(*asked, "markdown").raw) == []
    assert run(*asked, "table").out.endswith("\nnothing\n")
