"""HTML pages: what they say, that they fetch nothing and run no text of the data."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import rows
from command import run
from pages import HOSTILE, LINES, SAMPLE
from process import finish, script
from relhealth.output.html.charts import floor_of
from relhealth.output.html.history import Line

if TYPE_CHECKING:
    from pathlib import Path

MOST = 2_000_000  # bytes


class Parsed(HTMLParser):
    """The elements of a page, its text, and what is in its `title` attributes and the like."""

    def __init__(self, page: str) -> None:
        """Read a page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Collect a text."""
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All texts."""
        return " ".join(" ".join(self.texts).split())


def page_of(*line: str, now: str = "latest", code: int = 0) -> str:
    """Run a command for its page."""
    result = run(*line, "--now", now, "-f", "html")
    assert result.code == code, result.err
    return result.out


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The page of each command about the sample data."""
    return {name: page_of(*line, code=name == "gate") for name, line in LINES.items()}


@pytest.mark.parametrize("name", LINES)
def test_a_page_says_what_it_is_of(name: str, pages: dict[str, str]) -> None:
    shown = Parsed(pages[name]).text
    sentences = {
        "overview": "✕ BAD 1 of 8 releases is bad: com.example.shop@3.9.0+4296 has 93.66%"
        " crash-free sessions (of 221), surely at most 96.13%; bad is below 98%.",
        "release": "✕ BAD com.example.shop@3.9.0+4296 has 93.66% crash-free sessions (of 221)",
        "compare": "✕ WORSE Of 9 figures, com.example.shop@3.9.0+4296 is worse in 7: crash-free"
        " sessions,",
        "gate": "✕ FAIL Stop the rollout. com.example.shop@3.9.0+4296: 35 of 516 sessions crashed.",
        "status": "✕ BAD 1 of 7 releases is bad: com.example.shop@3.9.0+4296. 92.79% crash-free",
    }
    assert sentences[name] in shown
    assert "As of 2026-11-20 16:29:51 UTC" in shown
    assert "Sources 30 files" in shown
    assert "Made by relhealth 0.1.0" in shown
    assert "All times are UTC." in shown
    window = "Data sessions before 2026-11-20 15:00 UTC, for 7d"
    if name != "gate":
        window = "Data window 2026-11-19 16:00 to 2026-11-20 17:00 UTC"
    assert window in shown
    assert "Charts 2026-11-13 12:00 to 2026-11-20 18:00 UTC" in shown


@pytest.mark.parametrize("name", LINES)
def test_a_page_shows_the_rollback(name: str, pages: dict[str, str]) -> None:
    """3.9.0 gave 3.8.1 its users back; candidates that ended, and a replaced one, did not."""
    shown = Parsed(pages[name]).text
    told = re.findall(r"▼ Rolled back: [^.]+\.[^%]*", shown)
    assert len(told) == 1
    first = "Rolled back: com.example.shop@3.9.0+4296 went from 29.11% of the sessions to 19.88%,"
    assert first in shown
    assert "while the older com.example.shop@3.8.1+4282 went from 62.05% to 72.42%." in shown
    drawn = Parsed(pages[name]).texts.count("▼ A rolled back") + Parsed(pages[name]).texts.count(
        "▼ B rolled back"
    )
    assert drawn == 2  # on the wide and on the narrow picture


@pytest.mark.parametrize("name", LINES)
def test_a_page_fetches_nothing_and_is_small(name: str, pages: dict[str, str]) -> None:
    page = pages[name]
    assert set(re.findall(r"https?://[^\s\"'<>]*", page)) == {"http://www.w3.org/2000/svg"}
    assert len(page.encode()) < MOST
    parsed = Parsed(page)
    for tag, attributes in parsed.elements:
        assert tag not in {"iframe", "img", "object", "embed", "base"}
        assert "src" not in attributes
        assert attributes.get("href") in {None, "data:,"}
    assert "url(" not in page
    assert "@import" not in page
    assert [tag for tag, _ in parsed.elements].count("script") == 1


@pytest.mark.parametrize("name", LINES)
def test_the_same_question_has_the_same_page(name: str, pages: dict[str, str]) -> None:
    again = page_of(*LINES[name], now="2026-11-20T16:29:51Z", code=name == "gate")
    assert again == pages[name]


def test_every_figure_is_in_the_table() -> None:
    """Of the overview as CSV, and in a table that sorts by exact values."""
    header, *lines = run("overview", SAMPLE, "--now", "latest", "-f", "csv").out.splitlines()
    parsed = Parsed(page_of("overview", SAMPLE))
    keys = {attributes.get("data-key") for tag, attributes in parsed.elements if tag == "td"}
    names = header.split(",")
    for line in lines:
        for name, value in zip(names, line.split(","), strict=True):
            if name in {"release", "has_health_data"} or not value:
                assert value in {*keys, "true", "false", ""}
            else:
                assert str(float(value)) in keys, name


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Releases and environments whose names are markup and code."""
    path = tmp_path_factory.mktemp("hostile") / "sessions.parquet"
    given: list[dict[str, Any]] = []
    for number, name in enumerate(HOSTILE):
        for hours in range(0, 96, 12):
            instant = rows.NOON - timedelta(hours=hours)
            at: dict[str, Any] = {"release": name, "environment": name, "timestamp": instant}
            given += [
                rows.session(value=400.0 + number, **at),
                rows.session("crashed", value=30.0, **at),
                rows.user(number, **at),
                rows.duration(3.0, **at),
            ]
    return rows.write(path, given)


