"""Tables of sessions as polars, pandas, fastparquet, Delta Lake and Iceberg have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deltalake
import fastparquet
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.memory import InMemoryCatalog

from command import run
from envelopes import NOW, ingest, rows_of
from tables import attempt, refusal, session, write_csv

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

NAN = float("nan")
ROWS = [
    session(0, user_id=101.0, status="crashed", errors=1.0, duration=NAN),
    session(1, user_id=102.0, status="exited", errors=0.0, duration=2.5),
    session(2, user_id=NAN, status="exited", errors=NAN, duration=0.25),
    session(3, user_id=101.0, status="abnormal", errors=NAN, duration=NAN, environment=None),
    session(4, user_id=103.0, status="exited", errors=2.0, duration=7.0, release="shop@1.1.0"),
]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Counter[tuple[Any, ...]]:
    """Return what is to become of the rows."""
    folder = tmp_path_factory.mktemp("wanted")
    ingest(write_csv(folder / "in.csv", ROWS), folder / "data")
    return rows_of(folder / "data")


def frame() -> pd.DataFrame:
    """Return the rows as pandas has them: floats for the users, times without a zone."""
    made = pd.DataFrame(ROWS)
    made["started"] = pd.to_datetime(made["started"]).dt.tz_localize(None)
    return made


def categories(made: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its texts as categories."""
    texts = ["release", "environment", "status"]
    return made.astype(dict.fromkeys(texts, "category"))


def times(unit: str, zone: str | None = None) -> pd.DataFrame:
    """Return a frame with times of a unit, and of a zone."""
    made = frame()
    at = made["started"].dt.as_unit(unit)
    made["started"] = at if zone is None else at.dt.tz_localize("UTC").dt.tz_convert(zone)
    return made


def objects() -> pd.DataFrame:
    """Return a frame whose users are whole numbers and whose texts are bytes, as objects."""
    made = frame()
    users = [None if np.isnan(each) else int(each) for each in made["user_id"]]
    made["user_id"] = pd.Series(users, dtype=object)
    for name in ("release", "status"):
        made[name] = pd.Series([each.encode() for each in made[name]], dtype=object)
    return made


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "floats": frame,
    "categories": lambda: categories(frame()),
    "nanoseconds": lambda: times("ns"),
    "milliseconds": lambda: times("ms"),
    "zone": lambda: times("us", "Asia/Kathmandu"),
    "nullable": lambda: frame().convert_dtypes(),
    "objects": objects,
}
PANDAS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "pyarrow": lambda made, path: made.to_parquet(path, engine="pyarrow"),
    "pyarrow with an index": lambda made, path: made.set_index("session_id").to_parquet(path),
    "csv": lambda made, path: made.to_csv(path, index=False),
    "json": lambda made, path: made.to_json(path, orient="records", date_format="iso"),
    "json lines": lambda made, path: made.to_json(
        path, orient="records", lines=True, date_format="iso"
    ),
    "csv of Europe": lambda made, path: made.to_csv(path, index=False, sep=";", decimal=","),
    "fastparquet": lambda made, path: fastparquet.write(str(path), made, has_nulls=True),
    "fastparquet of folders": lambda made, path: fastparquet.write(
        str(path), made, file_scheme="hive", partition_on=["release"]
    ),
    "fastparquet of INT96": lambda made, path: fastparquet.write(str(path), made, times="int96"),
}


def writings() -> list[tuple[str, str]]:
    """Return the kinds of frame and the writers that keep what it holds."""
    kept = [(kind, writer) for kind in FRAMES for writer in PANDAS]
    lost = {
        *(
            ("objects", writer) for writer in ("csv", "csv of Europe", "fastparquet of folders")
        ),  # bytes as b'...'
        *(("zone", writer) for writer in PANDAS if "fastparquet" in writer),  # pandas warns of it
        # It takes instants of any unit for nanoseconds.
        *((kind, "fastparquet of INT96") for kind in FRAMES if kind != "nanoseconds"),
    }
    return [each for each in kept if each not in lost]


@pytest.mark.parametrize(("kind", "writer"), writings())
def test_pandas(kind: str, writer: str, tmp_path: Path, wanted: Counter[tuple[Any, ...]]) -> None:
    PANDAS[writer](FRAMES[kind](), tmp_path / "in")
    told = ingest(tmp_path / "in", tmp_path / "data")
    assert (told["accepted"], told["lost"]) == ({"row": 5}, {})
    assert rows_of(tmp_path / "data") == wanted


