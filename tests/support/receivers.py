"""A receiver in a process of its own, and clients that speak plain HTTP with it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.parquet as pq

from process import PATIENCE, command, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "0123456789abcdef0123456789abcdef"
AUTH = {"X-Sentry-Auth": f"Sentry sentry_key={KEY}, sentry_version=7, sentry_client=test/1.0"}


class Answer(NamedTuple):
    """An answer: status, headers in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Receiver:
    """A running receiver."""

    def __init__(self, process: subprocess.Popen[bytes], dataset: Path) -> None:
        """Read what it says, until it listens."""
        self.process, self.dataset = process, dataset
        self.said: list[str] = []
        self._listens = threading.Event()
        self.port = 0  # where it listens
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        assert self._listens.wait(PATIENCE)
        assert self.port, self.said

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.decode().rstrip("\n"))
            if found := re.search(r"listening on https?://.*:(\d+),", self.said[-1]):
                self.port = int(found[1])
                self._listens.set()
        self._listens.set()

    def at(self, port: int) -> Receiver:
        """Return a client of another port of the same receiver."""
        other = copy(self)
        other.port = port
        return other

    @property
    def dsn(self) -> str:
        """The DSN of project 1."""
        return f"http://{KEY}@127.0.0.1:{self.port}/1"

    def send(
        self,
        body: bytes = b"",
        path: str = "/api/1/envelope/",
        method: str = "POST",
        **headers: str,
    ) -> Answer:
        """Send one request; names of headers have _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def raw(self, sent: bytes, *, patience: float = PATIENCE, shut: bool = True) -> bytes:
        """Send bytes as they are; return all that comes until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), patience) as sock:
            parts = []
            try:
                sock.sendall(sent)
                if shut:
                    sock.shutdown(socket.SHUT_WR)
                while part := sock.recv(65_536):
                    parts.append(part)
            except (ConnectionError, TimeoutError):
                pass
            return b"".join(parts)

    def metric(self, line: str) -> float:
        """Return the value of a metric by its name and labels."""
        text = self.send(method="GET", path="/metrics").body.decode()
        found = re.search(rf"^relhealth_receive_{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def resident(self) -> int:
        """Return its resident megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) // 1000

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        return code


@contextmanager
def receiving(
    dataset: Path, *options: str, before: tuple[str, ...] = (), **variables: str
) -> Iterator[Receiver]:
    """Run a receiver on a free port, and end it by SIGTERM; ``before`` is a command for that."""
    line = command("receive", "--to", str(dataset), "--listen", "127.0.0.1:0", *options)
    with subprocess.Popen(
        [*before, *line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    ) as process:
        try:
            receiver = Receiver(process, dataset)
            yield receiver
            if process.poll() is None:
                assert receiver.end() == 0, receiver.said
        finally:
            process.kill()


class Counted(NamedTuple):
    """What a data set has, counted without relhealth."""

    sessions: int
    crashed: int
    errored: int
    users: int


def counted(dataset: Path) -> Counted:
    """Return the figures of a data set."""
    sums: dict[str | None, float] = {}
    members: dict[str, set[int]] = {"s:sessions/error@none": set(), "s:sessions/user@none": set()}
    for file in dataset.glob("date=*/*.parquet"):
        for row in pq.ParquetFile(file).read().to_pylist():
            if row["metric"] == "c:sessions/session@none":
                status = row["session_status"]
                sums[status] = sums.get(status, 0) + row["value"]
            elif row["metric"] in members:
                members[row["metric"]].add(row["member"])
    errors, users = members.values()
    whole = {status: int(value) for status, value in sums.items()}
    return Counted(
        whole.get("init", 0),
        whole.get("crashed", 0),
        len(errors) + whole.get("errored_preaggr", 0),
        len(users),
    )
