"""The rollup gives the same rows as the raw files, for every question."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines import duckdb_over, rollup_over
from relhealth.core.errors import DataError
from relhealth.core.scope import Scope
from relhealth.core.windows import PERIODS, Window
from relhealth.engines.components import (
    ADOPTION,
    COMPONENTS,
    FOLLOWED_USERS,
    HEALTH_STATS,
    OVERVIEW,
    SESSIONS_BY_GROUP,
    SESSIONS_BY_STATUS,
    USER_SESSIONS,
    USERS_BY_GROUP,
    USERS_BY_STATUS,
    Component,
    Over,
)
from relhealth.engines.duckdb.engine import DuckdbEngine
from relhealth.engines.interface import Ask
from relhealth.engines.rollup.reader import Rollup
from relhealth.machine import memory
from relhealth.rollup import build
from relhealth.rollup.build import Made, make
from rows import DEFAULTS, duration, error, session, table, user, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import rows

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)

NOT_KEPT = {USER_SESSIONS, FOLLOWED_USERS}  # a rollup has hours, not timestamps
STATUSES = [
    *["init", "crashed", "abnormal", "unhandled", "errored", "errored_preaggr", "exited"],
    *["init", "exited", "exited", "Crashed", "", None, None],
]
MECHANISMS = [None, None, "", "anr_foreground", "anr_background", "mechanism"]
METRICS = [
    *["c:sessions/session@none", "s:sessions/user@none", "d:sessions/duration@second"] * 3,
    *["s:sessions/error@none", "d:transactions/duration@millisecond", None],
]
MEMBERS = [0, 1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
COUNTS = [0.0, -0.0, 1.0, 1.0, 1.0, 2.0, 17.0, 2.0**31, 2.0**32]
SECONDS = [0.0, -0.0, 0.001, 0.25, 30.0, 30.0, 1234.567]
ODD_SECONDS = [*SECONDS, 1e-300, 1 / 3, 1e300, 1.7976931348623157e308, 3e6]
FLAWS = [None, math.nan, math.inf, -math.inf, -1.0, 0.5, 2.0**32 + 1, 1e300]
RELEASES = [None, "", "app@1", "app@2", 'it\'s/"odd"', "健康@🚀"]
ENVIRONMENTS = [None, "", "production", "prod'uction"]
PROJECTS = [1, 2, -7, 2**40]
ORGANISATIONS: list[int | None] = [None, 1, 2]


def random_rows(chance: Random, count: int) -> list[rows.Row]:
    """Rows of three days, at the edges of hours; some are invalid."""
    orgs = ORGANISATIONS[1:2] if chance.random() < 0.5 else ORGANISATIONS
    seconds = chance.choice([SECONDS, ODD_SECONDS])
    flaws = chance.choice([0.0, 0.0, 0.1])
    releases = chance.sample(RELEASES, 4)
    found = []
    for _ in range(count):
        metric = chance.choice(METRICS)
        at = NOW.replace(minute=0) - chance.randrange(-2, 75) * HOUR
        at += timedelta(microseconds=chance.choice([0, -1, 1, 1_800_000_000]))
        flawed = chance.random() < flaws
        of_counts = (metric or "").startswith("c:")
        value = chance.choice(FLAWS if flawed else COUNTS if of_counts else seconds)
        member = chance.choice(MEMBERS)
        found.append(
            DEFAULTS
            | {
                "org_id": chance.choice(orgs),
                "project_id": None if flawed and chance.random() < 0.3 else chance.choice(PROJECTS),
                "timestamp": None if flawed and chance.random() < 0.3 else at,
                "metric": metric,
                "release": chance.choice(releases),
                "environment": chance.choice(ENVIRONMENTS),
                "session_status": chance.choice(STATUSES),
                "abnormal_mechanism": chance.choice(MECHANISMS),
                "value": value,
                "member": None if flawed else member,
            }
        )
    return found


# Layouts of files: the types of columns, and those left out.
PLAIN: dict[str, Any] = {}
LAYOUTS: list[dict[str, Any]] = [
    PLAIN,
    {"types": {"timestamp": pa.timestamp("ns")}},
    {"types": {"timestamp": pa.timestamp("ms")}},
    {"types": {"timestamp": pa.timestamp("us", "+05:45"), "release": pa.large_string()}},
    {"types": {"release": pa.dictionary(pa.int8(), pa.string()), "metric": pa.string_view()}},
    {"without": ["org_id", "abnormal_mechanism"]},
]


def signed(kind: dict[str, Any], given: Sequence[rows.Row]) -> list[rows.Row]:
    """Drop what a layout's timestamps cannot hold."""
    unit = kind.get("types", {}).get("timestamp", pa.timestamp("us")).unit
    if unit != "ms":
        return list(given)
    return [
        row | {"timestamp": row["timestamp"] and row["timestamp"].replace(microsecond=0)}
        for row in given
    ]


