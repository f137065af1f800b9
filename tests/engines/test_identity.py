"""The same bytes for any layout of the rows in files and any limits of the work."""

from __future__ import annotations

import random
import re
import shutil
from datetime import timedelta
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command import run
from envelopes import NOON, NOW, envelope, iso, update
from relhealth.machine import memory

RELEASES = [f"shop@1.{minor}.0" for minor in range(4)]
LAYOUTS = ("raw", "sorted", "compacted")
QUESTIONS = [
    ["overview", "--period", "24h", "--stats-period", "24h"],
    ["overview", "--period", "7d", "--stats-period", "7d", "--stat", "users"],
    ["overview", "--period", "90d", "-e", "beta", "-r", RELEASES[1], "-r", "ghost@1"],
    ["releases", "--period", "7d", "--sort", "crash_free_users"],
    ["release", RELEASES[2]],
    ["projects"],
    ["adoption"],
    ["query", "-F", "count_unique(user)", "-F", "avg(session.duration)", "-F", "anr_rate()",
     "-F", "sum(session)", "-g", "release", "-g", "environment", "--interval", "6h"],
    ["compare", RELEASES[0], RELEASES[2], "--period", "7d"],
    ["gate", "--target", "99", "--critical", "90", "--dry-run", "-r", RELEASES[0]],
]  # fmt: skip


def stream(seed: int) -> bytes:
    """Return an envelope of sessions of three days."""
    chance = random.Random(seed)
    items = []
    for _ in range(250):
        attributes = {
            "release": chance.choice(RELEASES),
            "environment": chance.choice(["production", "beta"]),
        }
        items.append(
            update(
                f"{chance.getrandbits(128):032x}",
                started=iso(NOON - timedelta(seconds=chance.randrange(3 * 86_400))),
                did=f"user-{chance.randrange(120)}",
                status=chance.choice(["exited", "exited", "crashed", "ok", "abnormal"]),
                duration=chance.randrange(1_000_000) / 1000,
                errors=chance.choice([0, 0, 2]),
                attrs=attributes,
            )
        )
    return envelope(*items, project=1 + seed % 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets with the same rows; each also with a rollup."""
    folder = tmp_path_factory.mktemp("identity")
    for seed in range(4):
        source = folder / f"{seed}.envelope"
        source.write_bytes(stream(seed))
        assert run("ingest", str(source), "--to", str(folder / "raw"), "--now", NOW).code == 0
    shutil.copytree(folder / "raw", folder / "compacted")
    assert run("compact", str(folder / "compacted")).code == 0
    files = sorted((folder / "raw").glob("date=*/*.parquet"))
    table = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    order = [(name, "ascending") for name in ("metric", "project_id", "timestamp")]
    (folder / "sorted").mkdir()
    pq.write_table(table.sort_by(order), folder / "sorted" / "all.parquet", row_group_size=500)
    for layout in LAYOUTS:
        shutil.copytree(folder / layout, folder / f"{layout}-rollup")
        assert run("rollup", str(folder / f"{layout}-rollup")).code == 0
    return folder


@pytest.fixture(params=["plenty", "next to nothing"])
def little(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that bound memory; with next to nothing, values are spilled and counted in slices."""
    if request.param == "plenty":
        return []
    usual = memory.of_kernel

    def least(memory_limit: str | None, threads: int) -> tuple[int, int]:
        return 1000, usual(memory_limit, threads)[1]

    monkeypatch.setattr(memory, "of_kernel", least)
    return ["--memory-limit", "256MB"]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_the_same_bytes(question: list[str], every: int, data: Path, little: list[str]) -> None:
    """By every third way, which are all layouts, or by all ways."""
    answers: dict[str, list[str]] = {}
    ways = product(LAYOUTS, ("", "-rollup"), ("2",) if little else ("1", "2"))
    for layout, rollup, threads in list(ways)[::every]:
        source = str(data / f"{layout}{rollup}")
        options = ["--now", NOW, "--threads", threads, "-f", "json", *little]
        result = run(question[0], source, *question[1:], *options)
        assert result.code in {0, 1, 3}, result.err
        assert "rollup is not used" not in result.err
        document = re.sub(r'"files": \d+', '"files": N', result.out)
        document = re.sub(r', "engine": \[[^]]*\]', "", document)
        answers.setdefault(document, []).append(f"{source} {threads}")
    assert len(answers) == 1, [*answers.values()]
    assert len(document) > 500


def test_a_rollup_is_what_is_asked(data: Path, tmp_path: Path) -> None:
    """The comparison above compares two things: a damaged rollup is stumbled over."""
    shutil.copytree(data / "raw-rollup", tmp_path / "data")
    for path in (tmp_path / "data" / "_rollup").rglob("groups.parquet"):
        path.write_bytes(bytes(path.stat().st_size))
    for question in QUESTIONS:
        result = run(question[0], str(tmp_path / "data"), *question[1:], "--now", NOW)
        assert result.code == (0 if "--dry-run" in question else 4)
        assert re.search(r"_rollup\S*: damaged; .*relhealth rollup --force", result.err)
