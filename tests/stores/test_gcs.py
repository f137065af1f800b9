"""Data sets in Google Cloud Storage, by an emulator of its protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from command import run
from object_stores import BUCKET
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from object_stores import Gcs

SAMPLE = ROOT / "sample_data"
NOW = ("--now", "latest")


def test_answers_are_those_of_the_folder(gcs: Gcs) -> None:
    gcs.put(SAMPLE, "sample")
    for line in (("overview",), ("overview", "--period", "90d"), ("releases",)):
        name, *more = line
        found = run(name, f"gs://{BUCKET}/sample", *more, *NOW, "-f", "json")
        assert found.code == 0, found.err
        expected = run(name, str(SAMPLE), *more, *NOW, "-f", "json")
        assert json.loads(found.out) == json.loads(expected.out)


def test_the_cache_serves_again(gcs: Gcs, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcs.put(SAMPLE, "sample")
    line = ("overview", f"gs://{BUCKET}/sample", *NOW, "-f", "json")
    first = run(*line)
    assert first.code == 0, first.err
    assert list((cache / "objects").rglob("*.*"))
    read: list[str] = []
    monkeypatch.setattr("relhealth.stores.gcs.Gcs.read", lambda *_: read.append("object"))
    assert run(*line).out == first.out
    assert read == []


def test_faults(gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    result = run("overview", f"gs://{BUCKET}/nothing", *NOW)
    assert (result.code, "no such object, and none below it" in result.err) == (4, True)
    monkeypatch.setattr("relhealth.stores.gcs._PATIENCE", 1)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:9")
    result = run("overview", f"gs://{BUCKET}/sample", *NOW)
    assert (result.code, "the store does not answer; check" in result.err) == (4, True)
