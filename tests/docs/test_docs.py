"""The docs are true: help blocks, links, commands, examples, exit codes."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import tomllib
from dataclasses import fields
from functools import cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clusters import sail
from command import run
from places import ROOT
from process import finish, script
from relhealth import __version__
from relhealth.commands.app import commands_for
from relhealth.core.errors import ExitCode
from relhealth.gate import intervals
from relhealth.gate.policy_file import from_document
from relhealth.questions.overview import UNITS, ReleaseOverview

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "sample_data" / "README.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    """Return a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, kind: str) -> list[str]:
    """Return a page's fenced blocks of one kind."""
    return [body for found, body in FENCED.findall(text_of(page)) if found == kind]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    prose = re.sub(r"`[^`\n]*`", "", FENCED.sub("", text_of(page)))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_each_command_has_a_section() -> None:
    text = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    for command in commands_for([]).commands:
        assert f"\n## `relhealth {command}`\n" in text, f"docs/usage.md: no section on {command}"
        assert f"\n$ relhealth {command} --help\n" in text, f"docs/usage.md: no help of {command}"


def test_each_figure_of_the_overview_has_a_unit() -> None:
    """And in the same order: machine formats write them in that of the units."""
    assert list(UNITS) == [field.name for field in fields(ReleaseOverview)]


def test_help_blocks_are_what_the_commands_print() -> None:
    page = ROOT / "docs" / "usage.md"
    remade = runpy.run_path(str(ROOT / "docs" / "help.py"))["remade"]
    assert text_of(page).count("--help\n Usage:") >= 3
    assert remade(text_of(page)) == text_of(page), "run: make docs"


def commands() -> Iterator[tuple[str, str]]:
    """Yield the command lines that the docs show on the sample data, and where."""
    for page, name in zip(PAGES, NAMES, strict=True):
        for block in blocks(page, "console"):
            for line in block.splitlines():
                if line.startswith("$ relhealth ") and "sample_data" in line:
                    yield name, line.removeprefix("$ ").partition(" | ")[0]


COMMANDS = sorted(set(commands()))


