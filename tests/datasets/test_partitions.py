"""Hive partitions: columns that come from the names of folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from files import NOW, PAIR, faults, sessions, write
from relhealth import QuestionError, ReleaseHealth
from rows import session


def test_a_date_folder_is_no_column(tmp_path: Path) -> None:
    """The timestamp decides, not the folder."""
    for day in ("2026-03-02", "1999-01-01", "nonsense", "__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / f"date={day}" / "a.parquet")
    assert sessions(tmp_path) == {PAIR: 4}


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [
        ("project_id", "7", {(7, "shop@1.0.0"): 1}),
        ("project_id", "-7", {(-7, "shop@1.0.0"): 1}),
        ("project_id", "%31%32", {(12, "shop@1.0.0"): 1}),
        ("release", "a@1+2", {(1, "a@1+2"): 1}),
        ("release", "007", {(1, "007"): 1}),
        ("release", "2026-03-02", {(1, "2026-03-02"): 1}),
        ("release", "a%2540%40b%20c%3D", {(1, "a%40@b c="): 1}),
        ("release", "%E5%81%A5@1", {(1, "健@1"): 1}),
        ("release", "健康 'x' [1]*", {(1, "健康 'x' [1]*"): 1}),
        ("release", "NULL", {(1, "NULL"): 1}),
        ("release", "__HIVE_DEFAULT_PARTITION__", {}),
        ("project_id", "__HIVE_DEFAULT_PARTITION__", {}),
        ("metric", "c%3Asessions%2Fsession%40none", {PAIR: 1}),
        ("session_status", "init", {PAIR: 1}),
        ("session_status", "__HIVE_DEFAULT_PARTITION__", {PAIR: 0}),
    ],
)
def test_a_column_from_the_folder(
    tmp_path: Path, name: str, folder: str, expected: dict[tuple[int, str], int]
) -> None:
    file = write(tmp_path / f"{name}={folder}" / "a.parquet", without=[name])
    assert sessions(file) == expected


@pytest.mark.parametrize("folder", ["environment=", "environment=__HIVE_DEFAULT_PARTITION__"])
def test_no_environment_from_the_folder(tmp_path: Path, folder: str) -> None:
    file = write(tmp_path / folder / "a.parquet", without=["environment"])
    with ReleaseHealth(file) as health:
        assert len(health.overview(environments=[""], now=NOW)) == 1
        assert len(health.overview(environments=["production"], now=NOW)) == 0


def test_several_folders(tmp_path: Path) -> None:
    """Columns from folders of several depths, beside a file that has them itself."""
    for project in (1, 2):
        write(
            tmp_path / "date=2026-03-02" / f"project_id={project}" / "release=a@1" / "x.parquet",
            session(value=float(project)),
            without=["project_id", "release"],
        )
    write(tmp_path / "plain.parquet", session(project_id=3, value=3.0))
    assert sessions(tmp_path) == {(1, "a@1"): 1, (2, "a@1"): 2, (3, "shop@1.0.0"): 3}


def test_the_same_folders_in_another_order(tmp_path: Path) -> None:
    write(tmp_path / "project_id=1/release=a@1/x.parquet", without=["project_id", "release"])
    write(tmp_path / "release=a@1/project_id=1/x.parquet", without=["project_id", "release"])
    assert sessions(tmp_path) == {(1, "a@1"): 2}


def test_a_file_s_own_column_goes_before_the_folder(tmp_path: Path) -> None:
    """Also where another column comes from a folder."""
    write(tmp_path / "release=outside" / "a.parquet", session(release="inside"))
    assert sessions(tmp_path) == {(1, "inside"): 1}
    folder = tmp_path / "deep" / "project_id=7" / "release=outside"
    write(folder / "a.parquet", session(release="inside"), without=["project_id"])
    assert sessions(folder) == {(7, "inside"): 1}


@pytest.mark.parametrize(
    ("folder", "without", "expected"),
    [
        ("project_id=seven", "project_id", "an integer"),
        ("project_id=", "project_id", "an integer"),
        ("project_id=1.5", "project_id", "an integer"),
        ("project_id=99999999999999999999", "project_id", "an integer"),
        ("value=1", "value", "a number"),
        ("timestamp=2026-03-02", "timestamp", "a timestamp"),
    ],
)
def test_a_folder_of_the_wrong_type(
    tmp_path: Path, folder: str, without: str, expected: str
) -> None:
    file = write(tmp_path / folder / "a.parquet", without=[without])
    (fault,) = faults(file)
    assert fault.startswith(f"{file}: column {without}: found folder {folder}, expected {expected}")


def test_organisations_from_folders_are_told_apart(tmp_path: Path) -> None:
    for org in (1, 2):
        write(tmp_path / f"org_id={org}" / "a.parquet", without=["org_id"])
    with (
        ReleaseHealth(tmp_path) as health,
        pytest.raises(QuestionError, match="span organisations 1, 2: name one with --org"),
    ):
        health.overview(now=NOW)
    with ReleaseHealth(tmp_path, org=2) as health:
        assert [row.total_sessions for row in health.overview(now=NOW).rows] == [1]
