"""Releases by word, in every command that takes a release, and the names nearest to a typed one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import rows
from command import run
from relhealth.core.errors import ExitCode
from relhealth.core.nearest import nearest
from rows import NOON, session

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-03-02T12:30:00Z"
# The prevailing release is not the previous one, which was rolled back.
GIVEN = [
    session(release=release, value=count, timestamp=NOON - timedelta(hours=hours))
    for release, count, hours in (
        ("shop@1.0.0", 500.0, 9),
        ("shop@1.1.0", 20.0, 8),
        ("shop@1.2.0", 900.0, 1),
    )
]
MEANT = {"latest": "shop@1.2.0", "previous": "shop@1.1.0", "prevailing": "shop@1.0.0"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of the rows."""
    monkeypatch.chdir(tmp_path)
    return rows.write("sessions.parquet", GIVEN)


def data(*args: str) -> Any:
    """Return the data of an answer."""
    result = run(*args, "--now", NOW, "-f", "json")
    assert result.code == ExitCode.OK, result.err
    return json.loads(result.out)["data"]


@pytest.mark.parametrize("word", MEANT)
def test_a_word_means_a_release_in_every_command(word: str, file: str) -> None:
    for command in ("overview", "adoption"):
        found = data(command, file, "-r", word)
        assert {row["release"] for row in found} == {MEANT[word]}, command
    assert [row["release"] for row in data("release", file, word)] == [MEANT[word]]
    ask = ["gate", file, "-r", word, "--target", "1.5", "--now", "2026-03-02T14:00:00Z"]
    judged = run(*ask, "-f", "json")
    assert [row["release"] for row in json.loads(judged.out)["data"]] == [MEANT[word]]


def test_two_words_are_compared(file: str) -> None:
    result = run("compare", file, "prevailing", "latest", "--now", NOW, "-f", "json")
    meta = json.loads(result.out)["meta"]
    assert (meta["first"], meta["second"]) == ("shop@1.0.0", "shop@1.2.0")


def test_a_word_of_several_releases_cannot_be_compared(file: str) -> None:
    other = rows.write("api.parquet", [session(release="api@1.0.0", project_id=2)])
    result = run("compare", file, other, "previous", "latest", "--now", NOW)
    assert result.code == ExitCode.USAGE
    assert "latest is several releases: 1/shop@1.2.0, 2/api@1.0.0" in result.err
    narrowed = run("compare", file, other, "previous", "latest", "--now", NOW, "-p", "1")
    assert narrowed.code == ExitCode.OK


def test_a_word_that_means_nothing_is_refused(file: str) -> None:
    alone = rows.write("alone.parquet", [session(release="nightly")])
    for word in MEANT:
        result = run("overview", alone, "-r", word, "--now", NOW)
        assert result.code == ExitCode.USAGE
        assert f"{word}: no release with a version is that; name a release" in result.err
    assert data("overview", file, "-r", "shop@1.1.0")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("shop@1.10.O", ["shop@1.10.0", "shop@1.1.0", "shop@1.9.0"]),
        ("SHOP@1.9.0", ["shop@1.9.0"]),
        ("1.9", ["shop@1.9.0"]),
        ("zzz", []),
    ],
)
def test_the_nearest_names_are_found(name: str, found: list[str]) -> None:
    known = ["api@2.0.0", "shop@1.9.0", "shop@1.10.0", "shop@1.1.0"]
    assert nearest(name, known)[: len(found) or 1] == found
