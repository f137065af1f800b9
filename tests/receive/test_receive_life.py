"""A receiver from its start to its end, and after a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from command import run
from envelopes import iso, update
from process import command, environment, finish, script
from receivers import AUTH, KEY, Counted, Receiver, counted, receiving
from relhealth.ingest import entries

if TYPE_CHECKING:
    from pathlib import Path

STARTED = datetime.now(UTC).replace(microsecond=0)


def envelope(number: int, **fields: Any) -> bytes:
    """Return an envelope with one complete session."""
    given = update(f"{number:032x}", **{"started": iso(STARTED), "status": "exited"} | fields)
    return b'{}\n{"type":"session"}\n' + json.dumps(given).encode()


REFUSED = [
    (["--listen", "0.0.0.0:0"], "a key is required"),
    (["--listen", "[::]:0"], "a key is required"),
    (["--listen", "example.com:1"], "a key is required"),
    (["--listen", "8090"], "expected HOST:PORT"),
    (["--listen", "127.0.0.1:99999"], "expected HOST:PORT"),
    (["--key", "short"], "openssl rand -hex 16"),
    (["--key", f"shop:{KEY}"], "openssl rand -hex 16"),
    (["--keys", "/nowhere/keys"], "--keys /nowhere/keys: no such file or directory"),
    (["--keys", os.devnull], "no key in this file"),
    (["--forward", "sentry.io"], "expected a DSN"),
    (["--forward", f"ftp://{KEY}@sentry.io/1"], "expected a DSN"),
    (["--forward-limits"], "--forward-limits needs --forward"),
    (["--tls-cert", "cert.pem"], "--tls-cert and --tls-key need each other"),
    (["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "--tls-cert /nowhere: no such file"),
    (["--every", "soon"], "--every soon: expected a length"),
    (["--every", "0s"], "--every 0s: expected a length"),
    (["--keep", "90"], "--keep 90: expected days"),
    (["--keep", "0d"], "--keep 0d: expected 1d to"),
    (["--max-spool", "much"], "--max-spool"),
    (["--max-size", "1"], "--max-size"),
    (["--memory-limit", "1"], "memory limit"),
    (["--dimension", "release"], "release"),
    (["--engine", "spark"], "receive writes files on this machine"),
]


@pytest.mark.parametrize(("options", "reason"), REFUSED, ids=lambda one: " ".join(one)[:40])
def test_a_start_is_refused(options: list[str], reason: str, tmp_path: Path) -> None:
    ended = run("receive", "--to", str(tmp_path / "data"), *options)
    assert ended.code == 2
    assert reason in ended.err
    assert KEY not in ended.err
    assert not (tmp_path / "data").exists()


def test_a_store_is_refused() -> None:
    ended = run("receive", "--to", "s3://bucket/data")
    assert ended.code == 2
    assert "s3://bucket/data" in ended.err


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("receive", "--to", str(tmp_path / "data"), "--listen", f"127.0.0.1:{port}")
    assert ended.code == 2
    assert f"--listen 127.0.0.1:{port}: address already in use" in ended.err


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    ended = run("receive", "--to", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert ended.code == 4
    assert "data" in ended.err


_WITHOUT_EXTRA = """
import sys
sys.modules["uvicorn"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "uvicorn" else find(name, *rest)
from relhealth.__main__ import main
sys.exit(main(["receive", "--to", sys.argv[1]]))
"""


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    ended = finish(script(_WITHOUT_EXTRA, str(tmp_path / "data")))
    assert ended.code == 2
    assert ended.err == (
        "relhealth: error: receive needs more packages: pip install 'relhealth[receive]'\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_a_last_ingest(number: int, tmp_path: Path) -> None:
    with receiving(tmp_path / "data", "--every", "1h") as receiver:
        time.sleep(1)  # behind the first ingest
        for each in range(5):
            assert receiver.send(envelope(each), **AUTH).status == 200
        assert receiver.end(number) == 0
    assert counted(tmp_path / "data").sessions == 5
    assert receiver.said[-1] == "relhealth: ending: what was received is ingested"


def test_quiet_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = ["receive", "--to", str(tmp_path / "data"), "--listen", f"127.0.0.1:{port}", "-q"]
    with subprocess.Popen(command(*line), stderr=subprocess.PIPE, env=environment()) as process:
        while True:
            try:
                connection = HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200
            except OSError:
                time.sleep(0.05)
            else:
                break
            finally:
                connection.close()
        process.terminate()
        assert process.communicate()[1] == b""
    assert process.returncode == 0


def test_the_key_can_come_from_the_environment(tmp_path: Path) -> None:
    with receiving(tmp_path / "data", RELHEALTH_RECEIVE_KEY=KEY) as receiver:
        assert receiver.send(envelope(1)).status == 401
        assert receiver.send(envelope(1), **AUTH).status == 200


def test_the_access_log_has_no_key(tmp_path: Path) -> None:
    with receiving(tmp_path / "data", "--access-log", "--key", KEY) as receiver:
        receiver.send(envelope(1), f"/api/1/envelope/?sentry_key={KEY}")
        receiver.send(envelope(1), "/api/1/envelope/")
        assert receiver.end() == 0
    lines = [json.loads(line) for line in receiver.said if line.startswith("{")]
    assert [line["status"] for line in lines] == [200, 401]
    assert (lines[0]["path"], lines[0]["project"], lines[0]["sessions"]) == (
        "/api/1/envelope/",
        1,
        1,
    )
    assert lines[1]["reason"] == "missing authorization information"
    assert KEY not in "".join(receiver.said)


def test_metrics_on_a_port_of_their_own(tmp_path: Path) -> None:
    with receiving(tmp_path / "data", "--metrics-listen", "127.0.0.1:0") as receiver:
        until = time.monotonic() + 30
        while not any("metrics on" in line for line in receiver.said):
            assert time.monotonic() < until
            time.sleep(0.05)
        (line,) = (line for line in receiver.said if "metrics on" in line)
        assert receiver.send(method="GET", path="/metrics").status == 404
        assert receiver.send(method="GET", path="/health").status == 404
        assert receiver.send(envelope(1), **AUTH).status == 200
        own = receiver.at(int(line.rpartition(":")[2].partition("/")[0]))
        assert own.send(method="GET", path="/health").status == 200
        assert own.metric('envelopes_total{status="200"}') == 1
        assert own.send(envelope(1), **AUTH).status == 404


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(STARTED - timedelta(days=1))
        .not_valid_after(STARTED + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    encoding = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    import http.client

    cert, key = map(str, certificate)
    with receiving(tmp_path / "data", "--tls-cert", cert, "--tls-key", key) as receiver:
        context = ssl.create_default_context(cafile=cert)
        connection = http.client.HTTPSConnection("localhost", receiver.port, context=context)
        connection.request("POST", "/api/1/envelope/", envelope(1), AUTH)
        assert connection.getresponse().status == 200
        connection.close()
        assert b"200" not in receiver.raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert any(line.startswith("relhealth: listening on https://") for line in receiver.said)


_SILENT = """
import sys
from pathlib import Path
from relhealth.output.talk import say
from relhealth.receive.limits import Limits
from relhealth.receive.server import run
from relhealth.receive.settings import Address, Settings

dataset, cert, key = map(Path, sys.argv[1:])
limits = Limits(head_seconds=1.5, connections=5)
address = Address("127.0.0.1", 0)
run(Settings(dataset, address, tls_cert=cert, tls_key=key, limits=limits), say)
"""


def test_connections_count_before_their_handshake(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    line = script(_SILENT, str(tmp_path / "data"), *map(str, certificate))
    with subprocess.Popen(line, stderr=subprocess.PIPE, env=environment()) as process:
        receiver = Receiver(process, tmp_path / "data")
        silent = [socket.create_connection(("127.0.0.1", receiver.port), 30) for _ in range(12)]
        for sock in silent[5:]:  # one after another, in the order in which they came
            assert sock.recv(1) == b""
        began = time.monotonic()
        for sock in silent[:5]:
            with suppress(ConnectionError):
                assert sock.recv(1) == b""
        assert time.monotonic() - began < 8
        for sock in silent:
            sock.close()
        context = ssl.create_default_context(cafile=certificate[0])
        with (
            socket.create_connection(("127.0.0.1", receiver.port), 30) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as wrapped,
        ):
            wrapped.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with wrapped.makefile("rb") as answer:
                assert b"\nrelhealth_receive_refused_connections_total 7\n" in answer.read()
        assert receiver.end() == 0


def test_two_receivers_and_an_ingest_on_one_data_set(tmp_path: Path) -> None:
    source = tmp_path / "own.envelope"
    source.write_bytes(envelope(1) + b"\n" + envelope(1_000) + b"\n")
    dataset = tmp_path / "data"
    with (
        receiving(dataset, "--every", "1s") as first,
        receiving(dataset, "--every", "1s") as second,
    ):
        for number in range(40):
            for receiver in (first, second):  # the same sessions
                assert receiver.send(envelope(number), **AUTH).status == 200
            if number == 20:
                line = ("ingest", str(source), "--to", str(dataset), "--project", "1")
                assert run(*line).code == 0
    assert counted(dataset).sessions == 41


def test_readers_see_what_was_received(tmp_path: Path) -> None:
    with receiving(tmp_path / "data", "--every", "1s") as receiver:
        for number in range(10):
            assert receiver.send(envelope(number, status="crashed"), **AUTH).status == 200
        until = time.monotonic() + 30
        while counted(tmp_path / "data").crashed < 10:
            assert time.monotonic() < until, receiver.said
            time.sleep(0.1)
        asked = run("overview", str(tmp_path / "data"), "-f", "json")
        assert json.loads(asked.out)["data"][0]["sessions_crashed"] == 10


def old_days(dataset: Path, *ages: int) -> None:
    """Make a data set with a session of each age in days."""
    lines = [envelope(age, started=iso(STARTED - timedelta(days=age))) for age in ages]
    source = dataset.parent / "old.envelope"
    source.write_bytes(b"\n".join(lines) + b"\n")
    line = ("ingest", str(source), "--to", str(dataset), "--project", "1", "--retention", "999d")
    assert run(*line).code == 0


def test_old_days_are_removed_and_small_files_merged(tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    old_days(dataset, 1, 29, 30, 31, 200)
    for number in (500, 501):
        source = tmp_path / f"{number}.envelope"
        source.write_bytes(envelope(number))
        assert run("ingest", str(source), "--to", str(dataset), "--project", "1").code == 0
    assert len(list(dataset.glob(f"date={STARTED:%Y-%m-%d}/*.parquet"))) == 2
    with receiving(dataset, "--keep", "30d") as receiver:
        until = time.monotonic() + 30
        while not any("removed 2 days older than 30 days" in line for line in receiver.said):
            assert time.monotonic() < until, receiver.said
            time.sleep(0.1)
        late = envelope(900, started=iso(STARTED - timedelta(days=40)))
        assert receiver.send(late, **AUTH).status == 200
    days = {path.name.removeprefix("date=") for path in dataset.glob("date=*")}
    assert days == {f"{STARTED - timedelta(days=age):%Y-%m-%d}" for age in (0, 1, 29, 30)}
    assert days == {
        path.name.removeprefix("date=") for path in (dataset / "_ledger").glob("date=*")
    }
    assert len(list(dataset.glob(f"date={STARTED:%Y-%m-%d}/*.parquet"))) == 1
    assert any("rejected: started more than 30 days ago" in line for line in receiver.said)
    assert counted(dataset).sessions == 5


def test_the_ledger_does_not_grow_with_each_ingest(tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    old_days(dataset, 1)
    for number in range(3):
        with receiving(dataset) as receiver:  # each start compacts
            assert receiver.send(envelope(1_000 + number), **AUTH).status == 200
    known = entries.read(dataset / "_ledger" / "inputs.jsonl").entries
    paths = [entry.content.path for entry in known.values()]
    assert sum("/_spool/" in path for path in paths) == 2  # the last, and that of the last start
    assert sum(path.endswith("old.envelope") for path in paths) == 1
    assert max(known) == 4
    assert counted(dataset).sessions == 4


def test_a_minute_is_told() -> None:
    from relhealth.receive.counting import Minute
    from relhealth.receive.envelope import read_items

    minute = Minute()
    assert minute.line() is None
    for number in range(200):
        status = "crashed" if number == 7 else "exited"
        body = envelope(number % 100, status=status, did=f"user-{number % 10}")
        minute.add(1, read_items(body, 10).sessions)
    assert minute.line() == "100 sessions, 10 users; crash-free: shop@1.0.0 99.00% of 100"
    other = envelope(1, attrs={"release": "web@2"})
    minute.add(2, read_items(other, 10).sessions)
    assert minute.line() == (
        "101 sessions, 10 users; crash-free: 1/shop@1.0.0 99.00% of 100, 2/web@2 100% of 1"
    )
    for number in range(3_000):
        body = envelope(number, attrs={"release": f"r{number}"})
        minute.add(1, read_items(body, 10).sessions)
    line = minute.line()
    assert line is not None
    assert line.endswith("and 996 more")


def send_until_killed(
    receiver: Receiver, sent: set[int], acknowledged: set[int], number: int
) -> None:
    """Send each fourth session."""
    while True:
        sent.add(number)
        try:
            answer = receiver.send(envelope(number), **AUTH)
        except (OSError, HTTPException):
            return
        if answer.status == 200:
            acknowledged.add(number)
        number += 4


def kill_and_restart(dataset: Path, kills: int, seed: int) -> None:
    """Kill receivers at random moments while four clients send; compare what was acknowledged."""
    chance = random.Random(seed)
    acknowledged: set[int] = set()
    sent: set[int] = set()
    for turn in range(kills):
        with receiving(dataset, "--every", "1s") as receiver:
            given = receiver, sent, acknowledged
            workers = [
                threading.Thread(target=send_until_killed, args=(*given, turn * 100_000 + n))
                for n in range(4)
            ]
            for worker in workers:
                worker.start()
            time.sleep(chance.uniform(0.05, 2.0))
            receiver.process.kill()
            receiver.process.wait()
            for worker in workers:
                worker.join()
    with receiving(dataset) as receiver:
        # What was not acknowledged is sent again, as an SDK would, and some of the rest.
        for number in sorted(sent - acknowledged) + sorted(acknowledged)[:50]:
            assert receiver.send(envelope(number), **AUTH).status == 200
    assert counted(dataset) == Counted(len(sent), 0, 0, 0)
    assert not list((dataset / "_spool").iterdir())


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_at_any_moment_nothing_acknowledged_is_lost(kills: int, tmp_path: Path) -> None:
    kill_and_restart(tmp_path / "data", kills, seed=kills)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does, until the spool is ingested."""
    limited = ("bash", "-c", 'ulimit -f 64; exec "$@"', "bash")
    statuses: dict[int, set[int]] = {200: set(), 429: set()}
    with receiving(tmp_path / "data", "--every", "2s", before=limited) as receiver:
        padding = {"attrs": {"release": "shop@1.0.0", "other": "a" * 8_000}}
        for number in range(40):
            answer = receiver.send(envelope(number, **padding), **AUTH)
            statuses[answer.status].add(number)
            if answer.status == 429:
                assert answer.headers["retry-after"] == "60"
                assert answer.headers["x-sentry-rate-limits"] == "60:session:organization"
    told = [line for line in receiver.said if "refused with 429" in line]
    assert told
    assert all(line.endswith("_spool: file too large") for line in told)
    assert statuses[200]
    assert statuses[429]
    assert counted(tmp_path / "data").sessions == len(statuses[200])


def test_more_than_the_spool_may_have_is_refused(tmp_path: Path) -> None:
    line = ("--every", "1h", "--max-spool", "10kB")
    with receiving(tmp_path / "data", *line) as receiver:
        time.sleep(1)
        statuses = [receiver.send(envelope(number), **AUTH).status for number in range(60)]
        assert receiver.send(method="GET", path="/health").status == 503
        # What has no sessions needs no room.
        event = b'{}\n{"type":"event"}\n{}'
        assert receiver.send(event, **AUTH).status == 200
    (told,) = [line for line in receiver.said if "refused with 429" in line]
    assert told.endswith(" bytes wait for an ingest, and --max-spool is 10,000")
    taken = statuses.index(429)
    assert 10 < taken < 60
    assert statuses == [200] * taken + [429] * (60 - taken)
    assert counted(tmp_path / "data").sessions == taken


def test_the_first_receiver_removes_no_history_by_default(tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    old_days(dataset, 1, 200)
    days = sorted(path.name for path in dataset.glob("date=*"))
    refused = run("receive", "--to", str(dataset), "--listen", "127.0.0.1:0")
    assert refused.code == 2
    assert "say with --keep how many days to keep" in refused.err
    assert sorted(path.name for path in dataset.glob("date=*")) == days
    with receiving(dataset, "--keep", "999d"):
        pass
    with receiving(dataset) as receiver:  # it goes on with what one before has left
        until = time.monotonic() + 30
        while not any("removed 1 day" in line for line in receiver.said):
            assert time.monotonic() < until, receiver.said
            time.sleep(0.1)