def stored(folder: Path, chance: Random, given: list[rows.Row], kind: dict[str, Any]) -> Path:
    """Write rows to several files, by day or dealt out."""
    folder.mkdir(parents=True, exist_ok=True)
    given = signed(kind, given)
    files: dict[str, list[rows.Row]] = {}
    by_day = chance.random() < 0.5
    for number, row in enumerate(given):
        day = row["timestamp"].strftime("%d") if row["timestamp"] and by_day else f"{number % 3}"
        files.setdefault(day, []).append(row)
    for name, some in files.items():
        write(folder / f"{name}.parquet", some, row_group_size=chance.choice([7, 1000]), **kind)
    return folder


def random_scope(chance: Random) -> Scope:
    """A question about these rows."""
    now = NOW - chance.randrange(0, 30) * HOUR + chance.choice([timedelta(), HOUR / 2])
    scope = Scope.resolve(
        now,
        period=chance.choice(["1h", "24h", "48h", "7d", "90d"]),
        stats_period=chance.choice(list(PERIODS)),
        projects=chance.choice([None, None, (1,), (2, -7)]),
        environments=chance.choice([None, None, ("",), ("production", "prod'uction")]),
    )
    if chance.random() < 0.3:
        scope = scope.narrowed_to(((1, "app@1"), (2, "健康@🚀")))
    return scope


def values_of(scope: Scope, chance: Random) -> dict[str, Any]:
    """Values for every parameter of any template."""
    return {
        "start": scope.summary.start,
        "end": scope.summary.end,
        "interval": chance.choice([3_600, 86_400, 3 * 86_400]),
        "recent": scope.summary.end - 6 * HOUR,
        "now": scope.now,
        "fractions": [0.0, 0.3, 1.0],
        "projects": scope.projects and list(scope.projects),
        "releases": scope.releases and list(scope.releases),
        "environments": scope.environments and list(scope.environments),
        **{f"by_{key}": chance.random() < 0.5 for key in ("project", "release", "environment")},
    }


def comparable(found: Sequence[dict[str, Any]]) -> list[str]:
    """Rows in an order of their own."""
    return sorted(repr(sorted(row.items())) for row in found)


def opened(folder: Path) -> Rollup:
    """Open a rollup that must be there."""
    opening = Rollup.open(folder)
    assert opening.rollup is not None, opening.reason
    return opening.rollup


def answers(raw: Any) -> list[str] | str:
    """What a question is answered with, or refused for."""
    try:
        return comparable(raw())
    except DataError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - only the engine knows DuckDB's
        return type(error).__name__


@pytest.mark.parametrize(
    "seed",
    [pytest.param(n, marks=[] if n < len(LAYOUTS) else pytest.mark.slow) for n in range(9)],
)
def test_the_same_as_the_raw_files(seed: int, tmp_path: Path) -> None:
    chance = Random(seed)
    kind = LAYOUTS[seed % len(LAYOUTS)]
    given = random_rows(chance, chance.choice([5, 60, 300]))
    folder = stored(tmp_path / "data", chance, given, kind)
    threads = chance.choice([1, 2])
    sliced = chance.random() < 0.5
    made = make_in_slices(folder, threads) if sliced else make(folder, threads=threads)
    assert made.rows == len(given)
    rollup = opened(folder)
    for _ in range(2):
        org = chance.choice([None, None, 1])
        with closing(duckdb_over(folder, org=org)) as engine:
            scope = random_scope(chance)
            check(chance, engine, rollup, scope, org)
            newest = engine.rows("newest", {})[0]["newest_us"]
        assert rollup.newest_us(org) == newest


