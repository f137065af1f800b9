"""What is wrong with the links of a built site: it must work from disk, without network."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
_IN_STYLE = re.compile(r"url\(\s*['\"]?(?!['\"]?(?:data:|#))([^)'\"]+)|@import\s+['\"]([^'\"]+)")


class _Page(HTMLParser):
    """The anchors of a page, where it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        named = {name: value or "" for name, value in attrs}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if tag in _LOADED and _LOADED[tag] in named:
            self.loads.append(named[_LOADED[tag]])


def faults(folder: Path) -> list[str]:
    """Return a line for each link, anchor or file of the site's pages that is not there."""
    folder = folder.resolve()
    pages = {
        path: _Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))
    }
    found = [] if pages else [f"{folder}: no page"]
    for path, page in pages.items():
        name = path.relative_to(folder)
        found += [f"{name}: {fault}" for fault in _of_loads(path, page.loads, folder)]
        found += [f"{name}: {fault}" for fault in _of_links(path, page.links, pages, folder)]
    for path in sorted(folder.rglob("*.css")):
        urls = [one or other for one, other in _IN_STYLE.findall(path.read_text(encoding="utf-8"))]
        found += [f"{path.relative_to(folder)}: {one}" for one in _of_loads(path, urls, folder)]
    return found


def _of_loads(path: Path, urls: list[str], folder: Path) -> Iterator[str]:
    for url in urls:
        there = urlsplit(url)
        if there.scheme == "data":
            continue
        if there.scheme or there.netloc:
            yield f"loads from the network: {url}"
        elif not _file(path, there.path, folder).is_file():
            yield f"loads a file that is not there: {url}"


def _of_links(path: Path, urls: list[str], pages: dict[Path, _Page], folder: Path) -> Iterator[str]:
    for url in urls:
        there = urlsplit(url)
        if there.scheme or there.netloc:
            continue
        target = _file(path, there.path, folder)
        if not target.is_file():
            yield f"broken link: {url}"
        elif there.fragment and unquote(there.fragment) not in pages[target].anchors:
            yield f"broken anchor: {url}"


def _file(path: Path, url: str, folder: Path) -> Path:
    """Return the file of a relative address; one from the root of a server has none."""
    if url.startswith("/"):
        return folder / "from the root of a server" / url[1:]
    return (path.parent / unquote(url)).resolve() if url else path
