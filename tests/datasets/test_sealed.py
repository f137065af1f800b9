"""Files of our own: row groups, checksums, and the seal over the footer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relhealth.datasets import sealed

SCHEMA = pa.schema([("member", pa.uint64()), ("release", pa.string())])


def batch(start: int, rows: int) -> pa.RecordBatch:
    members = pa.array(range(start, start + rows), pa.uint64())
    return pa.record_batch([members, pa.array(["shop@1"] * rows)], schema=SCHEMA)


def footer_of(path: Path) -> bytes:
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    return data[-8 - length : -8]


def test_rows_come_back_in_full_row_groups(tmp_path: Path) -> None:
    """However they are cut into batches."""
    path = tmp_path / "a.parquet"
    sizes = [100_000, 100_000, 0, 60_000, 1]
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    written = sealed.write(
        path,
        SCHEMA,
        (batch(start, size) for start, size in zip(starts, sizes, strict=True)),
        encodings={"member": "DELTA_BINARY_PACKED"},
    )
    assert written == 260_001
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
        assert [group.num_rows for group in groups] == [122_880, 122_880, 14_241]
        assert groups[0].column(0).statistics.max == 122_879
        assert "DELTA_BINARY_PACKED" in groups[0].column(0).encodings
        assert file.read()["member"].to_pylist() == list(range(260_001))


def test_a_file_of_no_rows_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    assert sealed.write(path, SCHEMA, []) == 0
    assert pq.read_table(path).num_rows == 0
    assert sealed.is_unbroken(footer_of(path))


def test_every_bit_of_the_footer_is_under_the_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sealed.write(path, SCHEMA, [batch(0, 3)])
    footer = footer_of(path)
    assert sealed.is_sealed(footer)
    assert sealed.is_unbroken(footer)
    for at in range(len(footer)):
        changed = bytearray(footer)
        changed[at] ^= 1 << at % 8
        assert not sealed.is_sealed(bytes(changed)) or not sealed.is_unbroken(bytes(changed)), at


def test_a_page_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    sealed.write(path, SCHEMA, [batch(0, 1000)])
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with (
        pq.ParquetFile(path, page_checksum_verification=True) as file,
        pytest.raises(OSError, match="CRC checksum verification failed"),
    ):
        file.read()


def test_a_file_of_another_writer_has_no_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    assert not sealed.is_sealed(footer_of(path))


def test_what_fails_leaves_no_parquet_file(tmp_path: Path) -> None:
    """So that nobody takes half of the rows for all."""
    path = tmp_path / "a.parquet"
    with pytest.raises(ZeroDivisionError):
        sealed.write(path, SCHEMA, (batch(0, 1 // rows) for rows in (1, 0)))
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(path)