def check(
    chance: Random, engine: DuckdbEngine, rollup: Rollup, scope: Scope, org: int | None = None
) -> None:
    """Compare each component, by random keys and buckets, with the raw files' rows."""
    one = rollup_over(rollup, org=org, threads=chance.choice([1, 2]))
    memory = chance.choice([1, 10**6])
    with closing(one), pytest.MonkeyPatch.context() as patched:
        patched.setattr(one, "_held", memory)
        for component in COMPONENTS.values():
            if component.over is Over.SERIES and scope.series is None:
                continue
            for ask in asks_of(component, scope, chance):
                if component in NOT_KEPT:
                    refusal = f"it does not keep what {component.name} needs"
                    assert one.refuses(ask) == refusal
                    continue
                assert one.refuses(ask) is None
                if component.over is Over.EVER:  # DuckDB has no such instants in nanoseconds
                    raw = answers(lambda name=component.name: engine.rows(name, {}))
                else:
                    raw = answers(lambda ask=ask: engine.answer([ask])[0])
                found = answers(lambda ask=ask: one.answer([ask])[0])
                if isinstance(raw, str):
                    assert "a sum" in raw
                    assert "a sum" in found, ask
                else:
                    assert found == raw, ask
        asks = [Ask(component, scope) for component in OVERVIEW]
        if not isinstance(answers(lambda: one.answer(asks)[0]), str):
            for ask, together in zip(asks, one.answer(asks), strict=True):
                assert comparable(together) == comparable(one.answer([ask])[0])


def asks_of(component: Component, scope: Scope, chance: Random) -> list[Ask]:
    """Ask for a component, by group in some ways."""
    fractions = (0.0, 0.5, 0.99)
    if "bucket" not in component.keys or component.over is Over.SERIES:
        return [Ask(component, scope, fractions=fractions)]
    keys = ("project", "release", "environment")
    return [
        Ask(component, scope, frozenset(chance.sample(keys, count)), interval)
        for count, interval in ((3, None), (1, 3_600), (2, 21_600), (1, 86_400), (0, 259_200))
    ]


