"""The cluster as an engine: the templates, side by side, over sources that the cluster reads."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from relhealth.core.dimensions import Cut
from relhealth.engines import portable
from relhealth.engines.interface import Ask
from relhealth.engines.spark import relation, sql
from relhealth.engines.spark.relation import ClusterSources
from relhealth.engines.spark.session import Session
from relhealth.machine import queries
from relhealth.machine.database import Row

if TYPE_CHECKING:
    from pyspark.sql.connect.dataframe import DataFrame


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
        self._cuts: dict[Cut, str] = {Cut(): self._prefix}  # the views of cuts

    @cached_property
    def found(self) -> ClusterSources:
        """The sources as the cluster has them; it lists their files once."""
        return self._session.call("opening", self._open)

    def refuses(self, ask: Ask) -> str | None:  # noqa: ARG002 - the interface's
        """Return None: every component has a template."""
        return None

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask; the cluster computes them side by side."""
        found = self._rows(
            [(portable.template_of(ask.component), ask.values(), ask.scope.cut) for ask in asks],
            [ask.most_rows for ask in asks],
        )
        for ask, rows in zip(asks, found, strict=True):
            ask.refuse_more(rows)
        return [portable.rows_of(ask, rows) for ask, rows in zip(asks, found, strict=True)]

    def all_rows(
        self,
        asked: Sequence[tuple[str, Mapping[str, object]]],
        cut: Cut = Cut(),  # noqa: B008 - it is immutable
    ) -> list[list[Row]]:
        """Run templates over all rows of a cut, side by side."""
        return self._rows([(name, values, cut) for name, values in asked], [None] * len(asked))

    def refuse_columns(self, columns: Sequence[str]) -> None:
        """Raise ``DataError`` if a dimension has a type that is none of a dimension's."""
        relation.refuse_columns(self.found.sources, columns)

    def close(self) -> None:
        """Stop the session, and drop the views if it is the caller's."""
        self._session.stop(self._views)

    def _rows(
        self, asked: Sequence[tuple[str, Mapping[str, object], Cut]], most: Sequence[int | None]
    ) -> list[list[Row]]:
        assert self.found
        views = {cut: self._view_of(cut) for _, _, cut in asked}
        return self._session.rows(
            [
                (
                    name,
                    queries.limited(sql.statement(name, views[cut]), limit),
                    sql.bound(name, values),
                )
                for (name, values, cut), limit in zip(asked, most, strict=True)
            ]
        )

    def _view_of(self, cut: Cut) -> str:
        """Return the name of the view of a cut; the first question creates it."""
        if cut not in self._cuts:
            self._cuts[cut] = f"{self._prefix}_cut_{len(self._cuts)}"
            self._session.call("opening", lambda spark: self._cut(spark, cut))
        return self._cuts[cut]

    def _cut(self, spark: Any, cut: Cut) -> None:
        """Create the view of a cut, over all sources."""
        selects = []
        for number, source in enumerate(self.found.sources):
            view = f"{self._prefix}_{number}"
            folders = source.other_folders.keys() - source.others.keys()
            if not folders.isdisjoint(cut.columns):
                view = f"{view}_paths"
                source = relation.with_paths(source)  # noqa: PLW2901 - the same rows
                self._create(view, source.frame)
            selects.append(relation.select(source, view, self._org, cut.columns))
        rows = spark.sql(" UNION ALL ".join(selects))
        self._create(self._cuts[cut], relation.cut_of(rows, cut))

    def _create(self, view: str, frame: "DataFrame") -> None:
        frame.createOrReplaceTempView(view)
        self._views.append(view)

    def _open(self, spark: Any) -> ClusterSources:
        """Find the sources, and create the view over all of them."""
        sources = [relation.opened(spark, name) for name in self._named]
        relation.refuse_overlaps(sources)
        selects = []
        for number, source in enumerate(sources):
            view = f"{self._prefix}_{number}"
            select = relation.select(source, view, self._org)
            self._create(view, source.frame)
            selects.append(select)
        self._create(self._prefix, spark.sql(" UNION ALL ".join(selects)))
        return ClusterSources(tuple(sources), lambda: self._session.call("sizes", self._size))

    def _size(self, spark: Any) -> int:
        return sum(relation.size(spark, source) for source in self.found.sources)