def test_instants_that_a_writer_got_wrong_are_no_sessions(tmp_path: Path) -> None:
    """Such as fastparquet's INT96 of milliseconds, which is of January 1970."""
    PANDAS["fastparquet of INT96"](times("ms"), tmp_path / "in")
    told = ingest(tmp_path / "in", tmp_path / "data", code=4)
    assert told["sessions"] == 0


def test_bytes_that_pandas_wrote_as_text_are_no_status(tmp_path: Path) -> None:
    PANDAS["csv"](objects(), tmp_path / "in.csv")
    assert "unknown words for a status: \"b'exited'\" (3), " in refusal(tmp_path / "in.csv")


POLARS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "floats": lambda made: made,
    "categories": lambda made: made.with_columns(
        pl.col("release", "environment", "status").cast(pl.Categorical)
    ),
    "enum": lambda made: made.with_columns(
        pl.col("status").cast(pl.Enum(["exited", "crashed", "abnormal"]))
    ),
    "nanoseconds": lambda made: made.with_columns(pl.col("started").cast(pl.Datetime("ns"))),
    "milliseconds": lambda made: made.with_columns(
        pl.col("started").cast(pl.Datetime("ms", "UTC"))
    ),
    "integers": lambda made: made.with_columns(
        pl.col("user_id").fill_nan(None).cast(pl.UInt32),
        pl.col("errors").cast(pl.Int8, strict=False),
    ),
    "float32": lambda made: made.with_columns(pl.col("user_id", "errors").cast(pl.Float32)),
    "decimals": lambda made: made.with_columns(
        pl.col("user_id").fill_nan(None).cast(pl.Decimal(20, 0))
    ),
    "binary": lambda made: made.with_columns(pl.col("release", "status").cast(pl.Binary)),
    "lasted": lambda made: made.with_columns(
        (pl.col("duration").fill_nan(None) * 1e6).cast(pl.Duration("us"))
    ),
}


WRITE: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "parquet": lambda made, path: made.write_parquet(path),
    "csv": lambda made, path: made.write_csv(path),
    "jsonl": lambda made, path: made.write_ndjson(path),
}
IN_TEXT = [kind for kind in POLARS if kind not in {"binary", "lasted"}]


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        *((kind, "parquet") for kind in POLARS),
        *((kind, text) for kind in IN_TEXT for text in ("csv", "jsonl")),
    ],
)
def test_polars(kind: str, written: str, tmp_path: Path, wanted: Counter[tuple[Any, ...]]) -> None:
    rows = pl.DataFrame(ROWS).with_columns(pl.col("started").str.to_datetime(time_zone="UTC"))
    WRITE[written](POLARS[kind](rows), tmp_path / "in")
    told = ingest(tmp_path / "in", tmp_path / "data")
    assert (told["accepted"], told["lost"]) == ({"row": 5}, {})
    assert rows_of(tmp_path / "data") == wanted


def test_tables_with_a_log_are_refused_and_their_export_is_read(
    tmp_path: Path, wanted: Counter[tuple[Any, ...]]
) -> None:
    made = pa.Table.from_pandas(frame(), preserve_index=False)
    deltalake.write_deltalake(str(tmp_path / "delta"), made)
    deltalake.write_deltalake(str(tmp_path / "delta"), made, mode="overwrite")
    catalog = InMemoryCatalog("test", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("n")
    catalog.create_table("n.t", schema=made.schema).append(made)
    exports = {
        tmp_path / "delta": deltalake.DeltaTable(str(tmp_path / "delta")).to_pyarrow_table(),
        tmp_path / "n" / "t": catalog.load_table("n.t").scan().to_arrow(),
    }
    for table, export in exports.items():
        refused = attempt(table, tmp_path / "refused")
        assert refused.code == 4
        assert "whose log says which files count; export the table as Parquet" in refused.err
        pq.write_table(export, tmp_path / f"{table.name}.parquet")
        ingest(tmp_path / f"{table.name}.parquet", tmp_path / f"{table.name}.data")
        assert rows_of(tmp_path / f"{table.name}.data") == wanted


def test_users_that_lost_digits_as_floats_are_refused(tmp_path: Path) -> None:
    made = frame()
    made["user_id"] = [2.0**53 + 2, NAN, NAN, NAN, NAN]
    for writer in ("pyarrow", "fastparquet"):
        PANDAS[writer](made, tmp_path / writer)
        ended = run("ingest", str(tmp_path / writer), "--to", str(tmp_path / "d"), "--now", NOW)
        assert ended.code == 4
        assert "column user_id of type double cannot be user_id: 9007199254740994.0" in ended.err
