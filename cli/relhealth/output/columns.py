"""The columns of an answer that a user names, by ``--columns`` and ``--wide``."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import nearest
from relhealth.core.printable import printable
from relhealth.core.windows import iso
from relhealth.output.formats import ROWS, Format
from relhealth.output.report import Report


class Chosen(NamedTuple):
    """The named columns, in order; ``None`` for those that the layout chooses, ``()`` for all."""

    names: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        text: str | None,
        known: Collection[str],
        *,
        wide: bool,
        formats: Sequence[Format] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> "Chosen":
        """Read the options, before any work is done; ``formats`` are those of the outputs.

        Raises ``QuestionError`` for an unknown column, with the nearest names, for both options,
        and for a format that has no columns.
        """
        if text is None:
            return cls(() if wide else None)
        if wide:
            raise QuestionError("--wide has all columns: leave it or --columns out")
        for chosen in formats:
            if chosen not in ROWS:
                raise QuestionError(f"--columns: {chosen.value} has no columns; leave it out")
        names = [name.strip() for name in text.split(",")]
        return cls(tuple(dict.fromkeys(_known(name, known, aliases or {}) for name in names)))

    def includes(self, name: str) -> bool:
        """Tell whether the user asked for a column, by its name or by --wide."""
        return self.names is not None and (not self.names or name in self.names)

    def within(self, report: Report) -> Report:
        """Return a report of one table with these columns, in every format."""
        if self.names is None:
            return report
        (table,) = report.tables
        if not self.names:
            return report._replace(tables=(table._replace(main=None, is_chosen=True),))
        (rows,) = report.row_tables()
        named = {column.name: column for column in (*rows.columns, *table.columns)}
        columns = tuple(named[name] for name in self.names)
        return report._replace(
            data=[{name: _plain(row[name]) for name in self.names} for row in rows.rows],
            tables=(
                table._replace(
                    columns=columns,
                    stable=None,
                    main=None,
                    optional=(),
                    is_chosen=True,
                    group=None if table.group in self.names else table.group,
                ),
            ),
            records=rows._replace(columns=columns, stable=None),
        )


def _known(name: str, known: Collection[str], aliases: Mapping[str, str]) -> str:
    found = aliases.get(name, name)
    if found in known:
        return found
    near = nearest(name, known)
    told = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise QuestionError(f"column {printable(name)!r}: unknown; {told}")


def _plain(value: object) -> object:
    return iso(value) if isinstance(value, datetime) else value
