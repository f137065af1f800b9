"""The engines by themselves, over files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clusters import sail, spark_over
from relhealth.core.dimensions import check_where
from relhealth.core.scope import Scope
from relhealth.core.windows import Series, Window
from relhealth.datasets.sources import open_sources
from relhealth.engines import portable
from relhealth.engines.components import COMPONENTS, Over
from relhealth.engines.duckdb import engine as duckdb_engine
from relhealth.engines.duckdb.engine import DuckdbEngine
from relhealth.engines.interface import Ask
from relhealth.engines.kernel.engine import KernelEngine
from relhealth.engines.rollup.engine import RollupEngine
from relhealth.engines.rollup.reader import Rollup
from relhealth.engines.templates import Templates
from relhealth.rollup.build import make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

    from relhealth.engines.interface import Engine

# DuckDB on rows that it loads, DuckDB on a view of the files, DuckDB by the templates for any
# database, the kernel, a rollup, Sail.
WAYS = ("duckdb", "view", "portable", "kernel", "rollup", "sail")


def duckdb_over(*sources: str | Path, org: int | None = None) -> DuckdbEngine:
    """Return the reference engine over some sources."""
    return DuckdbEngine(open_sources(sources), Templates(None, 1, None), org=org, threads=1)


def rollup_over(rollup: Rollup, *, org: int | None = None, threads: int = 2) -> RollupEngine:
    """Return the engine over a rollup."""
    templates = Templates(None, threads, None)
    return RollupEngine(rollup, templates, org=org, memory_limit=None, threads=threads)


def engine_over(folder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return an engine over a folder of plain files; a rollup is made there."""
    match way:
        case "kernel":
            return KernelEngine(
                open_sources([folder]), org=None, memory_limit=None, threads=2, observer=None
            )
        case "rollup":
            make(folder)
            rollup = Rollup.open(folder).rollup
            assert rollup is not None
            return rollup_over(rollup)
        case "sail":
            return spark_over(sail(), folder)
        case "portable":
            return PortableEngine(duckdb_over(folder))
        case _:
            monkeypatch.setattr(duckdb_engine, "MOST_LOADED", 0 if way == "view" else 10**6)
            return duckdb_over(folder)


class PortableEngine:
    """DuckDB, with the templates that other databases run."""

    name = "portable"

    def __init__(self, duckdb: DuckdbEngine) -> None:
        """Take DuckDB over some files."""
        self._duckdb = duckdb

    def refuses(self, ask: Ask) -> str | None:
        """Return None: every component has a template."""
        return self._duckdb.refuses(ask)

    def answer(self, asks: Sequence[Ask]) -> list[list[dict[str, Any]]]:
        """Return the rows of each ask."""
        found = [
            self._duckdb.all_rows(
                [(portable.template_of(ask.component), ask.values())], ask.scope.cut
            )[0]
            for ask in asks
        ]
        return [portable.rows_of(ask, rows) for ask, rows in zip(asks, found, strict=True)]

    def close(self) -> None:
        """Close the database."""
        self._duckdb.close()


def ask_for(name: str, values: Mapping[str, Any]) -> Ask:
    """Return the ask whose template gets those values."""

    def listed(key: str) -> Any:
        return None if values[key] is None else tuple(values[key])

    window = Window(values["start"], values["end"])
    component = COMPONENTS[name]
    series = Series("", window, values["interval"]) if component.over is Over.SERIES else None
    scope = Scope(
        now=values["now"],
        summary=window,
        adoption=window,
        health=window,
        series=series,
        projects=listed("projects"),
        environments=listed("environments"),
        releases=listed("releases"),
        where=check_where(values.get("where")),
        by=tuple(values.get("by", ())),
    )
    keys = ("project", "release", "environment")
    by_group = series is None and ("bucket" in component.keys or name == "adoption_stages")
    return Ask(
        component,
        scope,
        frozenset(key for key in keys if values[f"by_{key}"]) if by_group else frozenset(),
        values["interval"] if by_group else None,
        tuple(values.get("fractions") or ()),
        tuple(values.get("statuses") or ()),
        values.get("follow_up"),
    )