def test_the_docs_show_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_commands_run(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    if "sc://localhost:15002" in line:  # a server that its reader has started
        line = line.replace("sc://localhost:15002", sail())
    program, *args = shlex.split(line.replace("$PWD", str(tmp_path)))
    result = run(*args)
    assert (program, result.code) == ("relhealth", 0), f"{name}: {result.err}"
    wrote = {args[args.index("-o") + 1]} if "-o" in args else set()
    assert {path.name for path in tmp_path.iterdir()} == {"sample_data"} | wrote


def shown_outputs() -> Iterator[tuple[str, str]]:
    """Yield the commands on the sample data below which the README shows what they print."""
    for block in blocks(ROOT / "README.md", "console"):
        line, _, shown = block.partition("\n")
        if shown and not shown.startswith("$ ") and "sample_data" in line:
            yield line.removeprefix("$ relhealth "), shown


OUTPUTS = list(shown_outputs())


def test_the_readme_shows_an_output() -> None:
    assert OUTPUTS


@pytest.mark.parametrize(("line", "shown"), OUTPUTS, ids=lambda text: text[:30])
def test_an_output_in_the_readme_is_the_true_one(
    line: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(*shlex.split(line)).out == shown


@pytest.mark.parametrize(
    "name", [n for n, p in zip(NAMES, PAGES, strict=True) if blocks(p, "python")]
)
def test_python_examples_run(name: str, tmp_path: Path) -> None:
    """Each page's examples, one after the other, in a folder with the sample data."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    code = "\n".join(blocks(ROOT / name, "python"))
    ended = finish(script(f"import os; os.chdir({str(tmp_path)!r})\n{code}"))
    assert ended.code == 0, ended.err


def test_the_readme_s_first_block_is_two_commands() -> None:
    kind, body = FENCED.findall(text_of(ROOT / "README.md"))[0]
    assert kind == "sh"
    first, second = body.splitlines()
    assert first == "pip install . && relhealth overview sample_data --now latest"
    assert second == "pip install -e '.[test]' && python -m pytest"


def test_the_readme_tells_every_exit_code() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", text_of(ROOT / "README.md"), re.MULTILINE)
    told = {int(code) for row in rows for code in row.split(",")}
    assert told >= {int(code) for code in ExitCode}
    assert told - {int(code) for code in ExitCode} == {129, 143}  # ends by a signal


def test_the_changelog_tells_of_this_version() -> None:
    assert f"## {__version__}" in text_of(ROOT / "CHANGELOG.md")


def test_the_picture_is_of_the_command_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    first, _ = blocks(ROOT / "README.md", "sh")[0].splitlines()
    assert first == f"pip install . && {made['COMMAND']}"
    above = text_of(ROOT / "README.md").partition("(docs/overview.svg)")[0]
    assert above.count("![") == 1  # no other command's picture is between them
    kept = text_of(ROOT / "docs" / "overview.svg")
    assert made["picture"]() == kept, "run: make docs"
    texts = re.findall(r'<text [^>]*y="([\d.]+)"[^>]*>([^<]*)</text>', kept)
    lines: dict[str, str] = {}
    for y, text in texts:
        lines[y] = lines.get(y, "") + unescape(text)
    shown = ["".join(line.split()) for line in lines.values()]
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", str(made["WIDTH"]))
    printed = run(*shlex.split(made["COMMAND"])[1:]).out
    expected = [f"$ {made['COMMAND']}", *printed.splitlines()]
    assert shown[1:] == ["".join(line.split()) for line in expected]  # without the title


def test_the_error_rates_are_those_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    # The script asks for the same bounds many times over.
    monkeypatch.setattr(intervals, "clopper_pearson", cache(intervals.clopper_pearson))
    page = text_of(ROOT / "docs" / "verdicts.md")
    tables = dict(runpy.run_path(str(ROOT / "benchmarks" / "error_rates.py"))["tables"]())
    assert len(tables) == 4
    for name, table in tables.items():
        assert f"<!-- {name} -->\n\n{table}\n\n<!-- /{name} -->" in page


def test_no_error_rate_is_above_the_nominal_one() -> None:
    page = text_of(ROOT / "docs" / "verdicts.md")
    for name in ("target", "baseline"):
        (table,) = re.findall(f"<!-- {name} -->(.*)<!-- /{name} -->", page, re.DOTALL)
        rates = [float(rate) for rate in re.findall(r"\| ([0-9]+\.[0-9]+)", table)]
        assert len(rates) >= 3
        assert max(rates) <= 5
    sequential = re.findall(r"`sequential` \| ([0-9.]+) \| ([0-9.]+)", page)
    assert len(sequential) == 2
    assert all(float(rate) <= 5 for pair in sequential for rate in pair)


# What the page says under "What is not held".
NOT_HELD = {"a look each hour for a week"}


def test_the_gate_errs_in_use_only_where_the_page_says_so() -> None:
    page = text_of(ROOT / "docs" / "verdicts.md")
    (table,) = re.findall("<!-- use -->(.*)<!-- /use -->", page, re.DOTALL)
    rows = [line.split(" | ") for line in table.strip().splitlines()[2:]]
    assert len(rows) >= 9
    for scenario, _, *cells in rows:
        figures = [cell for cell in cells if re.search("[0-9]", cell)]
        assert len(figures) >= 3
        above = [cell for cell in figures if max(map(float, re.findall("[0-9.]+", cell))) > 6]
        assert above == [cell for cell in figures if "**" in cell], scenario
        assert bool(above) == (scenario.removeprefix("| ") in NOT_HELD), scenario


def test_the_policies_in_the_docs_are_policies() -> None:
    policies = [tomllib.loads(block) for page in PAGES for block in blocks(page, "toml")]
    policies = [policy for policy in policies if "gate" in policy]
    assert policies
    for policy in policies:
        assert from_document(policy).checked().rule


# The command lines of the snippets for CI and cron.
SNIPPETS = re.findall(
    r"(?:run: |- |script: '|until |^)(relhealth (?:gate|overview) [^'\n;]*)",
    "\n".join(
        body
        for kind, body in FENCED.findall(text_of(ROOT / "docs" / "ci.md"))
        if kind in {"yaml", "groovy", "sh"}
    ),
    re.MULTILINE,
)


def test_every_snippet_has_a_command() -> None:
    assert len(SNIPPETS) == 6


@pytest.mark.parametrize("line", SNIPPETS)
def test_the_snippets_are_well_formed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option is known and every report can be written: only the data is missing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relhealth.toml").write_text("[[gate.rule]]\ntarget = 99\n")
    for folder in ("/etc/", "/srv/dashboard/", "/var/lib/node_exporter/"):
        line = line.replace(folder, "")
    _, *args = shlex.split(line.replace("$RELEASE", "shop@1.0.0"))
    ended = run(*args)
    assert ended.code == ExitCode.DATA, ended.err
    assert "no such file" in ended.err.lower()


def test_the_picture_of_a_page_is_of_the_command_above_it() -> None:
    command = runpy.run_path(str(ROOT / "docs" / "page.py"))["COMMAND"]
    above = re.compile(
        rf"^\$ {re.escape(command)}\n```\n\n!\[[^\]]*\]\((?:docs/)?page\.png\)$", re.MULTILINE
    )
    assert above.search(text_of(ROOT / "README.md"))
    assert above.search(text_of(ROOT / "docs" / "pages.md"))
    picture = (ROOT / "docs" / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000
