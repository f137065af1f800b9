"""Damaged and hostile requests: the right code, no file elsewhere, bounded memory."""

from __future__ import annotations

import gzip
import os
import socket
import time
import zlib
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import zstandard

from hostile import GOOD, PACKERS, attacks, request, status_of
from receivers import KEY, Receiver, receiving
from relhealth.receive import encodings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    dataset = tmp_path_factory.mktemp("hostile") / "data"
    with receiving(dataset, "--key", KEY, "--max-size", "5MB") as running:
        yield running


def test_some_hundred_attacks(receiver: Receiver) -> None:
    folder = receiver.dataset.parent
    before = receiver.resident()
    seen: Counter[str] = Counter()
    for attack in islice(attacks(seed=int(os.environ.get("RELHEALTH_SEED", "1"))), 400):
        status = status_of(receiver.raw(attack.sent))
        assert status in attack.right, (attack.name, status, attack.sent[:300])
        seen[attack.name] += 1
    assert len(seen) == 19
    assert receiver.resident() < before + 60
    assert receiver.metric('envelopes_total{status="500"}') == 0
    assert receiver.send(GOOD, f"/api/1/envelope/?sentry_key={KEY}").status == 200
    assert os.listdir(folder) == ["data"]
    assert set(os.listdir(receiver.dataset)) <= {"_spool", "_ledger"} | {
        name for name in os.listdir(receiver.dataset) if name.startswith("date=2026-11-")
    }
    assert not [line for line in receiver.said if "internal error" in line]


def test_requests_one_behind_the_other(receiver: Receiver) -> None:
    """Answers come in the order of the requests."""
    one = request(GOOD).replace(b"Connection: close\r\n", b"")
    bad = request(b"no envelope").replace(b"Connection: close\r\n", b"")
    answers = receiver.raw(one + bad + one + request(GOOD))
    assert [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]] == [200, 400, 200, 200]


def test_a_client_that_expects_to_be_asked(receiver: Receiver) -> None:
    sent = request(GOOD, b"Expect: 100-continue")
    answers = receiver.raw(sent)
    assert answers.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_body_in_small_pieces(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), 30) as sock:
        for part in (request(GOOD)[at : at + 40] for at in range(0, len(request(GOOD)), 40)):
            sock.sendall(part)
            time.sleep(0.01)
        assert status_of(sock.recv(65_536)) == 200


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        (b"gzip", gzip.compress(b"") * 200_000, 400),
        (b"zstd", zstandard.compress(b"") * 300_000, 400),
        (b"deflate", zlib.compress(b"a" * 5_000_001), 413),
        (b"identity", b"{}" + b"\n" * 4_900_000, 413),
    ],
    ids=["members", "frames", "a bomb", "empty lines"],
)
@pytest.mark.parametrize("path", [b"/api/1/envelope/", b"/tunnel"])
def test_what_takes_long_to_decode(
    path: bytes, encoding: bytes, body: bytes, status: int, receiver: Receiver
) -> None:
    """The time grows with the size, and nobody without a key gets further than a first line."""
    began = time.monotonic()
    sent = request(body, b"Content-Encoding: " + encoding, path=path)
    is_tunnel = path == b"/tunnel"  # where the first line must have a DSN
    assert status_of(receiver.raw(sent)) == (400 if is_tunnel else status)
    if is_tunnel:
        without = sent.replace(KEY.encode(), b"f" * 32, 1)
        assert status_of(receiver.raw(without)) in {400, 403}
    assert time.monotonic() - began < 5


def test_a_key_in_the_envelope_is_read_before_the_rest() -> None:
    """Zstd alone can give up to 8 MiB at once."""
    body = b'{"dsn":"https://a@b/1"}\n' + b"a" * (3 * 10**7)
    for encoding, pack in PACKERS.items():
        found = encodings.first_line(pack(body), encoding.decode(), 1 << 16)
        assert found.startswith(b'{"dsn":"https://a@b/1"}\n')
        assert len(found) < (9 << 20 if encoding == b"zstd" else 1 << 18)
        assert encodings.plain(pack(body), encoding.decode(), 1 << 25) == body


