"""Releases by a part of the name: exact first, then the one that matches, then a refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rows
from command import run
from relhealth.questions.naming import matching
from rows import session

if TYPE_CHECKING:
    from pathlib import Path

NOW = ("--now", "2026-03-02T12:30:00Z")
NAMES = [
    "com.example.shop@3.9.0+4296",
    "com.example.shop@3.9.0-rc.1+4289",
    "com.example.shop@3.9.1+4303",
    "com.example.shop@3.10.0+4400",
    "courier@3.9.1",
    "1d5a3ee51ff9c5581b4f7413be99ad62eeafbb9d",
]


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "rows.parquet"
    found = [session(release=name) for name in NAMES]
    found.append(session(release=NAMES[2], project_id=2))
    pq.write_table(rows.table(found), path)
    return str(path)


@pytest.mark.parametrize(
    ("text", "means"),
    {
        "com.example.shop@3.9.0": NAMES[:1],
        "shop@3.9.0": NAMES[:1],
        "3.9.0": NAMES[:1],
        "3.9.0-rc.1": NAMES[1:2],
        "3.9.1": [NAMES[2], NAMES[4]],
        "shop@3.9": [NAMES[0], NAMES[1], NAMES[2]],
        "shop@3": [NAMES[3], NAMES[0], NAMES[1], NAMES[2]],
        "3.1": [],
        "op@3.9.0": [],
        "*@3.9.0*": [NAMES[0], NAMES[1]],
        "1d5a3ee": NAMES[5:],
        "1d5a3": [],
        "shop": [],
        "": [],
    }.items(),
)
def test_what_a_part_means(text: str, means: list[str]) -> None:
    assert matching(text, NAMES) == means


def test_strictly_only_the_build_or_the_package_may_differ() -> None:
    assert matching("shop@3.9.0", NAMES, strictly=True) == NAMES[:1]
    assert matching("shop@3.9", NAMES, strictly=True) == []
    assert matching("1d5a3ee", NAMES, strictly=True) == []


@given(st.text(max_size=20), st.lists(st.text(max_size=20)))
def test_whatever_is_typed_it_means_known_names(text: str, known: list[str]) -> None:
    assert set(matching(text, known)) <= set(known)


def test_every_command_takes_a_part(source: str) -> None:
    full = NAMES[0]
    for line in (
        ("overview", source, "-r", "3.9.0"),
        ("overview", source, "-r", "1/3.9.0"),
        ("release", source, "shop@3.9.0"),
        ("adoption", source, "-r", "shop@3.9.0"),
    ):
        result = run(*line, *NOW, "-f", "json")
        assert result.code == 0, result.err
        assert json.loads(result.out)["data"][0]["release"] == full
        assert f"this is {full}" in result.err
    result = run("compare", source, "3.9.0", "shop@3.9.1", *NOW)
    assert result.code == 0, result.err
    result = run("gate", source, "-r", "shop@3.9.0", "--target", "99", *NOW, "-f", "json")
    assert {row["release"] for row in json.loads(result.out)["data"]} == {full}


def test_of_several_none_is_taken(source: str) -> None:
    result = run("overview", source, "-r", "3.9.1", *NOW)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "relhealth: error: release 3.9.1: 2 releases match, com.example.shop@3.9.1+4303,"
        " courier@3.9.1; name one\n"
    )
    assert run("overview", source, "-r", "2/3.9.1", *NOW).code == 0


def test_a_full_name_is_exact(source: str) -> None:
    result = run("overview", source, "-r", NAMES[4], *NOW, "-f", "json")
    assert [row["release"] for row in json.loads(result.out)["data"]] == [NAMES[4]]
    assert "this is" not in result.err


def test_a_gate_judges_no_other_version(source: str) -> None:
    result = run("gate", source, "-r", "shop@3.10", "--target", "99", *NOW, "-f", "json")
    assert result.code == 3
    assert {row["release"] for row in json.loads(result.out)["data"]} == {"shop@3.10"}


def test_an_unknown_name_brings_the_nearest(source: str) -> None:
    result = run("overview", source, "-r", "com.example.shop@3.9.7", *NOW)
    assert result.code == 0
    assert "the most similar are com.example.shop@3.9" in result.err
    result = run("compare", source, "com.example.shop@3.9.7", "3.9.0", *NOW)
    assert result.code == 4
    assert "no session in 90 days; the most similar are com.example.shop@3.9" in result.err
