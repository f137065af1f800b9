"""The session protocol: users of aggregates, sessions without an id, and lenient fields."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from command import run
from envelopes import (
    DURATIONS,
    ERRORS,
    NIL,
    NOW,
    SESSIONS,
    USERS,
    Payload,
    envelope,
    expected,
    ingest,
    member_of,
    rows_of,
    update,
)
from relhealth.ingest import emission

if TYPE_CHECKING:
    from pathlib import Path

NOON = "2026-03-02T12:00:00Z"


def aggregates(*items: dict[str, Any], **fields: Any) -> bytes:
    """Return an item of aggregates, and its line of headers."""
    attrs = {"release": "shop@1.0.0", "environment": "production"}
    payload = {"aggregates": [{"started": NOON} | item for item in items], "attrs": attrs} | fields
    return b'{"type":"sessions"}\n' + json.dumps(payload).encode()


def told_of(dataset: Path) -> Counter[tuple[str, str | None, float | int]]:
    """Return metric, status and value or member of a data set's rows."""
    return Counter(
        (row[3], row[6], row[9] if row[8] is None else row[8])
        for row in rows_of(dataset).elements()
    )


def test_members_are_duckdb_s() -> None:
    for text in ("u1", "Ü 3", ""):
        found = duckdb.execute("SELECT md5_number_lower(?)", [text]).fetchall()
        assert found == [(emission.member_of(text),)]
        assert emission.member_of(text) == member_of(text)


def test_aggregates_give_their_users(tmp_path: Path) -> None:
    source = tmp_path / "in"
    items: list[dict[str, Any]] = [
        {"exited": 100},
        {"did": "u1", "exited": 12, "errored": 3},
        {"did": "u2", "crashed": 1, "abnormal": 2, "unhandled": 1},
        {"did": "u3", "exited": 1},
        {"did": NIL, "exited": 1},
        {"did": "0" * 32, "exited": 1},
        {"did": "", "exited": 1},
        {"did": 7, "exited": 1},
        {"did": None, "exited": 1},
    ]
    source.write_bytes(envelope(aggregates(*items)))
    assert ingest(source, tmp_path / "data")["lost"] == {}
    users = {row[1:] for row in told_of(tmp_path / "data") if row[0] == USERS}
    assert users == {
        ("errored", member_of("u1")),
        *((status, member_of("u2")) for status in ("errored", "crashed", "abnormal", "unhandled")),
        (None, member_of("u3")),
        (None, member_of("7")),
    }


