"""Remake the README's picture of a page: that of the sample data, as Chromium shows it."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from relhealth.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "page.png"
COMMAND = "relhealth overview sample_data --now latest -o page.html"
SIZE = {"width": 1100, "height": 1030}


def picture(chromium: str) -> bytes:
    """Return the top of the page as PNG."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder, "page.html")
        line = COMMAND.replace("sample_data", str(ROOT / "sample_data"))
        if main(line.replace("page.html", str(page)).split()[1:]):
            sys.exit("no page")
        browser = playwright.chromium.launch(executable_path=chromium)
        view = browser.new_page(viewport=SIZE, color_scheme="light")
        view.goto(page.as_uri())
        taken = view.screenshot()
        browser.close()
    return taken


if __name__ == "__main__":
    PICTURE.write_bytes(picture(shutil.which("chromium") or sys.exit("Chromium is needed")))