def make_in_slices(folder: Path, threads: int) -> Made:
    """Make a rollup with next to no memory for rows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "_LEAST_ROWS", 5)
        patched.setattr(memory, "of_rollup", lambda _, threads: (1, threads))
        return make(folder, threads=threads)


def test_sums_beyond_the_cap_of_a_counter(tmp_path: Path) -> None:
    most = 2.0**32
    given = [session(value=value) for value in (most, most - 1, most, 1.0, 1.0)]
    write(tmp_path / "a.parquet", given)
    make(tmp_path)
    rollup = opened(tmp_path)
    scope = Scope.resolve(datetime(2026, 3, 2, 12, 30, tzinfo=UTC))
    asks = [Ask(SESSIONS_BY_STATUS, scope), Ask(SESSIONS_BY_GROUP, scope)]
    for rows in rollup_over(rollup).answer(asks):
        assert [row["sessions"] for row in rows] == [3 * 2**32 + 1]


def test_a_counter_above_the_cap_is_invalid(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [session(value=2.0**32 + 1), *[session(value=2.0**32)] * 3])
    assert make(tmp_path).invalid_rows == 1
    scope = Scope.resolve(datetime(2026, 3, 2, 12, 30, tzinfo=UTC))
    for component in (SESSIONS_BY_STATUS, SESSIONS_BY_GROUP, ADOPTION):
        ((first, *_),) = rollup_over(opened(tmp_path)).answer([Ask(component, scope)])
        assert first["sessions"] == 3 * 2**32


def test_windows_of_whole_hours_alone() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert Rollup.tells(Window(at, at + HOUR))
    assert not Rollup.tells(Window(at, at + HOUR / 4))
    assert not Rollup.tells(
        Window(at, at + HOUR), Window(at + timedelta(microseconds=1), at + HOUR)
    )


def test_what_a_rollup_refuses(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [session()])
    make(tmp_path)
    engine = rollup_over(opened(tmp_path))
    scope = Scope.resolve(NOW)
    minutes = scope.over(Window(NOW - HOUR, NOW))
    unknown = USERS_BY_STATUS._replace(name="unheard_of")
    assert engine.refuses(Ask(USERS_BY_STATUS, minutes)) == "it answers only for whole hours"
    for interval in (60, 5_400):
        ask = Ask(USERS_BY_GROUP, scope, interval=interval)
        assert engine.refuses(ask) == "it answers only for whole hours"
    assert engine.refuses(Ask(unknown, scope)) == "it does not keep what unheard_of needs"
    with pytest.raises(LookupError, match="series"):
        engine.answer([Ask(HEALTH_STATS["users"], scope)])


def test_the_files_speak_for_themselves(tmp_path: Path) -> None:
    given = [
        session(value=2.0),
        duration(1.5),
        duration(0.25, environment="production"),
        user(2**64 - 1, "crashed"),
        error(2**63),
        session(value=None),
    ]
    write(tmp_path / "a.parquet", given)
    make(tmp_path)
    rollup = opened(tmp_path)
    ((_, day),) = rollup.manifest.days.items()
    folder = tmp_path / "_rollup" / day.folder

    def read(name: str) -> list[dict[str, Any]]:
        found = pq.read_table(folder / f"{name}.parquet", partitioning=None).to_pylist()
        assert len(found) == getattr(day, name)
        return [{key: value for key, value in row.items() if key != "day"} for row in found]

    none, production = {"pair": 0, "environment": 0}, {"pair": 0, "environment": 1}
    assert sorted(rollup.manifest.environments) == ["", "production"]
    assert read("durations") == [
        none | {"kind": 6, "hour": 12, "milliseconds": 1500},
        production | {"kind": 6, "hour": 12, "milliseconds": 250},
    ]
    assert read("errors") == [none | {"kind": 8, "hour": 12, "member": 2**63}]
    assert read("users") == [none | {"kind": 12, "code": 0, "hours": 1 << 12}]
    assert len(read("groups")) == 5
    (row,) = read("rest")
    assert row == {**DEFAULTS, "environment": "", "metric": METRICS[0], "session_status": "init"}
    (members,) = rollup.manifest.codes
    table_of_members = pq.read_table(tmp_path / "_rollup" / members, partitioning=None)
    assert table_of_members["member"].to_pylist() == [2**64 - 1]


def test_one_metric_row_alone(tmp_path: Path) -> None:
    """Each kind of row by itself: no file of the others is there."""
    scope = Scope.resolve(datetime(2026, 3, 2, 12, 30, tzinfo=UTC), stats_period="24h")
    lone = [session(value=-1.0), user(1), error(1), duration(1 / 3)]
    lone += [duration(2.0, session_status="crashed")]
    for number, row in enumerate(lone):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder / "a.parquet", [row])
        make(folder)
        with closing(duckdb_over(folder)) as engine:
            check(Random(number), engine, opened(folder), scope)


def test_years_out_of_reach(tmp_path: Path) -> None:
    far = [datetime(1, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]
    far += [datetime(9999, 12, 31, 23, tzinfo=UTC)]
    write(tmp_path / "a.parquet", [session(timestamp=at, project_id=7) for at in far] + [session()])
    make(tmp_path)
    rollup = opened(tmp_path)
    assert set(rollup.manifest.days) == {None, 20514}
    (found,) = rollup_over(rollup).answer([Ask(COMPONENTS["projects"], Scope.resolve(NOW))])
    assert [row["project_id"] for row in found] == [1, 7]
    with closing(duckdb_over(tmp_path)) as engine:
        assert rollup.newest_us() == engine.rows("newest", {})[0]["newest_us"]


def test_hive_partitions(tmp_path: Path) -> None:
    for project, day in ((1, 2), (2, 3)):
        folder = tmp_path / "data" / f"project_id={project}" / f"date=2026-03-0{day}"
        folder.mkdir(parents=True)
        at = datetime(2026, 3, day, 5, tzinfo=UTC)
        given = [session(timestamp=at), user(5, timestamp=at), duration(1.0, timestamp=at)]
        pq.write_table(table(given, without=["project_id"]), folder / "a.parquet")
    make(tmp_path / "data")
    rollup = opened(tmp_path / "data")
    scope = Scope.resolve(NOW, period="7d", stats_period="7d")
    with closing(duckdb_over(tmp_path / "data")) as engine:
        check(Random(1), engine, rollup, scope)
    ((first, second),) = rollup_over(rollup).answer([Ask(SESSIONS_BY_STATUS, scope)])
    assert {first["project_id"], second["project_id"]} == {1, 2}
