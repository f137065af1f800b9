"""Reads an input into the stage, by its kind and the plan of the run."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, assert_never

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import excerpt, printable
from relhealth.datasets import footers, parquet_pages
from relhealth.datasets.checking import UNREADABLE
from relhealth.datasets.compression import InputError
from relhealth.ingest import (
    buckets,
    csv_tables,
    envelopes,
    inputs,
    json_tables,
    kafka,
    parquet_tables,
)
from relhealth.ingest.entries import Entry
from relhealth.ingest.kinds import InputKind, Unknown
from relhealth.ingest.mapping import Words
from relhealth.ingest.recognition import recognise, refuse_binary
from relhealth.ingest.staging import AcceptedSpan, Stage
from relhealth.ingest.tables import TableSettings

_MOST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read inputs: their kind, and values that they do not contain."""

    span: AcceptedSpan
    kind: InputKind | None = None  # None: recognise it by the content
    project: int | None = None
    org: int | None = None
    words: Words = field(default_factory=Words)  # of tables
    unknown_status: Unknown = Unknown.STOP

    def check(self) -> None:
        """Raise ``QuestionError`` for an invalid plan."""
        self.words.check()
        for option, number in (("--project", self.project), ("--org", self.org)):
            if number is not None and not 0 <= number <= _MOST_ID:
                raise QuestionError(f"{option} {number}: expected 0 to 2**63 - 1")

    def options(self) -> dict[str, Any]:
        """Return the options that decide how to read an input, by name, without defaults.

        Leaves out the span, which decides which sessions to take, not how to read them.
        """
        words = self.words
        found: Mapping[str, Any] = {
            "from": None if self.kind is None else str(self.kind),
            "project": self.project,
            "org": self.org,
            "map": dict(sorted(words.columns.items())),
            "dimension": dict(sorted(words.dimensions.items())),
            "status": dict(sorted(words.statuses.items())),
            "no_status": words.no_status,
            "no_release": words.no_release,
            "unknown_status": None if self.unknown_status is Unknown.STOP else "reject",
        }
        return {name: value for name, value in found.items() if value not in (None, {}, False)}


class Named(NamedTuple):
    """An input: its name, its absolute path ('' for standard input), and the file to open."""

    name: str
    path: str
    file: str


class Parsed(NamedTuple):
    """The result of reading an input: its kind, and the state at its end, to continue there."""

    kind: InputKind | None  # None: it was empty
    project: int | None = None  # of the envelope at its end
    cut_bytes: int = 0  # at its end, of an incomplete item of an envelope


def parse(
    stream: io.BufferedReader,
    named: Named,
    stage: Stage,
    plan: Plan,
    before: Entry | None,
    positions: kafka.Positions,
) -> Parsed:
    """Stage the content of an input; ``before`` is its earlier state, if the stream continues it.

    ``positions`` are those of Kafka's messages. Raises ``DataError`` for unreadable input.
    """
    try:
        kind = _kind(stream, named, plan, before)
        return _read(kind, stream, named, stage, plan, before, positions)
    except InputError as error:
        raise DataError(f"{printable(named.name)}: {error}") from error


def _kind(
    stream: io.BufferedReader, named: Named, plan: Plan, before: Entry | None
) -> InputKind | None:
    if before is not None:
        return InputKind(before.kind)
    if plan.kind is None:
        return recognise(stream, named.name, plan.words)
    if plan.kind is not InputKind.PARQUET:
        refuse_binary(stream, named.name)
    return plan.kind


def _read(
    kind: InputKind | None,
    stream: io.BufferedReader,
    named: Named,
    stage: Stage,
    plan: Plan,
    before: Entry | None,
    positions: kafka.Positions,
) -> Parsed:
    ids = {"project": plan.project, "org": plan.org}
    table = TableSettings(
        plan.words,
        plan.project,
        plan.org,
        partitions=inputs.partitions_of(named.path),
        goes_on=before is not None,
    )
    match kind:
        case InputKind.ENVELOPES:
            current = before.project if before else None
            found = envelopes.read(stream, named.name, stage, current=current, **ids)
            return Parsed(kind, *found)
        case InputKind.BUCKETS:
            buckets.read(stream, named.name, stage, **ids)
        case InputKind.KAFKA:
            kafka.read(stream, named.name, stage, positions=positions, **ids)
        case InputKind.CSV:
            csv_tables.read(stream, named.name, stage, table)
        case InputKind.JSONL:
            json_tables.read(stream, named.name, stage, table)
        case InputKind.PARQUET:
            if stream.seekable():  # everything else is refused
                _check_pages(named)
            parquet_tables.read(stream, named.name, stage, table)
        case None:
            pass  # blank
        case _ as never:
            assert_never(never)
    return Parsed(kind)


def _check_pages(named: Named) -> None:
    """Check the pages of a Parquet file, so that a damaged one is not misread."""
    try:
        footer = footers.read(named.file)
        for number, group in enumerate(footer.groups):
            parquet_pages.check(named.file, footer, [number], list(group.chunks))
    except UNREADABLE as error:
        reason = excerpt(str(error), 200)
        raise DataError(f"{printable(named.name)}: not readable as Parquet ({reason})") from error
