"""The cluster as an engine: the templates, side by side, over sources that the cluster reads."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from uuid import uuid4

from relhealth.engines import portable
from relhealth.engines.interface import Ask
from relhealth.engines.spark import relation, sql
from relhealth.engines.spark.relation import ClusterSources
from relhealth.engines.spark.session import Session
from relhealth.machine.database import Row


class SparkEngine:
    """Templates in Spark SQL; only their rows leave the cluster."""

    name = "spark"

    def __init__(self, session: Session, sources: Sequence[str], *, org: int | None) -> None:
        """Read nothing yet; ``org`` narrows every question to one organisation."""
        self._session = session
        self._named = sources
        self._org = org
        self._prefix = f"relhealth_{uuid4().hex}"
        self._views: list[str] = []

    @cached_property
    def found(self) -> ClusterSources:
        """The sources as the cluster has them; it lists their files once."""
        return self._session.call("opening", self._open)

    def refuses(self, ask: Ask) -> str | None:  # noqa: ARG002 - the interface's
        """Return None: every component has a template."""
        return None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask; the cluster computes them side by side."""
        found = self._rows([(portable.template_of(ask.component), ask.values()) for ask in asks])
        return [portable.rows_of(ask, rows) for ask, rows in zip(asks, found, strict=True)]

    def all_rows(self, asked: Sequence[tuple[str, Mapping[str, object]]]) -> list[list[Row]]:
        """Run templates over all rows, side by side."""
        return self._rows(asked)

    def close(self) -> None:
        """Stop the session, and drop the views if it is the caller's."""
        self._session.stop(self._views)

    def _rows(self, asked: Sequence[tuple[str, Mapping[str, object]]]) -> list[list[Row]]:
        assert self.found
        return self._session.rows(
            [
                (name, sql.statement(name, self._prefix), sql.bound(name, values))
                for name, values in asked
            ]
        )

    def _open(self, spark: Any) -> ClusterSources:
        """Find the sources, and create the view over all of them."""
        sources = [relation.opened(spark, name) for name in self._named]
        relation.refuse_overlaps(sources)
        selects = []
        for number, source in enumerate(sources):
            view = f"{self._prefix}_{number}"
            select = relation.select(source, view, self._org)
            source.frame.createOrReplaceTempView(view)
            self._views.append(view)
            selects.append(select)
        spark.sql(" UNION ALL ".join(selects)).createOrReplaceTempView(self._prefix)
        self._views.append(self._prefix)
        return ClusterSources(tuple(sources), lambda: self._session.call("sizes", self._size))

    def _size(self, spark: Any) -> int:
        return sum(relation.size(spark, source) for source in self.found.sources)
