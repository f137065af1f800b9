"""The product, and the reference, against the peer's own answers in `conformance/cases`."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow.parquet as pq
import pytest

import reference
from command import run
from relhealth import ReleaseHealth
from sessions import metric_rows, metric_table

if TYPE_CHECKING:
    from collections.abc import Callable

Case: TypeAlias = dict[str, Any]

FILES = sorted((Path(__file__).parent / "conformance" / "cases").glob("*.json"))
VERBS = {"adoption", "has_health_data", "overview"}

every_case = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@every_case
def test_product_answers_as_the_peer(path: Path, tmp_path: Path) -> None:
    case = read(path)
    source = tmp_path / "sessions.parquet"
    pq.write_table(metric_table(metric_rows(case["sessions"])), source)
    ask: dict[str, Callable[[Case, Path], Any]] = {
        "overview": overview_of_product,
        "adoption": adoption_of_product,
        "has_health_data": health_data_of_product,
    }
    check_case(ask[case["verb"]](case, source), case)


@every_case
def test_reference_answers_as_the_peer(path: Path) -> None:
    case = read(path)
    ask: dict[str, Callable[[Case], Any]] = {
        "overview": overview_of_reference,
        "adoption": adoption_of_reference,
        "has_health_data": health_data_of_reference,
    }
    check_case(ask[case["verb"]](case), case)


def test_every_verb_has_cases() -> None:
    assert {path.stem.split("__")[0] for path in FILES} == VERBS


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


def as_names(found: Any) -> list[Any]:
    return [
        {"project_id": one[0], "release": one[1]} if isinstance(one, tuple) else one
        for one in found
    ]


def check_case(answer: list[Any], case: Case) -> None:
    """Pass if the answer agrees with the expected one or with another accepted edition."""
    editions = [case["expected"], *case.get("also_accept", [])]
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
        case _ if type(got) is type(expected) and got == expected:
            return None
        case _:
            return f"{where}: {got!r} is not {expected!r}"
    return next(filter(None, (difference(*part) for part in parts)), None)


def _name(member: Any) -> tuple[Any, ...]:
    return (member["project_id"], member["release"]) if isinstance(member, dict) else (member,)
