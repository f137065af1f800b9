"""Ingested sessions against the plain rules, with every item accounted for."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from command import run
from envelopes import NIL, NOON, envelope, expected, ingest, iso, rejects_of, rows_of, update

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDS = st.sampled_from(["a" * 32, "b" * 32, "B" * 32, "c1d2c3d4-0000-4000-8000-00000000000f"])
USERS = st.sampled_from([None, "user-1", "user-2", "Ü 3", NIL, "0" * 32, ""])
ATTRS = st.fixed_dictionaries(
    {"release": st.sampled_from(["shop@1.0.0", "shop@1.1.0", 'it\'s "健康"', None])},
    optional={"environment": st.sampled_from(["production", "", None])},
)
STARTS = st.integers(0, 3 * 86_400 * 10**6).map(lambda us: iso(NOON - timedelta(microseconds=us)))
LASTED = st.none() | st.floats(0, 1e6).map(lambda value: round(value, 3))
UPDATES = st.builds(
    update,
    SIDS,
    init=st.booleans() | st.none(),
    started=STARTS,
    timestamp=st.none() | STARTS,
    status=st.sampled_from(["ok", "exited", "errored", "crashed", "abnormal", "unhandled", None]),
    errors=st.integers(0, 3) | st.none(),
    did=USERS,
    duration=LASTED,
    attrs=ATTRS | st.none(),
    abnormal_mechanism=st.sampled_from([None, "anr_foreground"]),
)
COUNTS = st.integers(0, 5)
AGGREGATES = st.builds(
    lambda attrs, aggregates: {"aggregates": aggregates, "attrs": attrs},
    ATTRS,
    st.lists(
        st.fixed_dictionaries(
            {"started": STARTS},
            optional=dict.fromkeys(
                ["exited", "errored", "crashed", "abnormal", "unhandled"], COUNTS
            ),
        ),
        max_size=3,
    ),
)
OTHERS = st.sampled_from([b'{"type":"event","length":3}\n{}\n', b'{"type":"log"}\nx'])
ENVELOPES = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 42]),
        st.booleans(),
        st.lists(UPDATES | AGGREGATES | OTHERS, max_size=8),
        st.integers(1, 12),  # so that batches and single updates both come up
    ),
    max_size=4,
)


def by_day(delivered: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Order updates as ties are broken: if several of a session differ, the earliest counts."""

    def key(one: tuple[int, Any]) -> tuple[Any, ...]:
        payload = one[1]
        attrs = payload.get("attrs") or {}
        return (
            payload.get("started", ""),
            attrs.get("release") or "\U0010ffff",  # none comes last
            attrs.get("environment") if attrs.get("environment") is not None else "\U0010ffff",
            payload.get("status") or "ok",
            *_lasted(payload),
            payload.get("abnormal_mechanism") or "\U0010ffff",
        )

    return sorted(delivered, key=key)


def _lasted(payload: Any) -> tuple[bool, float]:
    """Return the duration, such that none comes last."""
    if (payload.get("status") or "ok") != "exited":
        return True, 0.0
    lasted = payload.get("duration")
    if lasted is None and payload.get("timestamp"):
        ended, started = (datetime.fromisoformat(payload[at]) for at in ("timestamp", "started"))
        lasted = (ended - started).total_seconds() if ended >= started else None
    return lasted is None, lasted or 0.0


Envelopes = list[tuple[int, bool, list[Any], int]]


@settings(max_examples=10)
@given(ENVELOPES)
def test_histories_become_the_rows_that_they_emit(given_envelopes: Envelopes) -> None:
    check_rows(given_envelopes)


@pytest.mark.slow
@settings(max_examples=30)
@given(ENVELOPES)
def test_many_histories_become_the_rows_that_they_emit(given_envelopes: Envelopes) -> None:
    check_rows(given_envelopes)


def check_rows(given_envelopes: Envelopes) -> None:
    stream, delivered, passed_over = b"", [], 0
    for project, length, items, times in given_envelopes:
        stream += envelope(*(items * times), project=project, length=length)
        passed_over += sum(isinstance(item, bytes) for item in items) * times
        delivered += [(project, item) for item in items * times if not isinstance(item, bytes)]
    with tempfile.TemporaryDirectory() as name:
        source, dataset = Path(name) / "in.envelope", Path(name) / "data"
        source.write_bytes(stream)
        told = ingest(source, dataset, code=0 if delivered else 4)
        assert not told["rejected"]
        assert sum(told["passed_over"].values()) == passed_over
        assert sum(told["accepted"].values()) == len(delivered)
        rows = rows_of(dataset)
    days = {payload["started"][:10] for _, payload in delivered if "sid" in payload}
    wanted = expected([one for one in delivered if "sid" not in one[1]])
    for day in days:  # a session's updates share their start, so a day is judged by itself
        of_day = [one for one in delivered if one[1].get("started", "").startswith(day)]
        wanted += expected(by_day(of_day))
    assert rows == wanted
    assert told["sessions"] == sum(row[8] * n for row, n in rows.items() if row[6] == "init")
    assert sum(told["rows"].values()) == rows.total()


WHOLE = envelope(
    *[update(f"{number:032x}", did=f"user-{number}", status="exited") for number in range(80)],
    b'{"type":"event","length":3}\n{}\n',
    {"aggregates": [{"started": iso(NOON), "exited": 3}], "attrs": {"release": "a"}},
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return an envelope with some bytes and lines changed, doubled, cut or moved."""
    stream = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(stream)))
        match draw(st.sampled_from(["put", "cut", "double", "end", "join", "split"])):
            case "put":
                stream[at : at + 1] = draw(st.binary(max_size=3))
            case "cut":
                del stream[at : at + draw(st.integers(1, 300))]
            case "double":
                stream[at:at] = stream[at : at + draw(st.integers(1, 300))]
            case "end":
                del stream[at:]
            case "join":
                stream[at:] = stream[at:].replace(b"\n", b"", 1)
            case "split":
                stream[at:at] = b"\n"
    return bytes(stream)


BROKEN = mutated() | st.binary(max_size=300)
KINDS = st.sampled_from(["", "envelopes", "buckets", "jsonl", "csv"])


@settings(max_examples=20)
@given(BROKEN, KINDS)
@example(b"", "")
@example(b"\x1f\x8b", "")
@example(b"{}\n" + b'{"type":"session"}\n' + b"[" * 100_000, "")
@example(b"{}\n" + b'{"type":"session","length":99999999}\n{}', "")
@example(b"{}\n" + b'{"type":"session","length":-1}\n{}', "")
@example(b"\xff\xfe\n" * 3, "envelopes")
def test_every_item_is_accounted_for(stream: bytes, kind: str) -> None:
    check_items(stream, kind)


@pytest.mark.slow
@settings(max_examples=75)
@given(BROKEN, KINDS)
def test_every_item_of_many_inputs_is_accounted_for(stream: bytes, kind: str) -> None:
    check_items(stream, kind)


def check_items(stream: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, dataset = Path(name) / "in", Path(name) / "data"
        source.write_bytes(stream)
        line = ("ingest", str(source), "--to", str(dataset), "--now", iso(NOON), "-p", "1")
        result = run(*line, "-f", "json", *(("--from", kind) if kind else ()))
        if result.code != 0:  # a table without its columns, or too much that is rejected
            assert result.code == 4, result.err
            assert "internal error" not in result.err
        if not result.out:
            return
        told = json.loads(result.out)["data"]
        kept = rejects_of(dataset)
        assert len(kept) == sum(told["rejected"].values())
        assert {one["reason"] for one in kept} == set(told["rejected"])
