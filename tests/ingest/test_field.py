"""Inputs of the kinds that people have, each with what is right, as ``cases.json`` has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command import run
from places import TESTS

FIELD = TESTS / "data" / "field"
FOUND = json.loads((FIELD / "cases.json").read_text(encoding="utf-8"))


def cases(what: str) -> list[Any]:
    """Return the cases of one kind as pytest's parameters."""
    return [pytest.param(case, id=case["name"]) for case in FOUND["cases"] if what in case]


@pytest.mark.parametrize("case", cases("sources"))
@pytest.mark.parametrize("now", [FOUND["now"], "latest"])
def test_sources(case: dict[str, Any], now: str) -> None:
    sources = [str(FIELD / source) for source in case["sources"]]
    ended = run("overview", *sources, "--now", now, "-f", "json")
    assert ended.code == 0, ended.err
    told = [
        {figure: row[figure] for figure in wanted}
        for wanted, row in zip(case["expected"], json.loads(ended.out)["data"], strict=True)
    ]
    assert told == case["expected"]


@pytest.mark.parametrize("case", cases("ingest"))
def test_ingest(case: dict[str, Any], tmp_path: Path) -> None:
    dataset = str(tmp_path / "data")
    for files in case["ingest"]:
        inputs = [str(FIELD / file) for file in files]
        line = ("ingest", *inputs, "--to", dataset, "--now", FOUND["now"], *case["options"])
        ended = run(*line)
        assert ended.code == 0, ended.err
    ended = run("overview", dataset, "--now", FOUND["now"], "-f", "json")
    assert ended.code == 0, ended.err
    told = [
        {figure: row[figure] for figure in wanted}
        for wanted, row in zip(case["expected"], json.loads(ended.out)["data"], strict=True)
    ]
    assert told == case["expected"]


@pytest.mark.parametrize("case", cases("gate"))
def test_gate(case: dict[str, Any]) -> None:
    ended = run("gate", str(FIELD / case["gate"]), "--now", FOUND["now"], *case["args"])
    assert ended.code == case["exit"], ended.err
