"""Tables of Delta Lake, Iceberg and Hudi: read by their logs and never by their folders."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import deltalake
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.memory import InMemoryCatalog

import rows
from files import faults, found, overview, sessions
from rows import session, user

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = [session(value=3.0), session("crashed"), user(1), user(2)]
MORE = [session(value=4.0), user(3)]
REMEDY = "pip install 'relhealth[tables]'"


def table(given: list[rows.Row], without: tuple[str, ...] = ()) -> pa.Table:
    """Return rows as Delta Lake and Iceberg can have them: no unsigned integers."""
    made = rows.table(given, without=without)
    at = made.schema.get_field_index("member")
    return made.set_column(at, "member", made["member"].cast(pa.int64()))


def delta(path: Path, *given: list[rows.Row], **options: Any) -> Path:
    """Write a table, an append a list of rows."""
    for one in given:
        deltalake.write_deltalake(str(path), table(one), mode="append", **options)
    return path


def test_what_was_removed_is_not_read(tmp_path: Path) -> None:
    path = delta(tmp_path / "t", GIVEN, MORE)
    before = overview(path)
    assert before[1, rows.RELEASE].total_sessions == 7
    deltalake.DeltaTable(str(path)).optimize.compact()
    assert len(list(path.glob("*.parquet"))) == 3
    assert overview(path) == overview(tmp_path) == before  # found deeper, too
    deltalake.write_deltalake(str(path), table(GIVEN), mode="overwrite")
    assert overview(path)[1, rows.RELEASE].total_sessions == 3


def test_partitions_of_a_log(tmp_path: Path) -> None:
    """Nulls, and characters that folders would escape."""
    names = ["a b/c%", "d=e", "é@1", None, "a'b", "x%20y"]
    given = [session(project_id=at % 2, release=name) for at, name in enumerate(names)]
    path = delta(tmp_path / "t", given, partition_by=["project_id", "release"])
    rows.write(tmp_path / "plain.parquet", given)
    assert sessions(path) == sessions(tmp_path / "plain.parquet")
    assert overview(path) == overview(tmp_path / "plain.parquet")


def test_organisations_of_a_log(tmp_path: Path) -> None:
    given = [session(org_id=1), session(org_id=2)]
    path = delta(tmp_path / "t", given, partition_by=["org_id"])
    (fault,) = [fault for fault in [refused_question(path)] if fault]
    assert "span organisations 1, 2" in fault


def refused_question(path: Path) -> str:
    with pytest.raises(ValueError, match="organisations") as caught:
        overview(path)
    return str(caught.value)


def test_a_table_without_files(tmp_path: Path) -> None:
    deltalake.write_deltalake(str(tmp_path / "t"), table([]))
    assert found(tmp_path / "t") == []


def test_deletion_vectors_are_refused(tmp_path: Path) -> None:
    path = delta(tmp_path / "t", GIVEN)
    log = path / "_delta_log" / "00000000000000000000.json"
    actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    features = ["deletionVectors"]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": features,
                "writerFeatures": features,
            }
        if "add" in action:
            action["add"]["deletionVector"] = {
                "storageType": "u",
                "pathOrInlineDv": "vBn[lx{q8@P<9BNH/isA",
                "offset": 1,
                "sizeInBytes": 36,
                "cardinality": 2,
            }
    log.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
    (fault,) = faults(path)
    assert fault.startswith(f"{path}: a Delta Lake table ")
    assert "deletion vectors" in fault


def test_column_mapping_is_refused(tmp_path: Path) -> None:
    path = delta(tmp_path / "t", GIVEN)
    log = path / "_delta_log" / "00000000000000000000.json"
    text = log.read_text(encoding="utf-8")
    assert '"configuration":{}' in text
    mapped = '"configuration":{"delta.columnMapping.mode":"name"}'
    log.write_text(text.replace('"configuration":{}', mapped), encoding="utf-8")
    (fault,) = faults(path)
    assert "column mapping" in fault


def test_a_broken_log_is_refused(tmp_path: Path) -> None:
    path = delta(tmp_path / "t", GIVEN)
    (path / "_delta_log" / "00000000000000000000.json").write_text("{", encoding="utf-8")
    (fault,) = faults(path)
    assert fault.startswith(f"{path}: a Delta Lake table whose log cannot be read (")


def test_files_in_a_table_are_refused(tmp_path: Path) -> None:
    path = delta(tmp_path / "t", GIVEN, partition_by=["project_id"])
    told = f"part of a Delta Lake table; name the table, {path}"
    folder = path / "project_id=1"
    (file,) = folder.glob("*.parquet")
    assert faults(file) == faults(path / "*" / "*.parquet") == [f"{file}: {told}"]
    assert faults(folder) == [f"{folder}: {told}"]


@pytest.mark.parametrize(("kind", "library"), [("delta", "deltalake"), ("iceberg", "pyiceberg")])
def test_without_the_extra(
    kind: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = delta(tmp_path / "t", GIVEN) if kind == "delta" else iceberg(tmp_path, GIVEN)
    for module in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    (fault,) = faults(path)
    assert REMEDY in fault
    assert fault.startswith(f"{path}: a")


def test_hudi_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t" / ".hoodie").mkdir(parents=True)
    rows.write(tmp_path / "t" / "a.parquet", GIVEN)
    for source in (tmp_path / "t", tmp_path):
        (fault,) = faults(source)
        assert fault.startswith(f"{tmp_path}/t: a Hudi table, which relhealth cannot read; ")


def iceberg(folder: Path, *given: list[rows.Row]) -> Path:
    """Write an Iceberg table, an append a list of rows; return its folder."""
    catalog = InMemoryCatalog("test", warehouse=f"file://{folder}")
    catalog.create_namespace("n")
    made = catalog.create_table("n.t", schema=table(GIVEN).schema)
    for one in given:
        made.append(table(one))
    return folder / "n" / "t"


def test_iceberg(tmp_path: Path) -> None:
    path = iceberg(tmp_path, GIVEN, MORE)
    rows.write(tmp_path / "plain.parquet", [*GIVEN, *MORE])
    assert overview(path) == overview(tmp_path / "plain.parquet")
    (file, *_) = (path / "data").glob("*.parquet")
    assert faults(file) == [f"{file}: part of an Iceberg table; name the table, {path}"]
    moved = path.rename(tmp_path / "moved")
    (fault,) = faults(moved)
    assert fault.startswith(f"{moved}: an Iceberg table whose log cannot be read (")


def test_iceberg_after_a_delete(tmp_path: Path) -> None:
    catalog = InMemoryCatalog("test", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")
    made = catalog.create_table("n.t", schema=table(GIVEN).schema)
    made.append(table([*GIVEN, *MORE]))
    made.delete("value = 4.0")
    assert overview(tmp_path / "n" / "t")[1, rows.RELEASE].total_sessions == 3


def test_an_iceberg_table_with_a_renamed_column_is_refused(tmp_path: Path) -> None:
    catalog = InMemoryCatalog("test", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")
    first = table(GIVEN).rename_columns(
        ["worth" if name == "value" else name for name in table(GIVEN).schema.names]
    )
    made = catalog.create_table("n.t", schema=first.schema)
    made.append(first)
    with made.update_schema() as update:
        update.rename_column("worth", "value")
    (fault,) = faults(tmp_path / "n" / "t")
    assert "whose column value is 'worth' in " in fault


def test_other_writers(tmp_path: Path) -> None:
    given = [*GIVEN, *MORE]
    rows.write(tmp_path / "plain.parquet", given)
    made = rows.table(given)
    pl.DataFrame(pl.from_arrow(made)).write_parquet(tmp_path / "polars.parquet")
    at = made.schema.get_field_index("timestamp")
    naive = made.set_column(at, "timestamp", made["timestamp"].cast(pa.timestamp("us")))
    whole = {pa.uint64(): pd.UInt64Dtype()}  # else pandas makes floats of them, for the nulls
    frame = naive.drop_columns(["abnormal_mechanism", "org_id"]).to_pandas(types_mapper=whole.get)
    fastparquet.write(str(tmp_path / "fast.parquet"), frame)
    for name in ("polars", "fast"):
        assert pq.read_metadata(tmp_path / f"{name}.parquet").num_rows == len(given)
        assert overview(tmp_path / f"{name}.parquet") == overview(tmp_path / "plain.parquet")
