"""Real SDKs over real HTTP: what they send is what an overview counts."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from browsers import chromium, with_browser
from command import run
from places import ROOT
from process import finish, script
from receivers import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

JAVASCRIPT = ROOT / "tests" / "receive" / "javascript"
MODULES = JAVASCRIPT / "node_modules"
NODE = shutil.which("node")
INSTALL = "npm install --prefix tests/receive/javascript"
with_node = pytest.mark.skipif(NODE is None, reason="no node")
with_modules = pytest.mark.skipif(not MODULES.is_dir(), reason=f"no SDKs for JavaScript: {INSTALL}")


def overview(dataset: Path) -> dict[str, dict[str, Any]]:
    """Return each release's figures."""
    asked = run("overview", str(dataset), "-f", "json")
    assert asked.code == 0, asked.err
    return {row["release"]: row for row in json.loads(asked.out)["data"]}


def figures(row: dict[str, Any]) -> tuple[int, ...]:
    """Return sessions, healthy, errored, crashed, users and crashed users."""
    names = ("total_sessions", "sessions_healthy", "sessions_errored", "sessions_crashed")
    return tuple(row[name] or 0 for name in (*names, "total_users", "users_crashed"))


SCRIPT = """
import sys
import sentry_sdk

sentry_sdk.init(dsn=sys.argv[1], release="shop@1.0.0", environment="production",
                auto_session_tracking=False)
for number in range(30):
    with sentry_sdk.isolation_scope() as scope:
        scope.set_user({"id": f"user-{number % 4}"})
        scope.start_session()
        if number % 3 == 1:
            sentry_sdk.capture_exception(ValueError("handled"))
        if number % 10 == 2:
            scope._session.update(status="crashed")
        scope.end_session()
sentry_sdk.flush()
"""


def test_sentry_sdk_in_a_script(tmp_path: Path) -> None:
    with receiving(tmp_path / "data") as receiver:
        ended = finish(script(SCRIPT, receiver.dsn))
        assert ended.code == 0, ended.err
    # 10 with errors (1, 4, ... 28), 3 crashed (2, 12, 22), of which 22 had an error too.
    assert figures(overview(tmp_path / "data")["shop@1.0.0"]) == (30, 18, 9, 3, 4, 2)


WEB = """
import sys, threading
import sentry_sdk
from flask import Flask

sentry_sdk.init(dsn=sys.argv[1], release="web@2.0.0", environment="production")
app = Flask("app")

@app.get("/fine")
def fine():
    return "fine"

@app.get("/handled")
def handled():
    sentry_sdk.capture_exception(ValueError("handled"))
    return "handled"

@app.get("/broken")
def broken():
    raise ValueError("not handled")

def visit(paths):
    with app.test_client() as client:
        for path in paths:
            client.get(path)

paths = ["/fine"] * 25 + ["/handled"] * 3 + ["/broken"] * 2
threads = [threading.Thread(target=visit, args=(paths * 5,)) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sentry_sdk.flush()
sentry_sdk.get_client().close()
"""


def test_sentry_sdk_in_a_web_application_under_load(tmp_path: Path) -> None:
    with receiving(tmp_path / "data") as receiver:
        ended = finish(script(WEB, receiver.dsn))
        assert ended.code == 0, ended.err
        assert receiver.metric('items_total{kind="other"}') >= 40  # its events
    # 8 threads of 5 rounds of 30 requests; the SDK counts one that is not handled as crashed.
    found = overview(tmp_path / "data")["web@2.0.0"]
    assert figures(found)[:4] == (1_200, 1_000, 120, 80)


@with_node
@with_modules
def test_sentry_node(tmp_path: Path) -> None:
    assert NODE is not None
    with receiving(tmp_path / "data") as receiver:
        for number, end in enumerate(["fine", "handled", "crash"]):
            line = [
                NODE,
                str(JAVASCRIPT / "node.mjs"),
                receiver.dsn,
                "api@3.1.0",
                f"u{number % 2}",
                end,
            ]
            ended = finish(line)
            assert ended.code == (1 if end == "crash" else 0), ended.err
    assert figures(overview(tmp_path / "data")["api@3.1.0"]) == (3, 1, 1, 1, 2, 1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all pages."""
    with chromium() as started:
        yield started


def import_map() -> dict[str, dict[str, str]]:
    """Return where a browser finds the modules of the SDK."""
    found = {}
    for file in sorted([*MODULES.glob("*/package.json"), *MODULES.glob("@*/*/package.json")]):
        document = json.loads(file.read_text())
        exports = document.get("exports") or {".": document.get("module")}
        for path, ends in exports.items() if isinstance(exports, dict) else ():
            inside = module_of(ends)
            if inside is not None and "*" not in path:
                name = document["name"] + path.removeprefix(".")
                found[name] = f"/{(file.parent / inside).relative_to(JAVASCRIPT)}"
    return {"imports": found}


def module_of(ends: Any) -> str | None:
    """Return the file of an export, by the conditions of a bundler for browsers."""
    if not isinstance(ends, dict):
        return ends if isinstance(ends, str) else None
    chosen = next((ends[one] for one in ("import", "default") if one in ends), None)
    return None if chosen is None else module_of(chosen)


@contextmanager
def application(settings: dict[str, str]) -> Iterator[str]:
    """Serve the page of an application whose SDK has these settings; yield its address."""
    html = (JAVASCRIPT / "page.html").read_text()
    html = html.replace("IMPORTS", json.dumps(import_map()))
    html = html.replace("SETTINGS", json.dumps(settings))

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/node_modules/"):
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(JAVASCRIPT)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def go(page: Page, address: str) -> None:
    """Load a page, and return when its SDK runs."""
    page.goto(address)
    page.wait_for_function("window.ready === true")


def wait_for_items(receiver: Receiver, count: int) -> None:
    """Return when so many items about sessions have come."""
    until = time.monotonic() + 20
    while receiver.metric('items_total{kind="session"}') < count:
        assert time.monotonic() < until, receiver.send(method="GET", path="/metrics").body
        time.sleep(0.1)


@with_modules
@with_browser
@pytest.mark.parametrize("way", ["dsn", "tunnel"])
def test_sentry_browser(way: str, browser: Browser, tmp_path: Path) -> None:
    """A page that loads, goes elsewhere, and meets an error that nobody handles."""
    with receiving(tmp_path / "data") as receiver:
        settings = {"dsn": receiver.dsn}
        if way == "tunnel":
            settings = {
                "dsn": f"https://{'a' * 32}@o1.ingest.example/1",
                "tunnel": f"http://127.0.0.1:{receiver.port}/tunnel",
            }
        with application(settings) as address:
            page = browser.new_page()
            go(page, f"{address}/start")
            wait_for_items(receiver, 1)
            go(page, f"{address}/next")
            wait_for_items(receiver, 2)
            page.evaluate("setTimeout(() => { throw new Error('not handled') })")
            wait_for_items(receiver, 3)
            page.close()
    found = overview(tmp_path / "data")["web@1.0.0"]
    # The SDK for browsers says that the session had an error that nobody handled, not a crash.
    assert figures(found) == (2, 1, 0, 0, 1, 0)
    assert (found["sessions_unhandled"], found["users_unhandled"]) == (1, 1)


def test_the_versions_of_the_sdks_are_those_that_the_docs_name() -> None:
    wanted = json.loads((JAVASCRIPT / "package.json").read_text())["dependencies"]
    assert len(set(wanted.values())) == 1
    text = (ROOT / "docs" / "receive.md").read_text()
    assert all(version in text for version in wanted.values())