@pytest.mark.parametrize("did", [[], {}, True, 1.5])
def test_an_aggregate_outlives_its_user(did: Any, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(envelope(aggregates({"did": did, "crashed": 2})))
    told = ingest(source, tmp_path / "data")
    assert (told["lost"], told["sessions"]) == ({"did": 1}, 2)


@pytest.mark.parametrize("fields", [{"attrs": None}, {"aggregates": None}, {"aggregates": []}])
def test_defaults_of_aggregates(fields: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(envelope(aggregates({"exited": None, "crashed": "1"}, **fields)))
    assert ingest(source, tmp_path / "data")["accepted"] == {"sessions": 1}


def test_aggregates_are_taken_all_or_none(tmp_path: Path) -> None:
    faults: list[dict[str, Any]] = [
        {"crashed": -1},
        {"crashed": "x"},
        {"crashed": 2**60},
        {"started": "x"},
    ]
    too_many = [{"exited": 2**32 + 1}, {"exited": 2**31, "crashed": 2**31 + 1}]
    for bad in (*faults, *too_many):
        source = tmp_path / "in"
        source.write_bytes(envelope(aggregates({"exited": 5}, bad)))
        told = ingest(source, tmp_path / "data", code=4)
        assert (told["accepted"], sum(told["rejected"].values())) == ({}, 1)


def alone(**fields: Any) -> Payload:
    """Return an update without an id."""
    return {name: value for name, value in update(**fields).items() if name != "sid"}


def items_of(*updates: Payload) -> list[bytes]:
    """Return updates as items, whether they have an id or not."""
    return [b'{"type":"session"}\n' + json.dumps(one).encode() for one in updates]


@pytest.mark.parametrize("sid", [..., None, "", "-"])
@pytest.mark.parametrize("beside", [0, 100])
def test_a_session_without_an_id_that_is_complete(sid: Any, beside: int, tmp_path: Path) -> None:
    spelled = {} if sid is ... else {"sid": sid}
    updates = [
        alone(status="exited", did="a", duration=5) | spelled,
        alone(status="exited", did="a", errors=2, duration=7) | spelled,
        alone(status="crashed", did="b") | spelled,
        alone(status="abnormal", did="c", abnormal_mechanism="anr_foreground") | spelled,
        alone(status="errored", did=NIL) | spelled,
        alone(status="unhandled") | spelled,
    ]
    others = [update(f"{n:032x}") for n in range(beside)]
    source = tmp_path / "in"
    source.write_bytes(envelope(*items_of(*updates), *others))
    told = ingest(source, tmp_path / "data")
    assert told["accepted"] == {"session": 6 + beside}
    assert told["sessions"] == 6 + beside
    found = told_of(tmp_path / "data") - Counter({(SESSIONS, "init", 1.0): beside})
    assert found == Counter(
        {
            (SESSIONS, "init", 1.0): 6,
            (SESSIONS, "errored_preaggr", 1.0): 5,
            (SESSIONS, "crashed", 1.0): 1,
            (SESSIONS, "abnormal", 1.0): 1,
            (SESSIONS, "unhandled", 1.0): 1,
            (USERS, None, member_of("a")): 1,
            (USERS, "errored", member_of("a")): 1,
            (USERS, "errored", member_of("b")): 1,
            (USERS, "crashed", member_of("b")): 1,
            (USERS, "errored", member_of("c")): 1,
            (USERS, "abnormal", member_of("c")): 1,
            (DURATIONS, "exited", 5.0): 1,
            (DURATIONS, "exited", 7.0): 1,
        }
    )
    mechanisms = {row[7] for row in rows_of(tmp_path / "data") if row[6] == "abnormal"}
    assert mechanisms == {None, "anr_foreground"}


@pytest.mark.parametrize("fields", [{"status": "ok"}, {"status": "crashed", "init": False}])
def test_a_session_without_an_id_that_is_not_complete(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.write_bytes(envelope(*items_of(alone(**fields))))
    told = ingest(source, tmp_path / "data", code=4)
    assert told["rejected"] == {
        "sid: empty, of an update that does not begin and end its session": 1
    }


@pytest.mark.parametrize("beside", [0, 100])
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"status": "Crashed"}, {"status": "crashed"}),
        ({"status": " OK "}, {"status": "ok"}),
        ({"init": "true"}, {"init": True}),
        ({"init": 1}, {"init": True}),
        ({"init": "Yes"}, {"init": True}),
        ({"init": "no"}, {"init": False}),
        ({"init": "null"}, {"init": False}),
        ({"errors": "2"}, {"errors": 2}),
        ({"errors": 2.0}, {"errors": 2}),
        ({"duration": "2.5", "status": "exited"}, {"duration": 2.5, "status": "exited"}),
        ({"did": 101.0}, {"did": "101"}),
        ({"did": 101}, {"did": "101"}),
        ({"seq": 0, "init": False}, {"init": False}),
        ({"attrs": {"release": 5}}, {"attrs": {"release": "5"}}),
        ({"attrs": None}, {"attrs": {}}),
    ],
)
def test_spellings_of_fields(
    given: dict[str, Any], meant: dict[str, Any], beside: int, tmp_path: Path
) -> None:
    others = [update(f"{n:032x}") for n in range(beside)]
    source = tmp_path / "in"
    source.write_bytes(envelope(*others, update("f" * 32) | given))
    told = ingest(source, tmp_path / "data")
    assert (told["rejected"], told["lost"]) == ({}, {})
    wanted = [(1, one) for one in [*others, update("f" * 32) | meant]]
    assert rows_of(tmp_path / "data") == expected(wanted)


@pytest.mark.parametrize("beside", [0, 100])
@pytest.mark.parametrize(
    ("given", "meant", "example"),
    [
        ({"init": "first"}, {"init": True}, "first"),
        ({"init": [1]}, {"init": True}, "[1]"),
        ({"attrs": []}, {"attrs": {}}, "[]"),
        ({"attrs": "shop@1.0.0"}, {"attrs": {}}, "shop@1.0.0"),
        ({"timestamp": "soon"}, {"timestamp": None}, "soon"),
        ({"timestamp": [1], "duration": 3.0}, {"timestamp": None, "duration": 3.0}, "[1]"),
    ],
)
@pytest.mark.parametrize("status", ["crashed", "exited"])
def test_a_bad_field_loses_that_field_alone(
    given: dict[str, Any],
    meant: dict[str, Any],
    example: str,
    status: str,
    beside: int,
    tmp_path: Path,
) -> None:
    others = [update(f"{n:032x}") for n in range(beside)]
    source = tmp_path / "in"
    one = update("f" * 32, status=status)
    source.write_bytes(envelope(*others, one | given))
    told = ingest(source, tmp_path / "data")
    name = next(iter(given))
    assert (told["rejected"], told["lost"]) == ({}, {name: 1})
    assert told["examples"][name] == [example]
    assert rows_of(tmp_path / "data") == expected([(1, each) for each in [*others, one | meant]])