@pytest.mark.parametrize("name", LINES)
def test_no_text_of_the_data_is_markup(name: str, hostile: str) -> None:
    environments = [word for one in HOSTILE for word in ("-e", one)]
    lines = {
        "overview": ["overview", hostile, *environments],
        "release": ["release", hostile, HOSTILE[0]],
        "compare": ["compare", hostile, HOSTILE[0], HOSTILE[1]],
        "gate": ["gate", hostile, "--target", "99", "--critical", "98", *[
            word for one in HOSTILE for word in ("-r", one)
        ]],
        "status": ["status", hostile, "-r", HOSTILE[0], "-r", HOSTILE[1]],
    }  # fmt: skip
    page = page_of(*lines[name], code=name == "gate")
    parsed = Parsed(page)
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("script") == 1
    assert not {"img", "b "} & set(tags)
    named = {attribute for _, attributes in parsed.elements for attribute in attributes}
    assert not [one for one in named if one.startswith("on")]
    assert "1337" not in page  # a template was not evaluated
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert HOSTILE[0] in parsed.text  # shown as it is
    assert HOSTILE[1] in parsed.text or name == "release"


def test_a_page_of_many_releases_is_small(tmp_path: Path) -> None:
    """What has no room is counted, on the page."""
    names = [f"com.example.{'long<&>' * 20}@{number}.0.0" for number in range(250)]
    source = rows.write(
        tmp_path / "many.parquet",
        [
            rows.session(
                project_id=project,
                release=name,
                value=float(10 + number),
                timestamp=rows.NOON - timedelta(days=day),
            )
            for project in range(5)
            for number, name in enumerate(names)
            for day in (range(90) if number < 5 else (0, 1))
        ],
    )
    page = page_of("overview", source, "--period", "90d")
    assert len(page.encode()) < MOST
    shown = Parsed(page).text
    left_out = re.search(r"([\d,]+) more rows are left out, so that the page stays small", shown)
    assert left_out is not None
    kept = sum(tag == "tr" for tag, _ in Parsed(page).elements) - 1
    assert kept + int(left_out[1].replace(",", "")) == 1250
    assert "1 more project, in the table" in shown


def test_no_data(tmp_path: Path) -> None:
    old = rows.write(tmp_path / "old.parquet", [rows.session()])
    shown = Parsed(page_of("overview", old, now="2026-08-01T00:00:00Z")).text
    assert "No release has sessions in the window." in shown
    assert "warning: no session in the window" in shown
    shown = Parsed(page_of("release", old, "other@1", now="2026-03-02T13:00:00Z")).text
    assert "other@1 has no sessions in the window." in shown
    shown = Parsed(page_of("status", old, now="2026-08-01T00:00:00Z")).text
    assert "NO DATA" in shown


