"""When rows arrived: their ingest, by the ledgers of their data sets."""

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from relhealth.core.errors import DataError, GoneError
from relhealth.core.windows import iso, parse_instant
from relhealth.core.words import counted
from relhealth.datasets import contract, dimensions
from relhealth.datasets.ledger import LEDGER
from relhealth.datasets.sources import SourceFile, Sources
from relhealth.questions.opened import Reading, Source
from relhealth.stores import present

if TYPE_CHECKING:
    import pyarrow as pa

    from relhealth.ingest.entries import Entry


class _File(NamedTuple):
    """A data file, the file beside it with the input of each row, and those inputs."""

    rows: SourceFile
    origins: Path
    inputs: Mapping[int, "Entry"]


class Arrivals(NamedTuple):
    """The files of data sets whose ledgers know when each row arrived; there is at least one."""

    files: tuple[_File, ...]
    reading: Reading

    @classmethod
    def of(cls, named: Sequence[Source], sources: Sources, reading: Reading) -> "Arrivals | None":
        """Return the arrivals in sources; ``None`` unless ledgers know all of them."""
        roots = [Path(os.path.abspath(one)) for one in named]
        if not sources.files or not all((root / LEDGER).is_dir() for root in roots):
            return None
        from relhealth.ingest import entries

        present.entire_files(str(root / LEDGER / "inputs.jsonl") for root in roots)
        inputs = {root: entries.read(root / LEDGER / "inputs.jsonl").entries for root in roots}
        files = []
        present.entire_files(file.absolute for file in sources.files)
        for file in sources.files:
            root = next(one for one in roots if Path(file.absolute).is_relative_to(one))
            found = _with_inputs(root, file, inputs[root])
            if found is None or file.projection != sources.files[0].projection:
                return None
            files.append(found)
        return cls(tuple(files), reading)

    @property
    def first(self) -> datetime:
        """When the first of the rows arrived."""
        return min(_arrival(entry) for file in self.files for entry in file.inputs.values())

    def seen(self, looks: Sequence[datetime]) -> bool:
        """Tell whether any row had arrived by the last look; an import of history comes later."""
        return bool(looks) and self.first <= looks[-1]

    def rows(
        self, looks: Sequence[datetime], columns: Sequence[str] = ()
    ) -> "pa.RecordBatchReader":
        """Return all rows; ``look`` is the number of the first look by which each had arrived.

        ``columns`` are dimensions to return too, as text.
        """
        import pyarrow as pa

        from relhealth.ingest.days import schema_of

        with _present(self.files[0]):
            schema = schema_of(Path(self.files[0].rows.absolute))
        fields = [field for field in schema if field.name in contract.NAMES]
        fields += [pa.field(name, pa.string()) for name in columns]
        schema = pa.schema([*fields, pa.field("look", pa.int32())])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema, looks, columns))

    def _batches(
        self, schema: "pa.Schema", looks: Sequence[datetime], dimensions: Sequence[str]
    ) -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa
        import pyarrow.compute as pc

        from relhealth.ingest.days import rows_with_origins

        for file in self.files:
            numbers = pa.array(file.inputs, pa.int32())
            at = [bisect_left(looks, _arrival(entry)) for entry in file.inputs.values()]
            arrived = pa.array(at, pa.int32())
            with _present(file):
                for batch in rows_with_origins(Path(file.rows.absolute), file.origins):
                    look = arrived.take(pc.index_in(batch.column("input"), numbers))
                    names = schema.names[: -1 - len(dimensions)]
                    columns = [batch.column(name) for name in names]
                    columns += [_text(batch, file.rows, one) for one in dimensions]
                    yield pa.RecordBatch.from_arrays([*columns, look], schema.names).cast(schema)


def _text(batch: "pa.RecordBatch", file: SourceFile, column: str) -> "pa.Array":
    """Return a dimension of some rows."""
    import pyarrow as pa

    own = dimensions.stored(file, column)
    if own is None:
        return pa.repeat(dimensions.constant(file, column), batch.num_rows)
    return batch.column(own.name).cast(pa.string()).fill_null("")


def _with_inputs(root: Path, file: SourceFile, known: Mapping[int, "Entry"]) -> _File | None:
    """Return a file with its inputs; ``None`` unless ingest wrote it, and all are known."""
    import pyarrow.compute as pc

    from relhealth.ingest.days import batches_of

    path = Path(file.absolute).relative_to(root)
    origins = root / LEDGER / path.parent / f"{path.stem}.origins.parquet"
    found = _File(file, origins, known)
    with _present(found):
        if not origins.exists():
            if not os.path.exists(file.absolute):
                raise GoneError(file.path)
            return None
        rows, numbers = 0, set[int]()
        for batch in batches_of([origins]):
            rows += batch.num_rows
            numbers.update(pc.unique(batch.column("input")).to_pylist())
    if rows != file.rows or not numbers <= known.keys():
        return None
    return found._replace(inputs={number: known[number] for number in numbers})


def warnings(arrivals: Arrivals | None, looks: Sequence[datetime], settle: str) -> Iterator[str]:
    """Yield how what looks see differs from what the gate saw."""
    if arrivals is None or not arrivals.seen(looks):
        why = "" if arrivals is None else f"the first ingest was at {iso(arrivals.first)}, and so "
        yield (
            f"{why}a look at the past sees what arrived until today: where crashes arrive more than"
            f" {settle} late, the gate at that time had fewer of them and was more lenient"
        )
        return
    if looks[0] < arrivals.first:
        yield f"the first ingest was at {iso(arrivals.first)}: looks before it see no sessions"
    grown = {
        entry.content.path or entry.name
        for file in arrivals.files
        for entry in file.inputs.values()
        if entry.first_at
    }
    if grown:
        yield (
            f"{counted(len(grown), 'input')} grew after the first ingest: looks before the last"
            " ingest of an input see none of its sessions"
        )


@contextmanager
def _present(file: _File) -> Iterator[None]:
    """Raise ``GoneError`` for a file that a change of the data set has removed meanwhile."""
    try:
        yield
    except (OSError, DataError) as error:
        if file.origins.exists() and os.path.exists(file.rows.absolute):
            raise
        raise GoneError(file.rows.path) from error


def _arrival(entry: "Entry") -> datetime:
    """Return when the rows of an input arrived.

    The rows of an input that grew cannot be told apart, so all count from its last ingest.
    """
    return parse_instant(entry.at, or_latest=False)
