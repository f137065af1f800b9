"""One file of a web server."""

from __future__ import annotations

import json
import re
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from command import run
from places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = max((ROOT / "sample_data").glob("date=*/*.parquet"))
NOW = ("--now", "latest")


class _Server(ThreadingHTTPServer):
    """Serves one file at /signed?key=1; ``faults`` are answered first."""

    daemon_threads = True
    ranges = True
    versioned = True
    content = FILE.read_bytes()
    faults: list[int]
    sent: list[int]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        content, span = self.server.content, self.headers.get("Range", "")
        status, more = 200, {"ETag": f'"{len(content)}"'} if self.server.versioned else {}
        if self.server.faults:
            status, content = self.server.faults.pop(0), b""
        elif self.path != "/signed?key=1":
            status, content = 404, b""
        elif self.server.ranges and (found := re.fullmatch(r"bytes=(\d+)-(\d+)", span)):
            start, end = int(found[1]), int(found[2]) + 1
            more["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            status, content = 206, content[start:end]
        self.server.sent.append(len(content))
        self.send_response(status)
        for name, value in {**more, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(cache: Path) -> Iterator[_Server]:  # noqa: ARG001
    one = _Server(("127.0.0.1", 0), partial(_Handler))
    one.faults, one.sent = [], []
    Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


def uri(server: _Server, path: str = "signed?key=1") -> str:
    """Return the address of the file."""
    return f"http://127.0.0.1:{server.server_address[1]}/{path}"


@pytest.mark.parametrize("ranges", [True, False])
def test_the_answer_is_that_of_the_file(server: _Server, ranges: bool) -> None:  # noqa: FBT001
    server.ranges = ranges
    found = run("overview", uri(server), *NOW, "-f", "json")
    assert found.code == 0, found.err
    expected = run("overview", str(FILE), *NOW, "-f", "json")
    assert json.loads(found.out)["data"] == json.loads(expected.out)["data"]


def test_faults(server: _Server) -> None:
    for faults, path, told in (
        ([], "nothing", "no such object"),
        ([403], "signed?key=1", "access denied (403); check the address, or sign it anew"),
        ([500] * 9, "signed?key=1", "the server refused (500); try again later"),
    ):
        server.faults = faults
        result = run("overview", uri(server, path), *NOW)
        assert (result.code, told in result.err) == (4, True), result.err
    result = run("overview", "http://127.0.0.1:9/x.parquet", *NOW)
    assert (result.code, "the server does not answer" in result.err) == (4, True)


def test_faults_that_end_are_none(server: _Server) -> None:
    server.faults = [503, 502]
    assert run("overview", uri(server), *NOW).code == 0


def test_a_file_without_a_version_is_fetched_anew(server: _Server) -> None:
    server.versioned = False
    assert run("overview", uri(server), *NOW).code == 0
    server.content = min((ROOT / "sample_data").glob("date=*/*.parquet")).read_bytes()
    server.content += bytes(0)
    first = run("inspect", uri(server), *NOW, "-f", "json")
    assert json.loads(first.out)["data"]["first"].startswith(
        min((ROOT / "sample_data").glob("date=*")).name.removeprefix("date=")
    )


@pytest.mark.parametrize("status", [204, 302, 304])
def test_answers_without_a_file_are_refused(server: _Server, status: int) -> None:
    server.faults = [status]
    result = run("overview", uri(server), *NOW)
    assert (result.code, f"the server refused ({status})" in result.err) == (4, True), result.err
