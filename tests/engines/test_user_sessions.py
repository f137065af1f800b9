"""The sessions of users by the kernel, against plain Python and the templates."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import rows
from engines import engine_over
from reference import microseconds
from relhealth.core.scope import Scope
from relhealth.core.windows import Window
from relhealth.engines.components import FOLLOWED_USERS, USER_SESSIONS, USERS_BY_GROUP
from relhealth.engines.interface import Ask
from relhealth.engines.kernel.rows import Rows
from relhealth.machine import memory
from rows import NOON, user

if TYPE_CHECKING:
    from pathlib import Path

    from relhealth.datasets.arrays import Array
    from relhealth.engines.components import Component
    from rows import Row

HOUR = timedelta(hours=1)
START, END = NOON - 24 * HOUR, NOON
SCOPE = Scope.resolve(NOON).over(Window(START, END))
FOLLOW_UPS = (1, 3_600, 6 * 3_600, 24 * 3_600)
EVENTS = [("crashed",), ("crashed", "unhandled"), ()]


def some_rows(random: Random, unit: timedelta) -> list[Row]:
    """Rows of few users, whose sessions are hours apart, or a unit of time more or less."""
    return [
        user(
            random.choice([0, 1, 2**63 - 1, 2**63, 2**64 - 1, random.randrange(2**64)]),
            random.choice([None, None, None, "crashed", "unhandled", "errored", "CRASHED", ""]),
            timestamp=START + random.randint(0, 24) * HOUR + random.choice([-1, 0, 0, 1]) * unit,
            project_id=random.choice([1, 1, 2, None]),
            release=random.choice(["a@1", "a@2", "", None]),
            environment=random.choice(["production", "beta", None]),
        )
        | random.choice([{}, {}, {}, {"member": None}])
        for _ in range(random.choice([30, 600]))
    ]


def expected(data: list[Row], ask: Ask) -> list[Row]:
    """What the definitions of both components say, user by user."""
    events: dict[tuple[int, str], dict[int, dict[int, bool]]] = defaultdict(dict)
    for row in data:
        here = ask.scope.environments is None or (row["environment"] or "") in (
            ask.scope.environments
        )
        counts = row["project_id"] is not None and row["release"] and row["member"] is not None
        if here and counts and START <= row["timestamp"] < END:
            at = microseconds(row["timestamp"])
            sessions = events[row["project_id"], row["release"]].setdefault(row["member"], {})
            sessions[at] = sessions.get(at, False) or row["session_status"] in ask.statuses
    count = spread if ask.component is USER_SESSIONS else followed
    answer = []
    for pair, users in events.items():
        figures = count(list(users.values()), ask.follow_up or 0)
        if figures["users"]:
            answer.append(dict(zip(("project_id", "release"), pair, strict=True)) | figures)
    return answer


def spread(users: list[dict[int, bool]], _: int) -> Row:
    counts = [(len(sessions), sum(sessions.values())) for sessions in users]
    return {
        "users": len(counts),
        "sessions": sum(n for n, _ in counts),
        "events": sum(bad for _, bad in counts),
        "affected": sum(bad > 0 for _, bad in counts),
        "sessions_squared": sum(n**2 for n, _ in counts),
        "events_squared": sum(bad**2 for _, bad in counts),
        "products": sum(n * bad for n, bad in counts),
    }


def followed(users: list[dict[int, bool]], follow_up: int) -> Row:
    until = [(sessions, min(sessions) + follow_up * 10**6) for sessions in users]
    able = [(sessions, end) for sessions, end in until if end <= microseconds(END)]
    affected = [any(bad and at < end for at, bad in sessions.items()) for sessions, end in able]
    return {"users": len(able), "affected": sum(affected)}


@pytest.mark.parametrize(
    ("unit", "least"),
    [
        (pa.timestamp("us", "UTC"), timedelta(microseconds=1)),
        (pa.timestamp("ns"), timedelta(microseconds=1)),
        (pa.timestamp("ms", "UTC"), timedelta(milliseconds=1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("held", [3_000, 10**9])
def test_sessions_of_users(
    unit: pa.DataType, least: timedelta, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(f"{unit} {held}")
    monkeypatch.setattr(memory, "of_kernel", lambda *_: (held, 2))
    affected = 0
    for number in range(10):
        data = some_rows(random, least)
        folder = tmp_path / str(number)
        folder.mkdir()
        rows.write(folder / "a.parquet", data[::2], types={"timestamp": unit}, row_group_size=50)
        rows.write(folder / "b.parquet", data[1::2], types={"timestamp": unit})
        environments = random.choice([None, ("production",), ("", "beta")])
        scope = replace(SCOPE, environments=environments)
        asks = [Ask(USER_SESSIONS, scope, statuses=statuses) for statuses in EVENTS]
        asks += [
            Ask(FOLLOWED_USERS, scope, statuses=statuses, follow_up=seconds)
            for statuses in EVENTS
            for seconds in FOLLOW_UPS
        ]
        # With this one, a row of the answers is of several environments that the kernel keeps.
        by_environment = Ask(USERS_BY_GROUP, SCOPE, frozenset({"environment"}), 3_600)
        with closing(engine_over(folder, "kernel", monkeypatch)) as engine:
            assert not any(map(engine.refuses, asks))
            *answers, _ = engine.answer([*asks, by_environment])
        for ask, answer in zip(asks, answers, strict=True):
            assert sorted(map(repr, answer)) == sorted(map(repr, expected(data, ask))), ask
            affected += sum(row["affected"] for row in answer)
    assert affected > 100


def test_nanoseconds_of_one_microsecond_are_one_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = microseconds(START) * 1000
    data = [user(1, timestamp=at + ns) for ns in (0, 999, 1_000, 1_999, 2_000)]
    rows.write(tmp_path / "a.parquet", data, types={"timestamp": pa.timestamp("ns")})
    for way in ("kernel", "view"):
        with closing(engine_over(tmp_path, way, monkeypatch)) as engine:
            ((found,),) = engine.answer([Ask(USER_SESSIONS, SCOPE)])
        assert found["sessions"] == 3, way


@pytest.mark.parametrize("held", [1, 10**9])
def test_users_without_a_member_have_no_row(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "of_kernel", lambda *_: (held, 1))
    data = [user(1, timestamp=START) | {"member": None}, user(2, timestamp=START, release="b@1")]
    rows.write(tmp_path / "a.parquet", data, row_group_size=1)
    with closing(engine_over(tmp_path, "kernel", monkeypatch)) as engine:
        (found,) = engine.answer([Ask(USER_SESSIONS, SCOPE)])
    assert [row["release"] for row in found] == ["b@1"]


@pytest.mark.parametrize("component", [USER_SESSIONS, FOLLOWED_USERS], ids=lambda one: one.name)
def test_who_cannot_answer(
    component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel keeps the statuses of figures alone, the rollup no timestamps."""
    rows.write(tmp_path / "a.parquet", [user(1, "ok", timestamp=START)])
    ask = Ask(component, SCOPE, statuses=("crashed", "ok"), follow_up=3_600)
    known = ask._replace(statuses=("crashed",))
    with closing(engine_over(tmp_path, "kernel", monkeypatch)) as engine:
        assert engine.refuses(ask) == "it does not distinguish the status 'ok'"
        assert engine.refuses(ask._replace(statuses=("",))) is not None
        assert engine.refuses(known) is None
    with closing(engine_over(tmp_path, "rollup", monkeypatch)) as engine:
        assert engine.refuses(known) == f"it does not keep what {component.name} needs"


def test_timestamps_are_read_only_for_sessions_of_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.write(tmp_path / "a.parquet", [user(1, timestamp=START), user(2, timestamp=START)])
    read: list[bool] = []
    members = Rows.members

    def noted(self: Rows, some: Array) -> Any:
        read.append("timestamp" in self.columns)
        return members(self, some)

    monkeypatch.setattr(Rows, "members", noted)
    for asks in ([Ask(USERS_BY_GROUP, SCOPE)], [Ask(USER_SESSIONS, SCOPE)]):
        with closing(engine_over(tmp_path, "kernel", monkeypatch)) as engine:
            engine.answer(asks)
    assert read == [False, True]