def test_a_project_of_sessions_without_a_release(tmp_path: Path) -> None:
    """They are in its totals, and nothing else is there to draw."""
    source = rows.write(tmp_path / "none.parquet", [rows.session(release=None, value=9.0)])
    line = ("release", source, "other@1", "-p", "1")
    shown = Parsed(page_of(*line)).text
    assert "other@1 has no sessions in the window." in shown
    assert "Sessions" in shown


def test_a_gate_that_cannot_run_says_so_on_its_page(tmp_path: Path) -> None:
    page = tmp_path / "gate.html"
    result = run("gate", str(tmp_path / "none"), "-r", "latest", "--target", "9", "-o", str(page))
    assert result.code == 4
    shown = Parsed(page.read_text()).text
    assert "ERROR The gate could not be evaluated: " in shown
    assert "/none: no such file or directory. Made 20" in shown


def few(path: Path, **columns: Any) -> str:
    """Write five sessions, one of them crashed."""
    return rows.write(
        path, [rows.session(value=5.0, **columns), rows.session("crashed", **columns)],
        types={name: pa.string() for name in columns},
    )  # fmt: skip


def test_the_axis_holds_few_sessions_and_their_bounds(tmp_path: Path) -> None:
    page = page_of("overview", few(tmp_path / "few.parquet"))
    texts = Parsed(page).texts
    assert {"20%", "60%", "100%"} < set(texts)  # the lower bound is 28.36%
    assert not {"99.9%", "99.95%"} & set(texts)
    assert "80.00% crash-free, 95% sure between 28.35% and 99.49%" in page


@pytest.mark.parametrize(
    ("counts", "crashed", "limits", "floor"),
    [
        ((5,), (1,), (), 20.0),
        ((5,), (5,), (), 0.0),
        ((20_000,), (1,), (), 99.9),
        ((20_000,), (1,), (98.0,), 95.0),
        # The bounds of one session beside many are too wide to look at.
        ((20_000, 1), (1, 1), (), 99.9),
        ((0, 0), (0, 0), (), 99.9),
    ],
)
def test_an_axis_begins_below_bounds_and_limits(
    counts: tuple[int, ...], crashed: tuple[int, ...], limits: tuple[float, ...], floor: float
) -> None:
    assert floor_of(Line(counts, crashed, counts), limits) == floor


def test_a_word_of_the_table_has_one_sign(tmp_path: Path) -> None:
    shown = Parsed(page_of("overview", few(tmp_path / "few.parquet"))).text
    assert shown.count("… TOO EARLY") == 3  # above, at the chart, and in the table
    assert "? TOO EARLY" not in shown


def test_values_of_a_dimension_do_not_make_a_release_fine(tmp_path: Path) -> None:
    source = few(tmp_path / "few.parquet", os="iOS")
    shown = Parsed(page_of("overview", source, "--by", "os")).text
    assert (
        "No release is bad for a value of os, but over all values one can be. For 1 of 1 release it"
        " is too early to say more: shop@1.0.0 with os iOS has 80.00% crash-free sessions (of 5)"
    ) in shown


def test_a_page_is_a_further_report(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run(*LINES["overview"], "--now", "latest", "-f", "csv", "--report", f"html={page}")
    assert result.code == 0
    assert result.out.startswith("project_id,")
    assert page.read_text() == page_of(*LINES["overview"])


@pytest.mark.parametrize("chosen", ["-f html", "-o page.html", "--report html=page.html"])
@pytest.mark.parametrize("missing", ["vl_convert", "jinja2"])
def test_without_the_extra(chosen: str, missing: str, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        f"sys.modules[{missing!r}] = None\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "from relhealth.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = finish(script(code, "overview", SAMPLE, *chosen.split()))
    assert done.code == 2
    assert done.err == (
        "relhealth: error: format html needs more packages: pip install 'relhealth[report]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_commands_without_a_page_refuse_the_format() -> None:
    result = run("releases", SAMPLE, "-f", "html")
    assert result.code == 2
    assert "'html' is not table, csv" in result.err
