"""Tables of Delta Lake and Iceberg in a store: their logs say which files count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import deltalake
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

import rows
from command import run
from object_stores import BUCKET
from relhealth import DataError, ReleaseHealth

if TYPE_CHECKING:
    from pathlib import Path

    from object_stores import S3

NOW = "2026-03-02T12:30:00Z"


def some(count: int) -> pa.Table:
    """Return a table of sessions as tables' writers have it."""
    table = rows.table([rows.session() for _ in range(count)])
    members = pa.array([None] * count, pa.int64())
    return table.set_column(table.schema.get_field_index("member"), "member", members)


def sessions(uri: str) -> int:
    """Return the sessions of the last day."""
    with ReleaseHealth(uri) as health:
        return sum(row.total_sessions or 0 for row in health.overview(now=NOW).rows)


def test_delta(s3: S3, tmp_path: Path) -> None:
    table = tmp_path / "table"
    deltalake.write_deltalake(table, some(10))
    deltalake.write_deltalake(table, some(3), mode="append")
    s3.put(table, "delta")
    assert sessions(f"s3://{BUCKET}/delta") == 13
    deltalake.write_deltalake(table, some(4), mode="overwrite")
    deltalake.DeltaTable(table).create_checkpoint()
    s3.put(table, "delta")
    assert sessions(f"s3://{BUCKET}/delta") == 4


def test_a_part_of_a_table_is_refused(s3: S3, tmp_path: Path) -> None:
    table = tmp_path / "table"
    deltalake.write_deltalake(table, some(10), partition_by=["project_id"])
    s3.put(table, "parted")
    (file,) = table.rglob("*.parquet")
    for part in (file.parent.name, f"{file.parent.name}/{file.name}", "*/*.parquet"):
        result = run("overview", f"s3://{BUCKET}/parted/{part}", "--now", NOW)
        assert result.code == 4
        told = f"part of a Delta Lake table; name the table, s3://{BUCKET}/parted"
        assert told in result.err


@pytest.fixture
def catalog(s3: S3, tmp_path: Path) -> SqlCatalog:
    return SqlCatalog(
        "test",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=f"s3://{BUCKET}/lake",
        **{
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            "s3.endpoint": f"http://127.0.0.1:{s3.port}",
            "s3.access-key-id": "key",
            "s3.secret-access-key": "secret",
            "s3.region": "us-east-1",
        },
    )


def test_iceberg(catalog: SqlCatalog) -> None:
    catalog.create_namespace("metrics")
    table = catalog.create_table("metrics.sessions", some(1).schema)
    table.append(some(10))
    table.append(some(3))
    uri = table.location()
    assert uri.startswith("s3://")
    assert sessions(uri) == 13
    table.overwrite(some(4))
    assert sessions(uri) == 4


def test_a_log_that_is_damaged_names_the_uri(s3: S3, tmp_path: Path) -> None:
    table = tmp_path / "table"
    deltalake.write_deltalake(table, some(10))
    s3.put(table, "broken")
    s3.put_object("broken/_delta_log/00000000000000000000.json", b"no json")
    with pytest.raises(DataError, match=f"s3://{BUCKET}/broken: .*log cannot be read"):
        sessions(f"s3://{BUCKET}/broken")
