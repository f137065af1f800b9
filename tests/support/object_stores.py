"""Real servers of object stores on this machine, and a proxy that counts and disturbs."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUCKET = "bucket"
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}


class Asked(NamedTuple):
    """A request that passed the proxy, and the bytes of the answer's body."""

    method: str
    path: str
    status: int
    size: int


class Disturbed(NamedTuple):
    """An answer in place of the store's."""

    status: int
    body: bytes = b""
    delay: float = 0.0


class Proxy:
    """Stands before a store; ``disturb`` may answer a request itself, or return None."""

    def __init__(self, port: int) -> None:
        """Take the port of the store."""
        self.asked: list[Asked] = []
        self.disturb: Callable[[str, str], Disturbed | None] = lambda _method, _path: None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, port))
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The URL to ask."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def size(self) -> int:
        """The bytes of all answers."""
        return sum(one.size for one in self.asked)

    def lists(self) -> list[Asked]:
        """Return the listings among the requests."""
        return [one for one in self.asked if "list-type" in one.path]

    def reset(self) -> None:
        """Forget the requests, and disturb nothing."""
        self.asked.clear()
        self.disturb = lambda _method, _path: None


def _handler(proxy: Proxy, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            found = proxy.disturb(self.command, self.path)
            if found is None:
                store = http.client.HTTPConnection("127.0.0.1", port)
                store.request(self.command, self.path, body, dict(self.headers))
                answer = store.getresponse()
                content, status, headers = answer.read(), answer.status, answer.getheaders()
                store.close()
            else:
                content, status, headers = found.body, found.status, []
            proxy.asked.append(Asked(self.command, self.path, status, len(content)))
            if found is not None:  # later, others may have forgotten the requests
                time.sleep(found.delay)
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            whole = dict(headers).get("Content-Length", len(content))
            self.send_header("Content-Length", str(whole))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815 - the server's names

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler


@contextmanager
def _server(argv: list[str], port: int) -> Iterator[None]:
    """Run a server until the tests are done with it."""
    with subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        try:
            for _ in range(600):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert process.poll() is None, f"{argv} has ended"
                    time.sleep(0.1)
            else:
                raise AssertionError(f"{argv} does not answer")
            yield
        finally:
            process.kill()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def program(name: str) -> str:
    """Return the path of a program of this environment."""
    return str(Path(sys.executable).with_name(name))


class S3(NamedTuple):
    """A server of S3's protocol behind a proxy, with one bucket."""

    proxy: Proxy
    port: int

    def client(self) -> object:
        """Return a client that does not pass the proxy."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )

    def put(self, folder: Path, prefix: str) -> None:
        """Copy a folder to a prefix."""
        client = self.client()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                client.upload_file(str(path), BUCKET, key)  # type: ignore[attr-defined]

    def put_object(self, key: str, content: bytes) -> None:
        """Write one object."""
        client = self.client()
        client.put_object(Bucket=BUCKET, Key=key, Body=content)  # type: ignore[attr-defined]

    def delete(self, key: str) -> None:
        """Delete one object."""
        self.client().delete_object(Bucket=BUCKET, Key=key)  # type: ignore[attr-defined]


@contextmanager
def s3_server() -> Iterator[S3]:
    """Run a server of S3's protocol."""
    port = free_port()
    with _server([program("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port):
        store = S3(Proxy(port), port)
        store.client().create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
        yield store


class Gcs(NamedTuple):
    """A server of Google Cloud Storage's protocol, with one bucket."""

    port: int

    @property
    def endpoint(self) -> str:
        """The URL to ask."""
        return f"http://127.0.0.1:{self.port}"

    def put(self, folder: Path, prefix: str) -> None:
        """Copy a folder to a prefix."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = urllib.parse.quote(f"{prefix}/{path.relative_to(folder).as_posix()}", safe="")
                request = urllib.request.Request(
                    f"{self.endpoint}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={key}",
                    data=path.read_bytes(),
                    headers={"Content-Type": "application/octet-stream"},
                    method="POST",
                )
                urllib.request.urlopen(request).read()


@contextmanager
def gcs_server() -> Iterator[Gcs]:
    """Run an emulator of Google Cloud Storage."""
    port = free_port()
    argv = ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    argv = [program("gcp-storage-emulator"), *argv, f"--default-bucket={BUCKET}"]
    with _server(argv, port):
        yield Gcs(port)
