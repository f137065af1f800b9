"""Pages in a real browser: Chromium, without a window; without one, all are skipped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import rows
from browsers import chromium, with_browser
from command import run
from pages import HOSTILE, LINES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = with_browser

# Every pair of a text, or a mark of a chart, and what is behind it, with the contrast of WCAG.
CONTRASTS = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
    }
    return "white";
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const told = [];
  const card = getComputedStyle(document.querySelector("figure")).backgroundColor;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
    const inSvg = element.closest("svg");
    const style = getComputedStyle(element);
    if (inSvg && style.fill === card) continue;  // in a bar, which has that contrast itself
    const ink = inSvg ? style.fill : style.color;
    told.push([element.textContent.trim().slice(0, 30), ratio(ink, behind(element)), 4.5]);
  }
  for (const line of document.querySelectorAll(".keys line")) {
    told.push(["line", ratio(getComputedStyle(line).stroke, behind(line)), 3]);
  }
  return told;
}
"""


# Each text of a chart that is not within its picture, by a pixel.
CUT = """
() => [...document.querySelectorAll("figure svg text")].filter((text) => {
  const own = text.getBoundingClientRect();
  const all = text.ownerSVGElement.getBoundingClientRect();
  return own.left < all.left - 1 || own.right > all.right + 1;
}).map((text) => text.textContent)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all pages."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of each command about the sample data, and one about hostile names."""
    path = tmp_path_factory.mktemp("pages")
    for name, line in LINES.items():
        run(*line, "--now", "latest", "-o", str(path / f"{name}.html"))
    source = rows.write(
        path / "hostile.parquet",
        [rows.session(release=name, value=9.0) for name in HOSTILE],
    )
    run("overview", source, "--now", "latest", "-o", str(path / "hostile.html"))
    source = rows.write(path / "many.parquet", [rows.session(value=20_000.0)])
    run("overview", source, "--now", "latest", "-o", str(path / "many.html"))
    return path


@contextmanager
def opened(browser: Browser, file: Path, *, theme: str = "light") -> Iterator[Page]:
    """Open a page from disk; fail on any word in the console, any dialog and any request."""
    page = browser.new_page(
        viewport={"width": 1280, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
    )
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: wrong.append(request.url))
    page.goto(file.as_uri())
    yield page
    assert wrong in ([file.as_uri()], [file.as_uri(), "data:,"])
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", LINES)
def test_a_page_is_readable(name: str, theme: str, browser: Browser, folder: Path) -> None:
    """It has room at both widths, and texts and lines have the contrast of WCAG AA."""
    with opened(browser, folder / f"{name}.html", theme=theme) as page:
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") == width
            ratios = page.evaluate(CONTRASTS)
            assert len(ratios) > 50
            assert [one for one in ratios if one[1] < one[2]] == []
            assert page.locator("figure .wide").first.is_visible() == (width == 1280)


@pytest.mark.parametrize("name", [*LINES, "many"])
def test_no_text_of_a_chart_is_cut(name: str, browser: Browser, folder: Path) -> None:
    with opened(browser, folder / f"{name}.html") as page:
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(CUT) == []
        if name == "many":
            assert "99.95%" in (page.locator("figure svg").first.text_content() or "")


def test_a_heading_sorts_the_table(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "overview.html") as page:

        def column(number: int) -> list[str]:
            return page.locator(f"tbody tr td:nth-child({number})").all_inner_texts()

        heading = page.get_by_role("button", name="Sessions", exact=True)
        assert column(6) == [
            "221",
            "45",
            "174",
            "20",
            "863",
            "115",
            "891",
            "2,694",
        ]  # bad ones first
        counts = ["2,694", "891", "863", "221", "174", "115", "45", "20"]
        page.get_by_role("button", name="Release").click()
        names = column(3)
        assert names[0] == "1d5a3ee51ff9c5581b4f7413be99ad62eeafbb9d"
        assert names[1:4] == [
            "com.example.shop@3.8.1+4282",
            "com.example.shop@3.9.0-rc.1+4289",
            "com.example.shop@3.9.0+4296",
        ]
        heading.click()
        assert column(6) == counts
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        heading.click()
        assert column(6) == counts[::-1]
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
        heading.focus()
        page.keyboard.press("Enter")
        assert column(6) == counts


def test_absent_figures_are_last(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "release.html") as page:
        table = page.locator("table").last
        heading = table.get_by_role("button", name="P50 duration", exact=True)
        at = table.locator("th button").all_inner_texts().index("P50 duration") + 1
        for up in (False, True):
            heading.click()
            found = table.locator(f"tbody td:nth-child({at})").all()
            keys = [one.get_attribute("data-key") or "" for one in found]
            known = [float(one) for one in keys if one]
            assert keys[len(known) :] == [""] * (len(keys) - len(known)) != []
            assert known == sorted(known, reverse=not up)


def test_the_theme_and_the_hints(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "release.html", theme="dark") as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(colour)
        page.get_by_role("button", name="Light or dark").click()
        assert page.evaluate(colour) != dark
        page.get_by_role("button", name="Light or dark").click()
        assert page.evaluate(colour) == dark
        point = page.locator("figure path[aria-label*='crash-free']").nth(2)
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        told = page.locator("#hint").inner_text()
        assert "crash-free, 95% sure between" in told
        page.mouse.move(5, 5)
        assert page.locator("#hint").is_hidden()


def test_names_are_shown_and_not_run(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "hostile.html") as page:
        shown = page.locator("td.release").all_inner_texts()
        assert set(HOSTILE[:5]) <= set(shown)
        assert page.locator("script").count() == 1