def test_a_head_has_an_answer_of_its_own(receiver: Receiver) -> None:
    head = b"HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = receiver.raw(head % b"/health" + head % b"/api/1/envelope/" + request(GOOD) + b"")
    assert [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]] == [200, 405, 200]
    assert answers.count(b'{"status"') == 0
    assert status_of(receiver.raw(last)) == 200


_BOUNDED = """
import sys
from dataclasses import replace
from pathlib import Path
from relhealth.output.talk import say
from relhealth.receive.limits import Limits
from relhealth.receive.server import run
from relhealth.receive.settings import Address, Settings

limits = Limits(head_seconds=1.0, request_seconds=2.0, connections=20)
run(Settings(Path(sys.argv[1]), Address("127.0.0.1", 0), limits=limits), say)
"""


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    import subprocess

    from process import environment, script

    dataset = tmp_path_factory.mktemp("bounded") / "data"
    line = script(_BOUNDED, str(dataset))
    with subprocess.Popen(line, stderr=subprocess.PIPE, env=environment()) as process:
        running = Receiver(process, dataset)
        yield running
        assert running.end() == 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 408),
        (b"POST /api/1/envelope/ HT", 408),
        (request(GOOD)[: -len(GOOD) - 2], 408),
        (request(GOOD)[:-5], 408),
    ],
    ids=["nothing", "a part of a line", "headers without an end", "a part of a body"],
)
def test_a_slow_client_is_ended(sent: bytes, status: int, bounded: Receiver) -> None:
    began = time.monotonic()
    assert status_of(bounded.raw(sent, shut=False)) == status
    assert 0.9 < time.monotonic() - began < 8


def test_a_trickle_is_ended(bounded: Receiver) -> None:
    """A byte now and then keeps no connection open."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", bounded.port), 30) as sock:
        sock.sendall(b"POST /api/1/envelope/ HTTP/1.1\r\n")
        try:
            while time.monotonic() - began < 20:
                sock.sendall(b"X: a\r\n")
                time.sleep(0.1)
        except ConnectionError:
            pass
    assert time.monotonic() - began < 8


def test_more_connections_than_allowed_are_refused(bounded: Receiver) -> None:
    made = [socket.create_connection(("127.0.0.1", bounded.port), 30) for _ in range(20)]
    try:
        until = time.monotonic() + 5
        while status_of(answer := bounded.raw(request(GOOD))) != 503:
            assert time.monotonic() < until, answer
    finally:
        for sock in made:
            sock.close()
    until = time.monotonic() + 10
    while status_of(bounded.raw(request(GOOD))) != 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert bounded.metric("refused_connections_total") >= 1


def test_a_connection_is_kept_after_a_refusal_and_a_pause(bounded: Receiver) -> None:
    """What was refused before its end is read to its end, and its time ends with it."""
    keep = request(GOOD).replace(b"Connection: close\r\n", b"")
    large = request(b"a" * (32 << 20), length=b"%d" % ((32 << 20) + 1)).replace(
        b"Connection: close\r\n", b""
    )
    with socket.create_connection(("127.0.0.1", bounded.port), 30) as sock:
        sock.sendall(large)
        assert status_of(sock.recv(65_536)) == 413
        sock.sendall(b"a")
        time.sleep(3)  # longer than a request may take
        sock.sendall(keep)
        assert status_of(sock.recv(65_536)) == 200
        time.sleep(3)
        sock.sendall(keep)
        assert status_of(sock.recv(65_536)) == 200


def test_a_body_without_an_end_is_ended(bounded: Receiver) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", bounded.port), 30) as sock:
        sock.sendall(request(b"", length=b"%d" % (1 << 40)))
        try:
            while time.monotonic() - began < 20:
                sock.sendall(b"a" * 1_000)
                time.sleep(0.01)
        except ConnectionError:
            pass
    assert time.monotonic() - began < 8
