"""Tables of sessions as files of every format, and what an ingest of them is to make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from command import run
from envelopes import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from command import Result

Row = dict[str, Any]

SESSION: Row = {
    "session_id": "s0",
    "started": "2026-03-02T12:00:00Z",
    "project_id": 1,
    "release": "shop@1.0.0",
    "environment": "production",
    "status": "exited",
}


def session(number: int, **fields: Any) -> Row:
    """Return a session with a new id, without the fields that are ``...``."""
    row = SESSION | {"session_id": f"s{number}"} | fields
    return {name: value for name, value in row.items() if value is not ...}


def write_csv(path: Path, rows: Sequence[Row], delimiter: str = ",", missing: str = "") -> Path:
    """Write rows under the names of all their fields."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [delimiter.join(names)]
    for row in rows:
        cells = (row.get(name) for name in names)
        lines.append(delimiter.join(missing if cell is None else str(cell) for cell in cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_lines(path: Path, rows: Sequence[Row]) -> Path:
    """Write an object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(
    path: Path, rows: Sequence[Row], types: Mapping[str, pa.DataType] | None = None
) -> Path:
    """Write columns, some of a type of their own."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {
        name: pa.array([row.get(name) for row in rows], (types or {}).get(name)) for name in names
    }
    pq.write_table(pa.table(columns), path)
    return path


def attempt(source: Path, dataset: Path, *options: str) -> Result:
    """Ingest at the usual now; return what came of it, well or not."""
    return run("ingest", str(source), "--to", str(dataset), "--now", NOW, "-f", "json", *options)


def refusal(source: Path, *options: str) -> str:
    """Return the one line by which an ingest is refused."""
    result = attempt(source, source.parent / "refused", *options)
    assert (result.code, result.out) == (4, ""), result
    assert result.err.count("\n") == 1
    assert len(result.err) < 1000
    assert not list((source.parent / "refused").glob("date=*"))
    return result.err.removeprefix("relhealth: error: ").rstrip("\n")
