"""Memory limits: sizes, what there is, and how it is shared out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from relhealth import QuestionError, ReleaseHealth
from relhealth.ingest import change
from relhealth.ingest.parsing import Plan
from relhealth.ingest.run import ingest
from relhealth.ingest.staging import AcceptedSpan
from relhealth.machine import memory
from relhealth.machine.database import Database

if TYPE_CHECKING:
    from pathlib import Path

NOON = "2026-03-02T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512_000_000),
        ("512MiB", 536_870_912),
        ("2GB", 2_000_000_000),
        (" 0.5 gib ", 536_870_912),
        ("1TB", 10**12),
        ("64kB", 64_000),
        ("1.5KiB", 1_536),
    ],
)
def test_a_size(text: str, size: int) -> None:
    assert memory.memory_bytes(text) == size
    assert memory.allowed(text) == size


@pytest.mark.parametrize(
    "text", ["", "512", "MB", "-1GB", "1e3MB", "1GB 2GB", "1,5GB", "50%", "0MB", "0.0001kB", 5]
)
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(QuestionError, match="memory limit"):
        memory.memory_bytes(text)


def test_the_default_is_half_of_what_there_is() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory.available() <= machine
    assert memory.allowed(None) == memory.available() // 2


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/a/b", {"a/b/memory.max": "7000\n"}, 7000),
        ("0::/a/b", {"a/b/memory.max": "max\n", "a/memory.max": "5000\n"}, 5000),
        ("0::/of/the/host", {"memory.max": "6000\n"}, 6000),
        ("4:memory:/x\n0::/", {"memory/x/memory.limit_in_bytes": "4000\n"}, 4000),
        ("9:cpu:/x", {"x/memory.max": "1"}, None),
        ("", {}, None),
    ],
)
def test_a_control_group_holds_us_to_less(
    groups: str, limits: dict[str, str], expected: int | None, tmp_path: Path
) -> None:
    for name, text in limits.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "groups").write_text(groups)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = memory.available(str(tmp_path / "groups"), str(tmp_path / "fs"))
    assert found == (expected or machine)


@pytest.mark.parametrize(
    ("limit", "threads", "share"),
    [
        ("1GB", 2, (800_000_000, 2)),
        ("1GB", 64, (800_000_000, 12)),
        ("512MB", 2, (312_000_000, 2)),
        ("200MB", 2, (50_000_000, 1)),
    ],
)
def test_the_share_of_the_database(limit: str, threads: int, share: tuple[int, int]) -> None:
    assert memory.of_database(limit, threads) == share


@pytest.mark.parametrize("limit", ["256MB", "512MB", "1GB", "8GB"])
def test_what_the_kernel_takes_at_its_most_is_within_the_limit(limit: str) -> None:
    held, threads = memory.of_kernel(limit, 8)
    assert 160e6 + threads * 24e6 + 2.5 * held <= memory.memory_bytes(limit)


def test_a_day_that_needs_more_memory_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 40_000
    lines = (f"s{n},2026-03-02T10:00:00Z,1,exited,shop@1.0.0,u{n}\n" for n in range(rows))
    source = tmp_path / "sessions.csv"
    source.write_text("session_id,started,project_id,status,release,user\n" + "".join(lines))
    grown: list[int] = []
    allow = Database.allow

    def noted(database: Database, own_memory: int) -> None:
        grown.append(own_memory)
        allow(database, own_memory)

    monkeypatch.setattr(Database, "allow", noted)
    monkeypatch.setattr(change, "SORT_MEMORY", 6 * memory.MEGABYTE)
    found = ingest([str(source)], tmp_path / "data", Plan(AcceptedSpan.until(NOON, "90d")))
    assert found.sessions == rows
    assert grown[:1] == [12 * memory.MEGABYTE]
    with ReleaseHealth(tmp_path / "data") as health:
        assert health.overview(now=NOON).rows[0].total_users == rows
