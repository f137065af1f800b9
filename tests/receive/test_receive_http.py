"""What `relhealth receive` answers, and what of it is in the data set."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import zstandard

from command import run
from envelopes import iso, update
from places import ROOT
from receivers import AUTH, KEY, Counted, Receiver, counted, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT_ID = "9ec79c33ec9942ab8353589fcb2e04dc"
STARTED = iso(datetime.now(UTC).replace(microsecond=0))


def sent(*items: dict[str, Any] | bytes, **headers: Any) -> bytes:
    """Return an envelope; bytes are lines as they are."""
    lines = [json.dumps(headers).encode()]
    for item in items:
        if isinstance(item, bytes):
            lines.append(item)
        else:
            lines += [b'{"type":"session"}', json.dumps(item).encode()]
    return b"\n".join(lines)


def session(number: int, **fields: Any) -> dict[str, Any]:
    """Return an update of a session that started now."""
    return update(f"{number:032x}", **{"started": STARTED, "status": "exited"} | fields)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(f"# of all projects\n{KEY}\n\n7:{'7' * 16}  # of one\n")
    dataset = tmp_path_factory.mktemp("received") / "data"
    with receiving(dataset, "--keys", str(keys), "--max-size", "1MB") as running:
        yield running


GOOD = sent(session(1))
ENCODED = {
    "": GOOD,
    "identity": GOOD,
    "gzip": gzip.compress(GOOD),
    "GZIP": gzip.compress(GOOD[:40]) + gzip.compress(GOOD[40:]),
    "deflate": zlib.compress(GOOD),
    "br": brotli.compress(GOOD),
    "zstd": zstandard.ZstdCompressor().compress(GOOD),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_an_envelope_in_any_encoding(receiver: Receiver, encoding: str) -> None:
    answer = receiver.send(ENCODED[encoding], Content_Encoding=encoding, **AUTH)
    assert (answer.status, answer.document) == (200, {})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_deflate_without_the_header_of_zlib(receiver: Receiver) -> None:
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(GOOD) + packer.flush()
    assert receiver.send(body, Content_Encoding="deflate", **AUTH).status == 200


def test_the_id_of_an_event_is_in_the_answer(receiver: Receiver) -> None:
    event = b'{"type":"event","length":2}\n{}'
    answer = receiver.send(sent(event, event_id=EVENT_ID), **AUTH)
    assert (answer.status, answer.document) == (200, {"id": EVENT_ID})


IN_ENVELOPE = {"dsn": f"https://{KEY}@o1.ingest.example/1"}
PLACES = [
    ("/api/1/envelope/", AUTH, {}),
    ("/api/1/envelope", AUTH, {}),
    ("/api/1/envelope/", {"Authorization": f"Sentry sentry_key={KEY}"}, {}),
    (f"/api/1/envelope/?sentry_version=7&sentry_key={KEY}", {}, {}),
    ("/api/1/envelope/", {}, IN_ENVELOPE),
    ("/tunnel", {}, IN_ENVELOPE),
    ("/tunnel/", {}, IN_ENVELOPE),
    ("/api/7/envelope/?sentry_key=7777777777777777", {}, {}),
]


@pytest.mark.parametrize(("path", "headers", "inside"), PLACES)
def test_the_key_in_any_place(
    receiver: Receiver, path: str, headers: dict[str, str], inside: dict[str, str]
) -> None:
    answer = receiver.send(sent(session(1), **inside), path, **headers)
    assert answer.status == 200, answer.body


WRONG_KEY = {"X-Sentry-Auth": f"Sentry sentry_key={'f' * 32}"}
DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_HEADERS = b'{"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}"
ENVELOPE = "/api/1/envelope/"


def packed(encoding: str) -> dict[str, str]:
    """Return headers with an encoding."""
    return AUTH | {"Content-Encoding": encoding}


REFUSED: list[tuple[str, int, bytes, str, dict[str, str]]] = [
    ("no key", 401, GOOD, ENVELOPE, {}),
    ("no key in the tunnel", 400, GOOD, "/tunnel", {}),
    ("a wrong key", 403, GOOD, ENVELOPE, WRONG_KEY),
    ("a wrong key in the query", 403, GOOD, "/api/1/envelope/?sentry_key=wrong", {}),
    ("an empty key", 403, GOOD, "/api/1/envelope/?sentry_key=", {}),
    ("a key of another project", 403, GOOD, "/api/1/envelope/?sentry_key=7777777777777777", {}),
    (
        "a wrong key in the envelope",
        403,
        sent(session(1), dsn=f"https://{'f' * 32}@o1.example/1"),
        "/tunnel",
        {},
    ),
    ("another project in the envelope", 400, sent(dsn=f"https://{KEY}@h/2"), ENVELOPE, AUTH),
    ("a word as project", 400, GOOD, "/api/shop/envelope/", AUTH),
    ("project 0", 400, GOOD, "/api/0/envelope/", AUTH),
    ("a negative project", 400, GOOD, "/api/-1/envelope/", AUTH),
    ("a project of too many digits", 400, GOOD, f"/api/{'9' * 19}/envelope/", AUTH),
    ("other digits", 400, GOOD, "/api/%D9%A1/envelope/", AUTH),
    ("a path", 404, GOOD, "/api/../../etc/envelope/", AUTH),
    ("an encoded path", 404, GOOD, "/api/..%2f..%2fetc/envelope/", AUTH),
    ("another path", 404, GOOD, "/api/1/store/", AUTH),
    ("no body", 400, b"", ENVELOPE, AUTH),
    ("no JSON", 400, b"hello", ENVELOPE, AUTH),
    ("JSON that is no object", 400, b"[1]\n", ENVELOPE, AUTH),
    ("deep JSON", 400, DEEP, ENVELOPE, AUTH),
    ("deep JSON in headers", 400, DEEP_HEADERS, ENVELOPE, AUTH),
    ("a long line of headers", 400, b'{"a":"' + b"a" * 70_000 + b'"}', ENVELOPE, AUTH),
    ("a bad id", 400, sent(event_id="x"), ENVELOPE, AUTH),
    ("an id that is no text", 400, sent(event_id=7), ENVELOPE, AUTH),
    ("a bad dsn", 400, sent(dsn="https://example.com"), ENVELOPE, AUTH),
    ("a dsn that is no text", 400, sent(dsn=[]), ENVELOPE, AUTH),
    ("an item without a type", 400, sent(b"{}\n{}"), ENVELOPE, AUTH),
    ("an item of a bad type", 400, sent(b'{"type":1}\n{}'), ENVELOPE, AUTH),
    ("an item that ends early", 400, sent(b'{"type":"event","length":9}\n{}'), ENVELOPE, AUTH),
    ("an item that ends late", 400, sent(b'{"type":"event","length":1}\n{}'), ENVELOPE, AUTH),
    ("a negative length", 400, sent(b'{"type":"event","length":-1}\n{}'), ENVELOPE, AUTH),
    ("a length of text", 400, sent(b'{"type":"event","length":"2"}\n{}'), ENVELOPE, AUTH),
    ("a huge length", 400, sent(b'{"type":"event","length":1e99}\n{}'), ENVELOPE, AUTH),
    ("too many items", 413, sent(*[b'{"type":"event"}\n{}'] * 1_001), ENVELOPE, AUTH),
    ("too large", 413, b"a" * 1_000_001, ENVELOPE, AUTH),
    ("no gzip", 400, GOOD, ENVELOPE, packed("gzip")),
    ("cut gzip", 400, ENCODED["gzip"][:-9], ENVELOPE, packed("gzip")),
    ("no deflate", 400, GOOD, ENVELOPE, packed("deflate")),
    ("no brotli", 400, GOOD, ENVELOPE, packed("br")),
    ("cut brotli", 400, ENCODED["br"][:-5], ENVELOPE, packed("br")),
    ("no zstd", 400, GOOD, ENVELOPE, packed("zstd")),
    ("cut zstd", 400, ENCODED["zstd"][:-5], ENVELOPE, packed("zstd")),
    ("an unknown encoding", 415, GOOD, ENVELOPE, packed("lzma")),
    ("two encodings", 415, GOOD, ENVELOPE, packed("gzip, br")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "path", "headers"),
    [one[1:] for one in REFUSED],
    ids=[one[0] for one in REFUSED],
)
def test_a_request_is_refused(
    receiver: Receiver, status: int, body: bytes, path: str, headers: dict[str, str]
) -> None:
    answer = receiver.send(body, path, **headers)
    assert answer.status == status, answer.body
    assert answer.document["detail"]
    assert answer.headers["x-sentry-error"] == answer.document["detail"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert KEY.encode() not in answer.body


BOMB = b"{}\n" + b"\n" * 20_000_000
BOMBS = {
    "gzip": gzip.compress(BOMB, 9),
    "deflate": zlib.compress(BOMB, 9),
    "br": brotli.compress(BOMB, quality=5),
    "zstd": zstandard.ZstdCompressor(level=3).compress(BOMB),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_bomb_takes_no_memory(receiver: Receiver, encoding: str) -> None:
    before = receiver.resident()
    body = BOMBS[encoding]
    for _ in range(5):
        answer = receiver.send(body, Content_Encoding=encoding, **AUTH)
        assert answer.status == 413, answer.body
    assert receiver.resident() < before + 40


def test_other_methods(receiver: Receiver) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = receiver.send(method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_a_browser_may_send(receiver: Receiver) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-sentry-auth",
    }
    for path in ("/api/1/envelope/", "/tunnel"):
        answer = receiver.send(b"", path, "OPTIONS", **asked)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "POST"
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        assert {"content-type", "x-sentry-auth", "content-encoding"} <= set(allowed)


def test_health_and_metrics(receiver: Receiver) -> None:
    before = receiver.metric('envelopes_total{status="200"}')
    receiver.send(GOOD, **AUTH)
    assert receiver.metric('envelopes_total{status="200"}') == before + 1
    assert receiver.metric("seconds_count") >= before
    answer = receiver.send(method="GET", path="/health")
    assert (answer.status, answer.document["status"]) == (200, "ok")


def test_metrics_are_in_the_format_of_prometheus(receiver: Receiver) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    receiver.send(sent(b'{"type":"session"}\n{"sid":"no start"}'), **AUTH)
    answer = receiver.send(method="GET", path="/metrics")
    found = {one.name for one in text_string_to_metric_families(answer.body.decode())}
    assert {"relhealth_receive_envelopes", "relhealth_receive_seconds"} <= found
    until = time.monotonic() + 60  # the first ingest begins with the receiver
    while not receiver.metric("last_ingest_seconds"):
        assert time.monotonic() < until, receiver.said
        time.sleep(0.1)


def test_what_is_acknowledged_is_in_the_data_set_once(tmp_path: Path) -> None:
    """Each update is sent twice, in envelopes with items of others, and one item is bad."""
    event = b'{"type":"event","length":4}\n{\n\n}'
    bad = b'{"type":"session"}\n{"sid":"without a start"}'
    aggregates = (
        b'{"type":"sessions"}\n{"aggregates":[{"started":"%s","exited":3,"crashed":1}],'
        b'"attrs":{"release":"shop@1.0.0"}}' % STARTED.encode()
    )
    with receiving(tmp_path / "data", "--every", "1s") as receiver:
        for number in range(50):
            status = "crashed" if number % 5 == 0 else "exited"
            for _ in range(2):
                body = sent(
                    event,
                    session(number, status="ok", did=f"user-{number % 7}"),
                    bad,
                    session(number, init=None, status=status, did=f"user-{number % 7}"),
                )
                assert receiver.send(body, **AUTH).status == 200
        assert receiver.send(sent(aggregates), **AUTH).status == 200
        assert receiver.metric('items_total{kind="session"}') == 201
        assert receiver.metric('items_total{kind="other"}') == 100
    assert counted(tmp_path / "data") == Counted(54, 11, 11, 7)
    assert not list((tmp_path / "data" / "_spool").iterdir())
    asked = run("overview", str(tmp_path / "data"), "-f", "json")
    (row,) = json.loads(asked.out)["data"]
    assert (row["total_sessions"], row["total_users"], row["sessions_crashed"]) == (54, 7, 11)


def test_users_are_hashes_once_they_are_ingested(tmp_path: Path) -> None:
    with receiving(tmp_path / "data") as receiver:
        assert receiver.send(sent(session(1, did="ann@shop.example")), **AUTH).status == 200
        (spooled,) = (tmp_path / "data" / "_spool").glob("*.envelopes")
        assert spooled.stat().st_mode & 0o777 == 0o600
        assert spooled.parent.stat().st_mode & 0o777 == 0o700
    everything = b"".join(
        path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()
    )
    assert b"ann@shop.example" not in everything
    assert counted(tmp_path / "data").users == 1


@pytest.mark.parametrize(
    "file", sorted((ROOT / "tests/data/envelopes").iterdir()), ids=lambda p: p.stem
)
def test_recorded_envelopes_of_sdks_are_taken(receiver: Receiver, file: Path) -> None:
    before = receiver.metric('items_total{kind="session"}')
    assert receiver.send(file.read_bytes(), **AUTH).status == 200
    assert receiver.metric('items_total{kind="session"}') == before + 1


def test_recorded_envelopes_count_as_by_an_ingest(tmp_path: Path) -> None:
    files = sorted((ROOT / "tests/data/envelopes").iterdir())
    with receiving(tmp_path / "data") as receiver:
        for file in [*files, *(one for one in files if b'"aggregates"' not in one.read_bytes())]:
            assert receiver.send(file.read_bytes(), **AUTH).status == 200
    whole = tmp_path / "all.envelope"
    whole.write_bytes(b"".join(file.read_bytes() + b"\n" for file in files))
    assert run("ingest", str(whole), "--to", str(tmp_path / "apart"), "--project", "1").code == 0
    assert counted(tmp_path / "data") == counted(tmp_path / "apart") != Counted(0, 0, 0, 0)
