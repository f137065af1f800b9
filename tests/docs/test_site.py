"""The docs as a site: a page for each command, each link right, and nothing from the network."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import sync_playwright

from places import ROOT
from process import environment
from relhealth.commands.app import commands_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

SITE = runpy.run_path(str(ROOT / "docs" / "site" / "build.py"))
COMMANDS: dict[str, Any] = commands_for([]).commands
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site") / "source"
    SITE["lay_out"](made)
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make site` builds it, without a warning and without a broken link."""
    made = tmp_path_factory.mktemp("site") / "a folder" / "built"
    ended = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "site" / "build.py"), str(made)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_page_with_every_option(name: str, source: Path) -> None:
    page = source / "commands" / f"{name.replace(' ', '-')}.md"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# `relhealth {name}`\n")
    assert "--help\n Usage:" not in text
    command = COMMANDS[name]
    context = command.context_class(command)
    for parameter in command.get_params(context):
        if parameter.hidden:
            continue
        listed = re.findall(r"^(.*)\n: (.+)$", text, re.MULTILINE)
        if parameter.param_type_name == "argument":
            asked = [f"`{parameter.metavar}`"]
        else:
            asked = [f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts)]
        told = [words for term, words in listed if term.startswith(", ".join(asked))]
        assert len(told) == 1, parameter.name
        words = re.sub(r"[^a-z]", "", parameter.help.lower())
        assert re.sub(r"[^a-z]", "", told[0].lower()).startswith(words)
    for example in re.findall(r"^ +(relhealth .*)$", command.help, re.MULTILINE):
        assert f"$ {example}\n" in text


def test_what_usage_says_on_a_command_is_on_its_page(source: Path) -> None:
    usage = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    for sentence in ("The limits are those\nof the [policy]", 'Answers "is it fine?"'):
        assert sentence in usage
        assert sentence in (source / "commands" / "status.md").read_text(encoding="utf-8")
        assert sentence not in (source / "usage.md").read_text(encoding="utf-8")


def test_usage_keeps_what_is_of_all_commands(source: Path) -> None:
    page = (source / "usage.md").read_text(encoding="utf-8")
    assert all(f"| [`relhealth {name}`](commands/" in page for name in COMMANDS)
    assert "relhealth completion bash" in page
    assert "## `--now`" in page
    assert "--help\n Usage:" not in page


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    assert SITE["main"](tmp_path) == 1
    assert kept.exists()


def test_links_lead_to_where_pages_are(source: Path) -> None:
    start = (source / "index.md").read_text(encoding="utf-8")
    assert "[changelog](repository/CHANGELOG.md)" in start
    assert "[decisions](decisions/index.md)" in start
    gate = (source / "commands" / "gate.md").read_text(encoding="utf-8")
    assert "[](../verdicts.md)" in gate  # whose title Sphinx adds
    overview = (source / "commands" / "overview.md").read_text(encoding="utf-8")
    assert "](status.md)" in overview
    readme = (source / "repository" / "index.md").read_text(encoding="utf-8")
    assert "](../figures.md)" in readme
    assert (source / "examples" / "bigquery" / "sessions.sql").is_file()


@pytest.mark.parametrize("link", ["none.md", "../../outside.md", "../no/folder/"])
def test_a_link_to_no_file_is_an_error(link: str, tmp_path: Path) -> None:
    with pytest.raises(SITE["BrokenLinkError"], match=re.escape(link)):
        SITE["_write"](tmp_path, Path("docs/ci.md"), Path("ci.md"), f"[it]({link})", print)


def test_a_link_in_code_is_no_link(tmp_path: Path) -> None:
    text = "```sh\n[it](none.md)\n```\n"
    SITE["_write"](tmp_path, Path("docs/ci.md"), Path("ci.md"), text, print)
    assert (tmp_path / "ci.md").read_text(encoding="utf-8") == text


def test_what_is_broken_in_a_built_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<p id="there">', encoding="utf-8")
    (tmp_path / "style.css").write_text(
        "@import 'https://fonts.example.com/a.css';"
        " a { background: url(data:image/png;base64,aa) } b { background: url('none.png') }"
    )
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there"><a href="#here"><a name="here"><a href="https://example.com/">'
        '<a href="b.html#gone"><a href="c.html"><a href="/b.html">'
        '<script src="https://cdn.example.com/x.js"></script><img src="none.svg">'
        '<link href="style.css">'
    )
    assert SITE["broken_links"].faults(tmp_path) == [
        "a.html: loads from the network: https://cdn.example.com/x.js",
        "a.html: loads a file that is not there: none.svg",
        "a.html: broken anchor: b.html#gone",
        "a.html: broken link: c.html",
        "a.html: broken link: /b.html",
        "style.css: loads from the network: https://fonts.example.com/a.css",
        "style.css: loads a file that is not there: none.png",
    ]
    assert SITE["broken_links"].faults(tmp_path / "none") == [f"{tmp_path / 'none'}: no page"]


@pytest.mark.slow
def test_the_site_is_built_with_a_page_for_each_command(built: Path) -> None:
    for name in COMMANDS:
        page = (built / "commands" / f"{name.replace(' ', '-')}.html").read_text(encoding="utf-8")
        assert f"relhealth {name}" in page
        assert f'href="commands/{name.replace(" ", "-")}.html"' in (built / "index.html").read_text(
            encoding="utf-8"
        )
    assert sum(path.stat().st_size for path in built.rglob("*")) < 10_000_000


@pytest.mark.slow
def test_pages_open_from_disk_on_a_telephone_and_a_desk(built: Path, browser: Browser) -> None:
    """Every page fits, in light and dark, says nothing to the console and fetches nothing."""
    pages = [path for path in sorted(built.rglob("*.html")) if path.parent.name != "decisions"]
    assert len(pages) > len(COMMANDS) + 15
    said: list[str] = []
    asked: list[str] = []
    looks: list[tuple[int, Literal["dark", "light"], list[Path]]] = [
        (400, "dark", pages),
        (1280, "light", [built / "index.html", built / "commands" / "gate.html"]),
    ]
    for width, theme, shown in looks:
        view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("request", lambda request: asked.append(request.url))
        for path in shown:
            view.goto(path.as_uri())
            assert view.evaluate("document.documentElement.scrollWidth") <= width, path.name
        colour = view.evaluate("getComputedStyle(document.body).backgroundColor")
        lightness = max(map(int, re.findall(r"\d+", colour)[:3]))
        assert (lightness < 60) == (theme == "dark")
        view.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.slow
def test_the_search_works_from_disk(built: Path, browser: Browser) -> None:
    view = browser.new_page()
    view.goto((built / "index.html").as_uri())
    view.get_by_label("Search").first.fill("settle")
    view.keyboard.press("Enter")
    found = view.locator("#search-results li a")
    found.first.wait_for()
    assert "How the verdict is reached" in found.all_inner_texts()
    view.close()
