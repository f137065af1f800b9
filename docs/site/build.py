"""Build the docs as a site: pages of docs/, a page for each command, links inside, none broken.

``python docs/site/build.py [FOLDER]``; the default folder is build/site. It ends with 1 and names
each fault if a page is in no menu, or if a link or an anchor leads nowhere.
"""

import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import broken_links  # noqa: E402 - beside this file
import command_pages  # noqa: E402 - beside this file

USAGE = Path("docs/usage.md")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_FILE_NAME = re.compile(r"\[[\w-]+\.md\](?=\()")  # Sphinx puts the page's title in its place
_SECTION = re.compile(r"^## (?=.)", re.MULTILINE)


class BrokenLinkError(Exception):
    """A link in a page leads to no file of the repository."""


def main(folder: Path) -> int:
    """Build the site into a folder; return 0, or 1 if anything is wrong."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "searchindex.js").is_file():
        print(f"error: {folder}: has files that are no site: choose another", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "source")
        try:
            lay_out(source)
        except BrokenLinkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        asked = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE), "-d", f"{place}/kept"]
        if build_main([*asked, str(source), str(folder)]):
            return 1
    (folder / ".buildinfo").unlink(missing_ok=True)
    faults = broken_links.faults(folder)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def lay_out(source: Path) -> None:
    """Write the pages of the site as Markdown, with links that hold among them."""
    pages = [page.relative_to(ROOT) for page in sorted((ROOT / "docs").rglob("*.md"))]
    waiting = [page for page in pages if HERE.name not in page.parts[1:2]]
    done: set[Path] = set()
    while waiting:
        page = waiting.pop()
        if page in done:
            continue
        done.add(page)
        if page == USAGE:
            _lay_out_usage(source, waiting.append)
        elif page.suffix == ".md":
            text = (ROOT / page).read_text(encoding="utf-8")
            _write(source, page, place_of(page), text, waiting.append)
        else:
            target = source / place_of(page)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / page, target)
    _add(source / "index.md", menu())
    _add(source / "decisions" / "index.md", "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n")
    listed = {page for section in _sections_of_menu() for page in section["pages"]}
    for path in (source / "repository").rglob("*.md"):  # reached by links alone
        if str(path.relative_to(source).with_suffix("")) not in listed:
            path.write_text(f"---\norphan: true\n---\n\n{path.read_text(encoding='utf-8')}")


def place_of(page: Path) -> Path:
    """Return where a file of the repository is in the site."""
    is_of_docs = page.parts[0] == "docs"
    place = Path(*page.parts[1:]) if is_of_docs else Path("repository", page)
    return place.with_name("index.md") if place.name == "README.md" else place


def menu() -> str:
    """Return the menu of the site, as Sphinx reads it."""
    commands = [f"commands/{command_pages.slug(name)}" for name in command_pages.commands()]
    blocks = []
    for section in _sections_of_menu():
        pages = [
            page
            for one in section["pages"]
            for page in (commands if one == "commands/*" else [one])
        ]
        lines = "\n".join(pages)
        blocks.append(f"\n```{{toctree}}\n:hidden:\n:caption: {section['name']}\n\n{lines}\n```\n")
    return "".join(blocks)


def _sections_of_menu() -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = tomllib.loads((HERE / "menu.toml").read_text())["menu"]
    return told


def _add(page: Path, text: str) -> None:
    page.write_text(page.read_text(encoding="utf-8") + text, encoding="utf-8")


def _lay_out_usage(source: Path, found: Callable[[Path], None]) -> None:
    """Split the page on usage: a page for each command, and the rest."""
    intro, *sections = _SECTION.split((ROOT / USAGE).read_text(encoding="utf-8"))
    told = {}
    rest = []
    for section in sections:
        heading, _, body = section.partition("\n")
        name = heading.strip("`").removeprefix("relhealth ")
        if heading.startswith("`relhealth ") and name in command_pages.commands():
            told[name] = body
        elif heading == "`relhealth`":
            intro += f"{command_pages.table()}{command_pages.without_help(body)}"
        else:
            rest.append(f"## {section}")
    text = intro + "".join(rest)
    _write(source, USAGE, place_of(USAGE), text, found)
    for name in command_pages.commands():
        text = command_pages.page(name, told.get(name, ""))
        _write(source, USAGE, Path("commands", f"{command_pages.slug(name)}.md"), text, found)


def _write(source: Path, page: Path, place: Path, text: str, found: Callable[[Path], None]) -> None:
    """Write a page with its links as they are in the site."""

    def moved(link: re.Match[str]) -> str:
        return _moved(page, place, link[1], found)

    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(moved, _FILE_NAME.sub("[]", prose)) for prose in parts[::2]]
    target = source / place
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(parts), encoding="utf-8")


def _moved(page: Path, place: Path, link: str, found: Callable[[Path], None]) -> str:
    """Return a link of a page of the repository as it is between the places in the site."""
    if re.match(r"[a-z]+:", link):
        return link
    path, _, anchor = link.partition("#")
    there = Path(os.path.normpath(page.parent / path)) if path else page
    if (ROOT / there).is_dir():
        there /= "README.md"
    if there.parts[0] == ".." or not (ROOT / there).is_file():
        raise BrokenLinkError(f"{page}: link to no file of the repository: {link}")
    target = place_of(there)
    if there == USAGE:
        target, anchor = _in_usage(anchor)
    else:
        found(there)
    if target == place and anchor:
        return f"#{anchor}"
    return os.path.relpath(target, place.parent) + (f"#{anchor}" if anchor else "")


def _in_usage(anchor: str) -> tuple[Path, str]:
    """Return the page of the site that has a section of usage, and the anchor there."""
    for name in command_pages.commands():
        if anchor == f"relhealth-{command_pages.slug(name)}":
            return Path("commands", f"{command_pages.slug(name)}.md"), ""
    return place_of(USAGE), "" if anchor == "relhealth" else anchor


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site")))
