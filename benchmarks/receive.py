"""Measure `relhealth receive`: envelopes a second, latency, memory, and whether each counts once.

    pip install -e '.[bench]'
    python benchmarks/receive.py
    python benchmarks/receive.py --rate 3000 --seconds 60 --asking

The client is another process on the same cores. It sends by the clock, whether answers come or not,
over connections that stay open, as proxies in front of a receiver do; a latency counts from the
moment at which the request was due. Each session is two updates, and the last of twenty is sent
twice, as after a lost answer. With `--asking`, `relhealth overview` runs each second meanwhile. At
the end, the data set must have each session exactly once. A lost or doubled session changes the
exit code; a missed bar does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.dataset as ds
import uvloop

RELHEALTH = [sys.executable, "-m", "relhealth"]
STATUSES = ("exited", "exited", "exited", "crashed", "exited", "abnormal", "exited", "exited")


def envelope(number: int, started: str, *, first: bool) -> bytes:
    """Return the first or the last update of a session, as the SDK for JavaScript sends it."""
    status = "ok" if first else STATUSES[number % len(STATUSES)]
    item = (
        f'{{"sid":"{number:032x}","init":{"true" if first else "false"},"started":"{started}",'
        f'"timestamp":"{started}","status":"{status}","errors":0,"did":"user-{number % 50_000}",'
        f'"duration":12.5,"attrs":{{"release":"shop@{number % 7}.0.0","environment":"production",'
        '"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}}'
    )
    return (
        f'{{"sent_at":"{started}","sdk":{{"name":"sentry.javascript.browser","version":"11"}}}}\n'
        f'{{"type":"session"}}\n{item}'
    ).encode()


class Sent(NamedTuple):
    """What a client sent: latencies in seconds, answers by status, and the sessions answered."""

    seconds: list[float]
    statuses: dict[int, int]
    acknowledged: set[int]


class Connection(asyncio.Protocol):
    """A connection on which one request at a time is sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sent: Sent) -> None:
        """Send later."""
        self.loop, self.sent = loop, sent
        self.waiting: list[tuple[float, int, bytes]] = []
        self.current: tuple[float, int] | None = None
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def send(self, due: float, number: int, request: bytes) -> None:
        """Send a request, or queue it behind the one that waits for its answer."""
        if self.current is not None:
            self.waiting.append((due, number, request))
            return
        self.current = due, number
        self.transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take an answer, of one or more pieces."""
        self.answer += data
        head, end, body = self.answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *([0-9]+)", head)
        if not end or length is None or len(body) < int(length[1]):
            return
        assert self.current is not None
        due, number = self.current
        status = int(self.answer[9:12])
        self.answer = b""
        self.sent.seconds.append(self.loop.time() - due)
        self.sent.statuses[status] = self.sent.statuses.get(status, 0) + 1
        if status == 200:  # noqa: PLR2004 - OK
            self.sent.acknowledged.add(number)
        self.current = None
        if self.waiting:
            self.send(*self.waiting.pop(0))


async def load(port: int, rate: int, seconds: float, connections: int) -> Sent:
    """Send envelopes by the clock."""
    loop = asyncio.get_running_loop()
    sent = Sent([], {}, set())
    made = [
        (await loop.create_connection(lambda: Connection(loop, sent), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    head = (
        "POST /api/1/envelope/?sentry_key=0123456789abcdef0123456789abcdef&sentry_version=7 "
        "HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: "
    )
    now = datetime.now(UTC)
    started = [
        (now - timedelta(seconds=n)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for n in range(600)
    ]
    begin, number = loop.time() + 0.2, 0
    total = int(rate * seconds) // 21 * 21  # each session to its end
    while number < total:
        due = begin + number / rate
        wait = due - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        while number < total and begin + number / rate <= loop.time():
            block, within = divmod(number, 21)
            update = 20 * block + min(within, 19)  # the last of twenty is sent twice
            session = update // 2
            body = envelope(session, started[session % 600], first=update % 2 == 0)
            request = f"{head}{len(body)}\r\n\r\n".encode() + body
            made[number % connections].send(begin + number / rate, session, request)
            number += 1
    while any(each.current or each.waiting for each in made):  # noqa: ASYNC110 - a poll is enough
        await asyncio.sleep(0.01)
    return sent


def client(port: int, rate: int, seconds: float, connections: int) -> None:
    """Send, and print what came of it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sent = runner.run(load(port, rate, seconds, connections))
    ordered = sorted(sent.seconds)
    json.dump(
        {
            "requests": len(ordered),
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
            "p999": ordered[len(ordered) * 999 // 1000],
            "worst": ordered[-1],
            "statuses": sent.statuses,
            "acknowledged": sorted(sent.acknowledged),
        },
        sys.stdout,
    )


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def wait_for(port: int) -> None:
    """Return when somebody listens on a port."""
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def resident(process: int) -> int:
    """Return the resident megabytes of a process."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1000
    return 0


def processor_seconds(process: int) -> float:
    """Return the processor time of a process, without its children's."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Return the processor time that the machine has used since its start."""
    used = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    idle = int(used[3]) + int(used[4])
    return (sum(map(int, used[:8])) - idle) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


class Counted(NamedTuple):
    """What a data set has."""

    sessions: int
    crashed: int
    users: int


def counted(dataset: Path) -> Counted:
    """Return the figures of a data set, counted without relhealth."""
    table = ds.dataset(sorted(map(str, dataset.glob("date=*/*.parquet")))).to_table()
    counter = pc.equal(table["metric"], "c:sessions/session@none")

    def total(status: str) -> int:
        chosen = table.filter(pc.and_(counter, pc.equal(table["session_status"], status)))
        return int(pc.sum(chosen["value"]).as_py() or 0)

    users = table.filter(pc.equal(table["metric"], "s:sessions/user@none"))
    return Counted(total("init"), total("crashed"), pc.count_distinct(users["member"]).as_py())


def ask(dataset: Path, ends: threading.Event, took: list[float]) -> None:
    """Run an overview each second."""
    while not ends.wait(max(0.0, 1 - (took[-1] if took else 0))):
        began = time.monotonic()
        if any(dataset.glob("date=*")):
            line = [*RELHEALTH, "overview", str(dataset), "-f", "json", "-q"]
            subprocess.run(line, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
        took.append(time.monotonic() - began)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=3_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--every", default="10s", help="of the receiver's ingest")
    parser.add_argument("--asking", action="store_true")
    parser.add_argument("--client", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client(given.client, given.rate, given.seconds, given.connections)
        return 0
    with tempfile.TemporaryDirectory(prefix="receive-", dir=os.environ.get("TMPDIR")) as folder:
        return measure(given, Path(folder) / "data")


def measure(given: argparse.Namespace, dataset: Path) -> int:
    """Run a receiver under load, and compare what it has with what it acknowledged."""
    port = free_port()
    line = [*RELHEALTH, "receive", "--to", str(dataset), "--listen", f"127.0.0.1:{port}"]
    line += ["--every", given.every]
    ends, others = threading.Event(), busy_seconds() - own_seconds()
    took: list[float] = []
    memory: list[bytes] = []
    with subprocess.Popen(line, stderr=subprocess.PIPE) as receiver:  # noqa: S603 - ours
        wait_for(port)
        asking = threading.Thread(target=ask, args=(dataset, ends, took))
        if given.asking:
            asking.start()
        sending = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, *sys.argv, "--client", str(port)], stdout=subprocess.PIPE
        )
        reading = threading.Thread(target=lambda: memory.append(sending.communicate()[0]))
        reading.start()
        seen = []
        while reading.is_alive():
            seen.append(resident(receiver.pid))
            reading.join(1.0)
        sent = json.loads(memory[0])
        used = processor_seconds(receiver.pid)
        ends.set()
        if given.asking:
            asking.join()
        ended = time.monotonic()
        receiver.send_signal(signal.SIGTERM)
        _, said = receiver.communicate(timeout=600)
        ended = time.monotonic() - ended
    others = busy_seconds() - own_seconds() - others
    found, sessions = counted(dataset), sent["acknowledged"]
    wanted = Counted(
        len(sessions),
        sum(STATUSES[number % len(STATUSES)] == "crashed" for number in sessions),
        len({number % 50_000 for number in sessions}),
    )
    print(f"{given.rate:,} envelopes a second for {given.seconds:g} s: {sent['requests']:,} sent")
    print(f"answers           {sent['statuses']}")
    for name in ("p50", "p99", "p999", "worst"):
        print(f"{name:<17} {1000 * sent[name]:.1f} ms")
    third = max(1, len(seen) // 3)
    print(f"resident          {seen[0]} MB at the start, {max(seen)} MB at most")
    early, late = max(seen[:third]), max(seen[-third:])
    print(f"                  {early} MB in the first third, {late} MB in the last")
    print(f"last ingest       {ended:.1f} s, exit code {receiver.returncode}")
    print(f"processor         {1e6 * used / sent['requests']:.0f} µs of the receiver an envelope")
    print(f"                  {others:.0f} s of other processes of the machine meanwhile")
    if took:
        print(f"overviews         {len(took)}, {sum(took) / len(took):.2f} s each")
    print(f"sessions          {wanted} acknowledged, {found} counted")
    lost, doubled = (
        max(0, wanted.sessions - found.sessions),
        max(0, found.sessions - wanted.sessions),
    )
    print(f"lost, doubled     {lost}, {doubled}")
    print(said.decode().strip())
    return 0 if wanted == found and receiver.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
