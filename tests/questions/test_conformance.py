"""The product, and the reference, against the peer's own answers in `conformance/cases`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow.parquet as pq
import pytest

import reference
import rows
from command import run
from places import TESTS
from relhealth import ReleaseHealth
from sessions import metric_rows, metric_table

pytestmark = pytest.mark.usefixtures("over_clusters_too")

Case: TypeAlias = dict[str, Any]

FILES = sorted((TESTS / "conformance" / "cases").glob("*.json"))
# Questions for the product only; the reference answers the others.
SERVICE: dict[str, Callable[[ReleaseHealth, Case, Case], Any]] = {
    "changed_releases": lambda health, call, case: as_names(
        health.changed_project_releases(call["project_ids"], now=now_of(case))
    ),
    "crash_free_breakdown": lambda health, call, case: [
        point | {"date": zulu(point["date"])}
        for point in health.crash_free_breakdown(
            call["project_id"],
            call["release"],
            start=call["start"],
            environments=call["environments"],
            now=now_of(case),
        )
    ],
    "crash_free_rates": lambda health, call, _: [
        {
            "project_id": project,
            "currentCrashFreeRate": rates["current"],
            "previousCrashFreeRate": rates["previous"],
        }
        for project, rates in health.crash_free_rates(
            call["project_ids"],
            current=(call["current_start"], call["current_end"]),
            previous=(call["previous_start"], call["previous_end"]),
            interval=call["rollup"],
        ).items()
    ],
    "release_stats": lambda health, call, _: as_lists(
        health.release_stats(
            call["project_id"],
            call["release"],
            stat=call["stat"],
            interval=call["rollup"],
            start=call["start"],
            end=call["end"],
        )
    ),
    "releases_by_stability": lambda health, call, case: as_names(
        health.releases_by_stability(
            call["project_ids"],
            scope=call["scope"],
            period=call["stats_period"],
            offset=call["offset"],
            limit=call["limit"],
            now=now_of(case),
        )
    ),
    "releases_count": lambda health, call, case: health.releases_count(
        call["project_ids"],
        scope=call["scope"],
        period=call["stats_period"] or "24h",
        environments=call["environments"],
        now=now_of(case),
    ),
    "releases_with_health_data": lambda health, call, _: sorted(
        health.check_releases_have_health_data(
            call["project_ids"], call["releases"], start=call["start"], end=call["end"]
        )
    ),
    "sessions_count": lambda health, call, _: health.sessions_count(
        call["project_id"],
        start=call["start"],
        end=call["end"],
        interval=call["rollup"],
        environments=None if call["environment"] is None else [call["environment"]],
    ),
    "sessions_count_per_project": lambda health, call, _: [
        {"project_id": project, "count": count}
        for project, count in health.sessions_per_project(
            call["project_ids"],
            start=call["start"],
            end=call["end"],
            interval=call["rollup"],
            environments=call["environments"],
        ).items()
    ],
    "sessions_query": lambda health, call, case: in_milliseconds(
        health.query(
            call["field"],
            group_by=call.get("groupBy", ()),
            period=call.get("statsPeriod"),
            start=call.get("start"),
            end=call.get("end"),
            interval=call.get("interval", "1h"),
            projects=None if call.get("project", [-1]) == [-1] else call["project"],
            **filters(call.get("query", "")),
            order_by=call.get("orderBy"),
            limit=call.get("per_page"),
            offset=call.get("offset", 0),
            now=now_of(case),
        )
    ),
    "time_bounds": lambda health, call, case: {
        name: None if bound is None else zulu(bound)
        for name, bound in health.session_time_bounds(
            call["project_id"],
            call["release"],
            environments=call["environments"],
            now=now_of(case),
        ).items()
    },
}
VERBS = {"adoption", "has_health_data", "overview"}

every_case = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
case_of_reference = pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.stem.split("__")[0] in VERBS],
    ids=lambda path: path.stem,
)


@every_case
def test_product_answers_as_the_peer(path: Path, tmp_path: Path) -> None:
    case = read(path)
    source = tmp_path / "sessions.parquet"
    # A file needs a row, and this one is of no session metric.
    idle = rows.session(metric="c:transactions/count@none", timestamp=now_of(case))
    pq.write_table(metric_table([*metric_rows(case["sessions"]), idle]), source)
    verb = case["verb"]
    if verb in SERVICE:
        with ReleaseHealth(source, org=case["call"].get("org_id")) as health:
            expected = case["expected"] if isinstance(case["expected"], dict) else {}
            if "error" in expected:
                with pytest.raises(ValueError, match=r"[a-z]"):
                    SERVICE[verb](health, case["call"], case)
                return
            answer = SERVICE[verb](health, case["call"], case)
        if "status" not in expected:
            check_case(answer, case)
        return
    ask: dict[str, Callable[[Case, Path], Any]] = {
        "overview": overview_of_product,
        "adoption": adoption_of_product,
        "has_health_data": health_data_of_product,
    }
    check_case(ask[case["verb"]](case, source), case)


@case_of_reference
def test_reference_answers_as_the_peer(path: Path) -> None:
    case = read(path)
    ask: dict[str, Callable[[Case], Any]] = {
        "overview": overview_of_reference,
        "adoption": adoption_of_reference,
        "has_health_data": health_data_of_reference,
    }
    check_case(ask[case["verb"]](case), case)


def test_every_verb_has_cases() -> None:
    assert {path.stem.split("__")[0] for path in FILES} == VERBS | SERVICE.keys()


def overview_of_product(case: Case, source: Path) -> list[Any]:
    call = case["call"]
    args = ["overview", str(source), "-f", "json", "--now", case["now"]]
    for project, release in pairs_of(call):
        args += ["--release", f"{project}/{release}"]
    for option, key in (
        ("--period", "summary_stats_period"),
        ("--stats-period", "health_stats_period"),
        ("--stat", "stat"),
    ):
        if call.get(key):
            args += [option, call[key]]
    result = run(*args)
    assert result.code == 0, result.err
    data: list[Any] = json.loads(result.out)["data"]
    return data


def adoption_of_product(case: Case, source: Path) -> list[Any]:
    health = ReleaseHealth([source])
    return as_records(health.adoption(pairs_of(case["call"]), now=now_of(case)))


def health_data_of_product(case: Case, source: Path) -> list[Any]:
    health = ReleaseHealth([source])
    return as_names(health.check_has_health_data(asked_of(case["call"]), now=now_of(case)))


def overview_of_reference(case: Case) -> list[Any]:
    call = case["call"]
    return reference.overview(
        metric_rows(case["sessions"]),
        now=now_of(case),
        period=call["summary_stats_period"],
        stats_period=call.get("health_stats_period"),
        stat=call["stat"],
        pairs=pairs_of(call),
    )


def adoption_of_reference(case: Case) -> list[Any]:
    rows = metric_rows(case["sessions"])
    return as_records(reference.adoption(rows, pairs_of(case["call"]), now=now_of(case)))


def health_data_of_reference(case: Case) -> list[Any]:
    rows = metric_rows(case["sessions"])
    return as_names(reference.has_health_data(rows, asked_of(case["call"]), now=now_of(case)))


def read(path: Path) -> Case:
    case: Case = json.loads(path.read_text("utf-8"))
    return case


def now_of(case: Case) -> datetime:
    return datetime.fromisoformat(case["now"])


def pairs_of(call: Case) -> list[reference.Pair]:
    return [(pair["project_id"], pair["release"]) for pair in call["project_releases"]]


def asked_of(call: Case) -> list[Any]:
    return call["project_ids"] if "project_ids" in call else pairs_of(call)


def as_records(shares: Any) -> list[Any]:
    return [
        {"project_id": project, "release": release} | dict(share)
        for (project, release), share in shares.items()
    ]


def as_lists(stats: tuple[list[tuple[int, Any]], Any]) -> Any:
    series, totals = stats
    return {"series": [list(point) for point in series], "totals": totals}


STATUSES = {"healthy", "errored", "unhandled", "crashed", "abnormal"}
TERM = re.compile(r'(!?)(release|environment|session\.status):(\[[^]]*\]|"[^"]*"|\S+)')


def filters(query: str) -> dict[str, list[str] | None]:
    """The peer's search text as filters: terms of one key unite, but those of statuses intersect.

    For releases and environments that is so of OR alone, but no case has two of them in an AND.
    """
    found: dict[str, set[str]] = {}
    for negated, key, value in TERM.findall(query):
        listed = {one.split(":")[-1].strip(' "') for one in value.strip("[]").split(",")}
        if key == "session.status":
            kept = STATUSES - listed if negated else STATUSES & listed
            found[key] = found.get(key, STATUSES) & kept
        else:
            assert not negated
            found[key] = found.get(key, set()) | listed
    assert not set(re.sub(r"(?i)\bor\b", "", TERM.sub("", query))) - {" "}, query
    names = {"releases": "release", "environments": "environment", "statuses": "session.status"}
    return {name: sorted(found[key]) if key in found else None for name, key in names.items()}


def in_milliseconds(answer: Any) -> Any:
    """An answer as the peer has it: with durations in milliseconds, and the search text."""

    def scaled(name: str, value: float | None) -> float | None:
        return value * 1000 if "duration" in name and value is not None else value

    groups = [
        {
            "by": group["by"],
            "totals": {name: scaled(name, one) for name, one in group["totals"].items()},
            "series": {
                name: [scaled(name, one) for one in values]
                for name, values in group["series"].items()
            },
        }
        for group in answer["groups"]
    ]
    return {**answer, "groups": groups, "query": ""}


def zulu(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def as_names(found: Any) -> list[Any]:
    return [
        {"project_id": one[0], "release": one[1]} if isinstance(one, tuple) else one
        for one in found
    ]


def check_case(answer: Any, case: Case) -> None:
    """Pass if the answer agrees with the expected one or with another accepted edition."""
    others = [one.get("expected", one) for one in case.get("also_accept", [])]
    editions = [case["expected"], *others]
    differences = [difference(answer, edition, "answer") for edition in editions]
    assert None in differences, differences


def difference(got: Any, expected: Any, where: str) -> str | None:
    """Where and how an answer first differs from what is expected of it, if it does."""
    match expected:
        case {"unordered": list(members)}:
            return difference(sorted(got, key=_name), sorted(members, key=_name), where)
        case dict() if isinstance(got, dict) and expected.keys() <= got.keys():
            parts = ((got[key], expected[key], f"{where}.{key}") for key in expected)
        case list() if isinstance(got, list) and len(got) == len(expected):
            pairs = enumerate(zip(got, expected, strict=True))
            parts = ((one, other, f"{where}[{index}]") for index, (one, other) in pairs)
        case float() if isinstance(got, float) and math.isclose(got, expected, rel_tol=1e-9):
            return None
        case int() if isinstance(got, float) and got == expected:
            return None  # the peer's JSON has whole numbers for whole rates
        case _ if type(got) is type(expected) and got == expected:
            return None
        case _:
            return f"{where}: {got!r} is not {expected!r}"
    return next(filter(None, (difference(*part) for part in parts)), None)


def _name(member: Any) -> tuple[Any, ...]:
    match member:
        case {"by": by}:
            return tuple(f"{key}={value}" for key, value in sorted(by.items()))
        case {"project_id": project}:
            return project, member.get("release", "")
        case _:
            return (member,)
