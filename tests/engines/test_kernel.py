"""The kernel against the templates: every layout, reason, filter and limit; what it cannot read."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from math import inf, nan
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rows
from command import run
from engines import engine_over
from paths import by
from relhealth import DataError, ReleaseHealth
from relhealth.core.measures import percentiles
from relhealth.core.scope import Scope
from relhealth.core.windows import Series, Window
from relhealth.datasets import parquet_pages
from relhealth.datasets.plain_parquet import is_plain
from relhealth.datasets.sources import open_sources
from relhealth.engines.components import ADOPTION, COMPONENTS, DURATION_RANKS, HEALTH_DATA
from relhealth.engines.interface import Ask
from relhealth.engines.kernel.newest import newest_us
from relhealth.engines.kernel.store import Store
from relhealth.machine import memory
from relhealth.questions.opened import Opened
from rows import NOON, duration, error, session, user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from relhealth.datasets.footers import Footer
    from rows import Row

NOW = "2026-03-02T12:30:00Z"
HOUR = timedelta(hours=1)
BACK = [0 * HOUR, HOUR, 5 * HOUR, 23 * HOUR, 26 * HOUR, 100 * HOUR, 1000 * HOUR, 3000 * HOUR]


def some_rows(seed: int, count: int = 400) -> list[Row]:
    """Rows of every metric and status, some of them invalid."""
    random = Random(seed)
    made = []
    for _ in range(count):
        about: Row = {
            "org_id": random.choice([5, 5, 6]),
            "project_id": random.choice([1, 1, 2, 300]),
            "timestamp": NOON - random.choice(BACK) + timedelta(microseconds=random.choice([0, 9])),
            "release": random.choice(["a@1", "a@2", "b@1", "", None]),
            "environment": random.choice(["production", "staging", "", None]),
        }
        status = random.choice(["init", "init", "crashed", "abnormal", "unhandled", "other", None])
        kind = random.choice("sssuuuued")
        if kind == "s":
            made.append(session(**about, value=random.choice([1.0, 1.0, 2.0, 40.0])))
            made[-1]["session_status"] = random.choice([status, "errored_preaggr"])
        elif kind == "u":
            made.append(
                user(random.randrange(2**64 - 30, 2**64), random.choice([status, "errored"]))
            )
            made[-1] |= about
        elif kind == "e":
            made.append(error(random.randrange(12), **about))
        else:
            made.append(duration(random.choice([0.0, -0.0, 0.1, 3.5, 1e300, 7.25]), **about))
            made[-1]["session_status"] = random.choice(["exited", "exited", status])
    return made


FLAWS: list[Row] = [
    session(value=nan, org_id=5),
    session(value=None, org_id=5),
    session(value=inf, org_id=5),
    session(value=-1.0, org_id=5, environment="production"),
    session(value=0.5, org_id=5),
    session(value=2.0**32 + 1, org_id=5, project_id=2),
    duration(nan, org_id=5),
    duration(-2.0, org_id=5) | {"session_status": "crashed"},
    user(1, org_id=5) | {"member": None},
    error(1, org_id=5) | {"member": None},
    session(org_id=5) | {"timestamp": None},
    session(org_id=5, environment="production") | {"timestamp": None, "project_id": None},
    session(org_id=5) | {"project_id": None},
    session(org_id=5, environment="production") | {"project_id": None, "value": -1.0},
    session(org_id=5) | {"project_id": None, "timestamp": NOON - 3000 * HOUR},
    session(org_id=5) | {"metric": "c:custom/clicks@none", "value": -1.0},
    session(org_id=None),
]
QUESTIONS: list[dict[str, Any]] = [
    {"health_stats_period": "24h"},
    {"health_stats_period": "24h", "stat": "users"},
    {"summary_stats_period": "90d", "health_stats_period": "7d", "stat": "users"},
    {"summary_stats_period": "1h"},
    {"projects": [1]},
    {"environments": ["production"], "health_stats_period": "7d"},
    {"environments": [""]},
    {"project_releases": ["a@1", (2, "b@1"), (300, "none@1")], "environments": ["", "staging"]},
    {"projects": [300], "summary_stats_period": "30d"},
    {"projects": [7]},
]


def both(
    path: str, questions: Sequence[dict[str, Any]] = QUESTIONS, **asked: Any
) -> Iterator[tuple[Any, Any]]:
    """The answers of the kernel and of the templates to every question."""
    with by("view"), ReleaseHealth(path, **asked) as templates:  # one database for all questions
        for question in questions:
            second = templates.overview(now=NOW, **question)
            assert "kernel" not in {one.engine for one in templates.engines}
            with by("kernel"), ReleaseHealth(path, **asked) as health:
                first = health.overview(now=NOW, **question)
                assert "kernel" in {one.engine for one in health.engines}
            yield (first.rows, first.invalid_rows), (second.rows, second.invalid_rows)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("org", [5, 6, None])
def test_every_question(seed: int, org: int | None, tmp_path: Path) -> None:
    data = [row for row in some_rows(seed) if org is not None or row["org_id"] == 5]
    data += [row for row in FLAWS if org is not None or row["org_id"] == 5]
    Random(seed).shuffle(data)
    half = len(data) // 2
    rows.write(tmp_path / "a.parquet", data[:half], row_group_size=50)
    rows.write(tmp_path / "b.parquet", data[half:])
    assert all(map(is_plain, open_sources([tmp_path]).files))
    for by_kernel, by_templates in both(str(tmp_path), org=org):
        assert by_kernel == by_templates


US, TEXT = pa.timestamp("us"), pa.dictionary(pa.int32(), pa.string())
LAYOUTS: dict[str, dict[str, pa.DataType]] = {
    "as the contract": {},
    "milliseconds": {"timestamp": pa.timestamp("ms", "UTC")},
    "nanoseconds": {"timestamp": pa.timestamp("ns")},
    "a zone": {"timestamp": pa.timestamp("us", "America/St_Johns")},
    "large strings": {"release": pa.large_string(), "metric": pa.large_string()},
    "dictionaries": {"release": TEXT, "metric": TEXT, "environment": TEXT},
    "signed members": {"member": pa.int64()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["as they come", "by metric"])
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_every_plain_layout(layout: str, order: str, every: int, tmp_path: Path) -> None:
    """By every fourth question, or by all of them."""
    data = [row for row in some_rows(11) if row["org_id"] == 5]
    if layout == "signed members":
        signed = [None if row["member"] is None else row["member"] - 2**64 for row in data]
        data = [
            row | {"member": member if member is None or member > -(2**62) else member + 2**64}
            for row, member in zip(data, signed, strict=True)
        ]
    if layout == "milliseconds":
        data = [row | {"timestamp": row["timestamp"].replace(microsecond=0)} for row in data]
    if order == "by metric":
        data.sort(key=lambda row: (row["metric"], row["project_id"], row["timestamp"]))
    path = rows.write(tmp_path / "a.parquet", data, types=LAYOUTS[layout], row_group_size=64)
    assert is_plain(open_sources([path]).files[0])
    for by_kernel, by_templates in both(path, QUESTIONS[::every]):
        assert by_kernel == by_templates


@pytest.mark.parametrize(
    "types",
    [
        {"project_id": pa.int32()},
        {"member": pa.uint32()},
        {"value": pa.float32()},
        {"value": pa.int64()},
        {"release": pa.string_view()},
        {"environment": pa.null()},
        {"org_id": pa.int16()},
    ],
    ids=str,
)
def test_other_layouts_are_for_the_templates(types: Any, tmp_path: Path) -> None:
    data = [session(), *(user(member) for member in (1, 2)), duration(2.0)]
    path = rows.write(tmp_path / "a.parquet", data, types=types)
    assert not is_plain(open_sources([path]).files[0])
    with ReleaseHealth(path) as health:
        row = health.overview(now=NOW)[1, rows.RELEASE]
    assert (row.total_sessions, row.total_users, row.duration_p50) == (1, 2, 2.0)


def test_columns_of_folders_are_for_the_templates(tmp_path: Path) -> None:
    folder = tmp_path / "project_id=9"
    folder.mkdir()
    rows.write(folder / "a.parquet", [session()], without=["project_id"])
    assert not is_plain(open_sources([tmp_path]).files[0])
    with ReleaseHealth(tmp_path) as health:
        assert list(health.overview(now=NOW)) == [(9, rows.RELEASE)]


@pytest.mark.parametrize("held", [1, 700, 5_000, 10**9])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_limit_and_threads_leave_no_trace(
    held: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [row for row in some_rows(3, 900) if row["org_id"] == 5]
    path = rows.write(tmp_path / "a.parquet", data, row_group_size=40)
    question: dict[str, Any] = {"summary_stats_period": "90d", "health_stats_period": "7d"}
    with ReleaseHealth(path) as health:
        expected = health.overview(now=NOW, stat="users", **question).rows
    monkeypatch.setattr(memory, "of_kernel", lambda *_: (held, threads))
    with ReleaseHealth(path) as health:
        assert health.overview(now=NOW, stat="users", **question).rows == expected
    assert expected


@pytest.mark.parametrize(
    ("memory_limit", "threads", "held", "room_for"),
    [
        ("1GB", 2, 192e6, 2),
        ("512MB", 2, (512e6 - 160e6 - 48e6) * 0.4, 2),
        ("512MB", 64, (512e6 - 160e6 - 7 * 24e6) * 0.4, 7),
        ("64MB", 2, 16e6, 1),
    ],
)
def test_a_memory_limit_bounds_what_is_held(
    memory_limit: str, threads: int, held: float, room_for: int
) -> None:
    assert memory.of_kernel(memory_limit, threads) == (int(held), room_for)


def test_the_newest_session_metric(tmp_path: Path) -> None:
    data = [
        session(org_id=5),
        user(1, org_id=6, timestamp=NOON + timedelta(minutes=1)),
        session(org_id=5, timestamp=NOON + HOUR) | {"metric": "c:custom/clicks@none"},
        session(org_id=5) | {"timestamp": None},
    ]
    path = rows.write(tmp_path / "a.parquet", data, row_group_size=1)
    (file,) = open_sources([path]).files
    noon = int(NOON.timestamp()) * 10**6
    assert newest_us(file, None) == noon + 60 * 10**6
    assert newest_us(file, 5) == noon
    assert newest_us(file, 7) is None


def test_a_counter_above_the_cap_is_invalid(tmp_path: Path) -> None:
    most = [session(value=2.0**32, timestamp=NOON)] * 1025
    path = rows.write(tmp_path / "a.parquet", [*most, session(value=2.0**32 + 1, timestamp=NOON)])
    for engine in ("kernel", "duckdb"):
        asked = ("overview", path, "--now", NOW, "--engine", engine)
        result = run(*asked, "-f", "json")
        found = json.loads(result.out)
        assert found["data"][0]["total_sessions"] == 1025 * 2**32
        assert found["meta"]["invalid_rows"] == 1
        assert (
            "1 invalid row left out: session counter null, NaN, infinite, negative or" in result.err
        )
        assert run(*asked, "--strict").code == 4


def damage(path: Path) -> None:
    """Overwrite what lies between the head and the footer."""
    size = path.stat().st_size
    footer = int.from_bytes(path.read_bytes()[-8:-4], "little")
    with path.open("r+b") as file:
        file.seek(4)
        file.write(b"\xff" * (size - footer - 12))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows.write(path, some_rows(1))
    damage(path)
    result = run("overview", str(path), "--org", "5", "--now", NOW)
    assert result.code == 4
    assert f"{path}: damaged or changed while it was read; write it again" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_file_that_goes_is_found_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "a.parquet", tmp_path / "b.parquet"
    rows.write(path, [session()])
    with ReleaseHealth(tmp_path) as health:
        assert health.overview(now=NOW)[1, rows.RELEASE].total_sessions == 1
        path.unlink()
        rows.write(other, [session(value=3.0)])
        assert health.overview(now=NOW)[1, rows.RELEASE].total_sessions == 3
        other.unlink()
        with pytest.raises(DataError, match="no Parquet file"):
            health.overview(now=NOW)


def test_text_that_is_no_utf_8_is_told(tmp_path: Path) -> None:
    table = rows.table([session(), session()])
    bad = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 2, 4], np.int32)), pa.py_buffer(b"\xff\xfeok")
    )
    at = table.column_names.index("release")
    pq.write_table(table.set_column(at, "release", bad), tmp_path / "a.parquet")
    result = run("overview", str(tmp_path), "--now", NOW)
    assert result.code == 4
    assert "a.parquet: column release: found string with 1 value that is not UTF-8" in result.err


@pytest.mark.parametrize("n", [1, 2, 3, 10, 997])
def test_percentiles_by_bins_are_those_by_sorting(n: int) -> None:
    random = Random(n)
    values = np.array(
        [random.choice([0.0, 1e-300, random.random() * 1e6, 1e300]) for _ in range(n)]
    )
    fractions = (0.0, 0.5, 0.75, 0.9, 0.99, 1.0)
    parts = [values[: n // 3], values[n // 3 :]]
    whole = percentiles(n, lambda: parts, fractions, most=n)
    assert percentiles(n, lambda: parts, fractions, most=0) == whole
    assert whole[0] == values.min()
    assert whole[-1] == values.max()
    assert percentiles(0, list, fractions, most=5) == [None] * 6


def test_no_more_durations_are_sorted_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Many of one duration, and 3,000 that differ in their last bits alone.
    values = np.concatenate([np.full(5_000, 7.5), 7.5 + np.arange(3_000) * 2.0**-49])
    np.random.default_rng(1).shuffle(values)
    fractions = (0.5, 0.9, 0.99)
    whole = percentiles(len(values), lambda: [values], fractions, most=10_000)
    sort, sorted_at_once = np.sort, []

    def noted(some: Any) -> Any:
        sorted_at_once.append(len(some))
        return sort(some)

    monkeypatch.setattr(np, "sort", noted)
    parts = np.array_split(values, 7)
    assert percentiles(len(values), lambda: parts, fractions, most=100) == whole
    assert all(count <= 100 for count in sorted_at_once)


def test_users_of_a_day_are_kept_in_bounds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [user(member % 700, release=f"a@{member % 3}") for member in range(2000)]
    path = rows.write(tmp_path / "a.parquet", [session(), *data])
    monkeypatch.setattr(memory, "of_kernel", lambda *_: (3_000, 2))
    with ReleaseHealth(path) as health:
        found = health.overview(now=NOW)
    assert {row.total_project_users_24h for row in found.values()} == {700}


def test_a_store_beyond_its_limit_is_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store = Store(limit=100)
    parts = [np.arange(n, dtype=np.uint64) for n in (3, 40, 5)]
    for part in parts:
        store.add([("key", part), ("other", part[:1])])
    assert os.listdir(tmp_path) == []
    assert store.keys() == {"key", "other"}
    assert store.count("key") == 48
    found = sorted(np.concatenate(list(store.parts("key", np.uint64))).tolist())
    assert found == sorted(np.concatenate(parts).tolist())
    many = np.arange(300_000, dtype=np.uint64)
    store.add([("many", many)])
    assert [len(part) for part in store.parts("many", np.uint64)] == [131_072, 131_072, 37_856]
    assert (np.concatenate(list(store.parts("many", np.uint64))) == many).all()
    store.drop(["key", "many"])
    assert store.keys() == {"other"}
    assert store.count("key") == 0
    store.close()


def test_only_what_is_needed_is_counted(tmp_path: Path) -> None:
    path = rows.write(tmp_path / "a.parquet", [session(), user(1), error(2), duration(3.0)])
    opened = Opened(path)
    asking, now = opened.asking(NOW)
    scope = Scope.resolve(now)
    (row,) = asking.figures(scope, needed=())
    assert (row.total_sessions, row.total_users, row.duration_p50) == (1, None, None)
    assert row.total_sessions_24h == 0
    (row,) = asking.figures(scope, needed={"users_by_status", "durations"})
    assert (row.total_users, row.duration_p50, row.sessions_errored) == (1, 3.0, 0)
    opened.close()


def some_asks(random: Random) -> list[Ask]:
    """Asks of many components, over scopes that have little in common."""
    asks = []
    for component in COMPONENTS.values():
        for _ in range(2):
            start = NOON - random.choice([1, 6, 24, 90 * 24]) * HOUR
            window = Window(start, NOON + random.choice([0, 1]) * HOUR)
            interval = random.choice([HOUR.seconds, 6 * HOUR.seconds, 86_400])
            scope = Scope(
                now=NOON + timedelta(minutes=30),
                summary=window,
                adoption=window,
                health=window,
                series=Series("", window, interval),
                projects=random.choice([None, (1,), (2, 300)]),
                environments=random.choice([None, None, ("production",), ("", "staging")]),
                # Of the adoption, the kernel tells no release that is not asked about.
                releases=None
                if component is ADOPTION
                else random.choice([None, ("a@1", "b@1"), ("none@1",)]),
            )
            by_group = "environment" in component.keys
            keys = [key for key in ("project", "release", "environment") if random.random() < 0.5]
            asks.append(
                Ask(
                    component,
                    scope,
                    frozenset(keys) if by_group else frozenset(),
                    random.choice([None, interval])
                    if by_group and "bucket" in component.keys
                    else None,
                    (0.0, 0.25, 0.5, 1.0) if component is DURATION_RANKS else (),
                    random.choice([("crashed",), ("unhandled", "abnormal")]),
                    random.choice([1, 3600, 5 * 3600, 22 * 3600]),
                )
            )
    random.shuffle(asks)
    return asks


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))])
@pytest.mark.parametrize("held", [1, 700, 10**9])
def test_a_batch_of_all_components(
    seed: int, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked together: each answer is the template's."""
    random = Random(seed)
    data = [*some_rows(seed, 700), *FLAWS]
    for row in data:
        row["abnormal_mechanism"] = random.choice(
            [None, None, "anr_foreground", "anr_background", "other"]
        )
        if row["value"] == 1e300:
            row["value"] = 8e11  # their mean is that of any order
    random.shuffle(data)
    rows.write(tmp_path / "a.parquet", data[:300], row_group_size=64)
    rows.write(tmp_path / "b.parquet", data[300:])
    monkeypatch.setattr(memory, "of_kernel", lambda *_: (held, 2))
    asks = some_asks(random)
    answers = []
    for way in ("kernel", "view"):
        with closing(engine_over(tmp_path, way, monkeypatch)) as engine:
            assert not any(map(engine.refuses, asks))
            answers.append(engine.answer(asks))
    filled = 0
    for ask, by_kernel, by_templates in zip(asks, *answers, strict=True):
        assert sorted(map(repr, by_kernel)) == sorted(map(repr, by_templates)), ask
        filled += bool(by_kernel)
    assert filled > len(asks) / 2


def test_row_groups_without_the_release_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the texts of their dictionaries, or of their rows."""
    data = [session(release=f"a@{at // 10}") for at in range(100)]
    rows.write(tmp_path / "a.parquet", data, row_group_size=10)
    read: list[int] = []
    check = parquet_pages.check

    def noted(path: str, footer: Footer, groups: list[int], columns: list[str]) -> bool:
        if "metric" in columns or "value" in columns:
            read.extend(groups)
        return check(path, footer, groups, columns)

    monkeypatch.setattr(parquet_pages, "check", noted)
    now = NOON + HOUR
    scope = replace(Scope.resolve(now), releases=("a@3", "a@7"))
    for dictionaries in (True, False):
        if not dictionaries:
            monkeypatch.setattr(parquet_pages, "texts", lambda *_: None)
        read.clear()
        with closing(engine_over(tmp_path, "kernel", monkeypatch)) as engine:
            (found,) = engine.answer([Ask(HEALTH_DATA, scope)])
        assert {row["release"] for row in found} == {"a@3", "a@7"}
        assert sorted(read) == [3, 7]