def test_a_lost_beginning_is_said_to_count(tmp_path: Path) -> None:
    """A crash whose session never began would count against nothing."""
    source = tmp_path / "in"
    source.write_bytes(envelope(update(init="first", status="crashed")))
    result = run("ingest", str(source), "--to", str(tmp_path / "data"), "--now", NOW)
    assert "init: lost in 1 session, which counts as started, such as 'first'" in result.err
    assert told_of(tmp_path / "data")[SESSIONS, "init", 1.0] == 1


@pytest.mark.parametrize("beside", [0, 100])
@pytest.mark.parametrize("release", ["shop@1\n2", "shop@1\t2", "shop@1\r", "\f"])
def test_a_release_of_several_lines_rejects_its_session(
    release: str, beside: int, tmp_path: Path
) -> None:
    others = [update(f"{n:032x}", attrs={"release": "a\\n"}) for n in range(beside)]
    source = tmp_path / "in"
    attrs = {"release": release}
    source.write_bytes(
        envelope(*others, update("f" * 32, attrs=attrs))
        + b"\n"
        + aggregates({"started": NOON, "exited": 1}, attrs=attrs)
    )
    told = ingest(source, tmp_path / "data", "--max-rejected", "100%", code=0 if beside else 4)
    assert told["rejected"] == {"release: a release has no line end and no tab": 2}
    assert told["sessions"] == beside


def test_words_of_an_envelope_are_text(tmp_path: Path) -> None:
    """The words for missing are those of tables: SDKs write null."""
    source = tmp_path / "in"
    source.write_bytes(envelope(update(did="null", duration="x", status="exited")))
    ingest(source, tmp_path / "data", "--now", NOW)
    assert (USERS, None, member_of("null")) in told_of(tmp_path / "data")
    assert ERRORS not in {row[0] for row in told_of(tmp_path / "data")}


ODD: dict[str, list[Any]] = {
    "sid": ["A" * 32, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "", "--", "é", None, 5, "\ud800"],
    "init": ["true", 1, "maybe", [], None],
    "started": [
        "2026-03-02T12:00:00.1234567Z", "2026-03-02", "2026-03-02T12:00", "2026-03-02T12:00:00-08",
        "2026-03-02T24:00:00Z", "2026-03-02T11:59:60Z", "", 1_772_452_800, "1772452800", None,
        "0000-01-01T00:00:00Z", "2026-03-02T12:00:00+99:99", "2026-02-30T00:00:00Z",
    ],
    "timestamp": ["2026-03-02T11:00:00Z", "2026-03-02", "", "x", 1_772_452_860, None],
    "status": ["OK", " ok ", "", "dead", 5, None],
    "errors": [-1, 2**53 + 1, 2**64, "2", 1.5, True, None],
    "did": [NIL, "", 5, 5.5, True, "\ud800", None],
    "duration": [-1, -0.0, "2.5", "x", float("nan"), float("inf"), 2**70, None],
    "abnormal_mechanism": ["", 5, None],
    "attrs": [
        {}, None, [], "x", {"release": ""}, {"release": 5}, {"release": []}, {"release": "a\nb"},
        {"release": "a\\nb"}, {"environment": 5}, {"environment": "", "x": {"y": [1]}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_many_updates_are_read_as_few_are(name: str, tmp_path: Path) -> None:
    """They are decoded as columns, but for what is odd."""
    statuses = ("exited", "crashed", "abnormal")
    odd = [
        update(f"{at:032x}", status=status, did="u") | {name: value}
        for at, (value, status) in enumerate(
            (value, status) for value in ODD[name] for status in statuses
        )
    ]
    plain = [update(f"{at + 1000:032x}", did=f"u{at}") for at in range(100)]
    source = tmp_path / "in"
    many, few = tmp_path / "many", tmp_path / "few"
    source.write_bytes(envelope(*plain, *odd, *plain))
    told = ingest(source, many, "--max-rejected", "100%")
    counts: dict[str, Counter[str]] = {
        key: Counter(told[key]) for key in ("accepted", "rejected", "lost", "statuses")
    }
    times: Counter[str] = Counter(told["times"]["started"])
    one_by_one: dict[str, Counter[str]] = {key: Counter() for key in counts}
    times_one_by_one: Counter[str] = Counter()
    items = [*plain, *odd, *plain]
    for at in range(0, len(items), 60):
        source.write_bytes(envelope(*items[at : at + 60]))
        told = ingest(source, few, "--max-rejected", "100%")
        for key, count in one_by_one.items():
            count.update(told[key])
        times_one_by_one.update(told["times"]["started"])
    assert one_by_one == counts
    assert times_one_by_one == times
    assert rows_of(few) == rows_of(many)
