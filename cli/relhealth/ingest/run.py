"""One ingest: reads inputs, changes the data set in a transaction, and counts every item."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.datasets import tables
from relhealth.datasets.arrays import import_early
from relhealth.datasets.ledger import LEDGER, REJECTED
from relhealth.ingest import entries, inputs
from relhealth.ingest.change import Change, Limits, now
from relhealth.ingest.dataset import Dataset, Transaction
from relhealth.ingest.entries import Entry, Known
from relhealth.ingest.kinds import Unknown
from relhealth.ingest.mapping import check_statuses
from relhealth.ingest.parsing import Plan
from relhealth.ingest.reading import STANDARD_INPUT, Reading
from relhealth.ingest.staging import Stage
from relhealth.ingest.tally import Tally
from relhealth.machine.database import Observer, Progress
from relhealth.stores import present
from relhealth.stores.addresses import refuse_to_write

MOST_REJECTED = 0.05  # of the items, more is a fault
_MOST_NAMED = 20  # inputs in messages
_MOST_FILES = 1_000  # of a stream, which may go on for ever: the last ones


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of an ingest; every item is accepted, skipped or rejected.

    ``known`` names the inputs that were ingested before and add nothing, ``grown`` those that have
    grown and were read on, ``replaced`` those that were taken out. ``tally`` counts the
    items and how they were read, ``rows`` the rows written to ``files``, by metric. ``faults``
    are the reasons for a failure although the good items were added. ``sample`` has the first
    sessions of a dry run.
    """

    inputs: int
    tally: Tally
    known: tuple[str, ...] = ()
    grown: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    sessions: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    sample: tuple[Mapping[str, Any], ...] = ()
    incomplete: tuple[str, ...] = ()  # inputs that skipped messages of a replaced input

    @property
    def items(self) -> int:
        """All items that were read."""
        return self.tally.seen

    @property
    def accepted(self) -> Mapping[str, int]:
        """Items that were accepted, by kind."""
        return self.tally.accepted

    @property
    def passed_over(self) -> Mapping[str, int]:
        """Skipped items about something else, by kind."""
        return self.tally.passed_over

    @property
    def rejected(self) -> Mapping[str, int]:
        """Unusable items, by reason."""
        return self.tally.rejected


def merged(first: Ingested | None, then: Ingested) -> Ingested:
    """Return the result of two ingests of one stream after another; changes the first's tally."""
    if first is None:
        return then
    first.tally.add(then.tally)
    return replace(
        first,
        sessions=first.sessions + then.sessions,
        rows=dict(sorted((Counter(first.rows) + Counter(then.rows)).items())),
        files=(*first.files, *then.files)[-_MOST_FILES:],
        faults=tuple(dict.fromkeys((*first.faults, *then.faults))),
    )


class Forgotten(NamedTuple):
    """An input that was taken out, and inputs that skipped its messages, which no longer count.

    Ingested again, they count.
    """

    entry: Entry
    incomplete: tuple[str, ...]


def _nobody() -> None:
    """Ignore a wait."""


def ingest(  # noqa: PLR0913 - the options of an ingest
    named: Sequence[str],
    root: Path,
    plan: Plan,
    *,
    replace: bool = False,
    strict: bool = False,
    most_rejected: float = MOST_REJECTED,
    dry_run: bool = False,
    keep_rejects: bool = True,
    stream: str | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    waiting: Callable[[], None] = _nobody,
) -> Ingested:
    """Add the sessions and metrics of inputs to a data set, all or nothing.

    ``named`` are files and directories, or only ``-`` for standard input. ``replace`` ingests each
    again and removes what it added before. Above ``most_rejected``, a share of items from 0 to 1,
    rejected items are a fault. A ``dry_run`` reads everything and writes nothing. Without
    ``keep_rejects``, rejected items are counted and not kept. ``stream`` is the name of a stream
    whose further messages the inputs are: it is one input, however often it goes on. Calls
    ``waiting`` once if another change of the data set runs. Raises ``DataError`` for inputs that
    are missing or unreadable, for tables without their columns, for an input that is known
    with other options, and for rejected items when ``strict``.
    """
    plan.check()
    _refuse_store(root)
    limits = Limits(memory_limit, threads, observer)
    paths = inputs.find(named, str(root))
    present.entire_files(paths)
    refuse_table(root)
    import_early()
    if dry_run:
        return _preview(paths, root, plan, replace, most_rejected, observer)
    with Dataset.changing(root, waiting=waiting) as dataset:
        known = dataset.known()
        with dataset.transaction() as transaction:
            stage = Stage(transaction.folder, plan.span, plan.words.dimensions)
            reading = Reading(
                stage, known, plan, replace=replace, folder=transaction.folder, stream=stream
            )
            _read(reading, stage, paths, observer)
            where = _where(paths) if stream is None else f"{printable(stream)}: "
            _check(stage.tally, plan, where, strict=strict)
            rejects = publish_rejects(stage, transaction) if keep_rejects else ""
            change = Change(dataset, transaction, known, limits)
            written = change.write(stage.days(), reading.replaced)
            at = now()
            for one in reading.taken:
                days = [day for day, each in written.items() if one.number in each.inputs]
                sessions = sum(each.sessions[one.number] for each in written.values())
                entry = one.entry(plan.options(), at, sessions=sessions, days=days, rejects=rejects)
                transaction.inputs.append(msgspec.to_builtins(entry))
            numbers = {one.number for one in reading.taken}
            return Ingested(
                inputs=reading.inputs,
                tally=stage.tally,
                known=tuple(reading.known),
                grown=tuple(one.named.name for one in reading.taken if one.before),
                replaced=tuple(entry.name for entry in reading.replaced.values()),
                sessions=sum(each.sessions[n] for each in written.values() for n in numbers),
                rows=dict(sorted(sum((each.rows for each in written.values()), Counter()).items())),
                files=tuple(sorted(shown_files(transaction))),
                faults=tuple(_faults(reading, stage.tally, most_rejected, where)),
                incomplete=tuple(change.incomplete),
            )


def refuse_table(root: Path) -> None:
    """Raise ``DataError`` if a data set would be in the folder of a table with a log."""
    around = tables.around(str(root))
    if around is not None:
        raise DataError(
            f"{printable(str(root))}: in {around[0]}, whose log would not have the data; name"
            " another folder for the data set"
        )


def _preview(
    paths: Sequence[str],
    root: Path,
    plan: Plan,
    replace: bool,  # noqa: FBT001 - passed on
    most_rejected: float,
    observer: Observer | None,
) -> Ingested:
    """Read inputs like an ingest, and write nothing."""
    known = entries.read(root / LEDGER / "inputs.jsonl")
    with tempfile.TemporaryDirectory(prefix="relhealth-") as folder:
        stage = Stage(Path(folder), plan.span, plan.words.dimensions)
        reading = Reading(stage, known, plan, replace=replace, folder=Path(folder))
        _read(reading, stage, paths, observer)
        _check(stage.tally, plan, _where(paths), strict=False)
        return Ingested(
            inputs=reading.inputs,
            tally=stage.tally,
            known=tuple(reading.known),
            grown=tuple(one.named.name for one in reading.taken if one.before),
            replaced=tuple(entry.name for entry in reading.replaced.values()),
            faults=tuple(_faults(reading, stage.tally, most_rejected, _where(paths))),
            sample=tuple(stage.sample),
        )


def forget(
    name: str,
    root: Path,
    *,
    memory_limit: str | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    waiting: Callable[[], None] = _nobody,
) -> Forgotten:
    """Take an input out of a data set, as if it had never been ingested.

    ``name`` is its name, its path, or the beginning of its digest. Raises ``DataError``
    if no input or several inputs match.
    """
    _check_dataset(root)
    limits = Limits(memory_limit, threads, observer)
    with Dataset.changing(root, waiting=waiting) as dataset:
        known = dataset.known()
        entry = _one_named(name, root, known)
        with dataset.transaction() as transaction:
            known.forget(entry.number)
            change = Change(dataset, transaction, known, limits)
            change.write({}, {entry.number: entry})
        return Forgotten(entry, tuple(change.incomplete))


def ingested_inputs(root: Path) -> list[Entry]:
    """Return the inputs of a data set, in the order of their first ingest."""
    _check_dataset(root)
    found = entries.read(root / LEDGER / "inputs.jsonl")
    return [entry for _, entry in sorted(found.entries.items())]


def _read(reading: Reading, stage: Stage, paths: Sequence[str], observer: Observer | None) -> None:
    """Read inputs, and report progress in bytes."""
    sizes = {path: os.path.getsize(path) for path in paths if os.path.isfile(path)}
    all_bytes = max(1, sum(sizes.values()))
    done: dict[str, int] = {}

    def watch(name: str, read: int) -> None:
        if observer is not None:
            done[name] = min(read, sizes.get(name, 0))
            share = min(1.0, sum(done.values()) / all_bytes)
            observer(Progress(f"reading {printable(name)}", share))

    with stage:
        reading.read(paths, watch)


def _check(tally: Tally, plan: Plan, where: str, *, strict: bool) -> None:
    if plan.unknown_status is Unknown.STOP:
        check_statuses(tally.unknown_statuses, where)
    if strict and tally.rejected:
        raise DataError([f"{n} rejected: {why}" for why, n in sorted(tally.rejected.items())])


def _where(paths: Sequence[str]) -> str:
    """Return the beginning of a message, which names the input if there is only one."""
    if len(paths) > 1:
        return ""
    return f"{STANDARD_INPUT if paths[0] == inputs.STDIN else printable(paths[0])}: "


def _faults(reading: Reading, tally: Tally, most_rejected: float, where: str) -> Iterator[str]:
    """Yield the reasons for a failure although the good items were added."""
    reasons = ""
    if tally.rejected:
        reason, count = tally.rejected.most_common(1)[0]
        reasons = f" ({count:,} rejected: {reason})"
    for name in reading.fruitless[:_MOST_NAMED]:
        yield (
            f"{printable(name)}: nothing in it could be ingested{reasons};"
            " say what it is with --from, --map or --project"
        )
    if len(reading.fruitless) > _MOST_NAMED:
        yield f"nothing could be ingested of {len(reading.fruitless) - _MOST_NAMED} more inputs"
    accepted, rejected = tally.accepted.total(), tally.rejected.total()
    if not accepted and not reading.fruitless and not reading.known:
        yield "nothing was ingested: the inputs hold no sessions and no session metrics"
    if accepted and rejected > most_rejected * (accepted + rejected):
        share = 100 * rejected / (accepted + rejected)
        yield (
            f"{where}{rejected:,} of {accepted + rejected:,} items rejected ({share:.1f} %),"
            f" more than --max-rejected {100 * most_rejected:g}%; correct the options and repeat"
            " with --replace"
        )


def shown_files(transaction: Transaction) -> Iterator[str]:
    """Yield the files that a change adds, except those of the ledger."""
    return (file for file in transaction.moves.values() if not file.startswith(f"{LEDGER}/"))


def publish_rejects(stage: Stage, transaction: Transaction) -> str:
    """Publish the rejected items, if there are any; return the file's name."""
    if not stage.rejects.exists():
        return ""
    name = f"{transaction.name}.jsonl"
    stage.rejects.rename(transaction.place(f"{REJECTED}/{name}"))
    return name


def _one_named(name: str, root: Path, known: Known) -> Entry:
    found = known.named(name, os.path.abspath(name))
    if len(found) == 1:
        return found[0]
    listing = f"relhealth ingest --list --to {printable(str(root))} shows them"
    if found:
        digests = ", ".join(
            f"{entry.content.digest[:12]} of {entry.at}" for entry in found[:_MOST_NAMED]
        )
        raise DataError(
            f"{printable(name)}: several inputs have this name: {digests}; name one by its digest"
        )
    if any(each.name == name for each in known.old.values()):
        raise DataError(
            f"{printable(name)}: ingested by an earlier version, whose rows cannot be separated;"
            " ingest all inputs again into another data set"
        )
    raise DataError(f"{printable(name)}: no input of this data set; {listing}")


def _refuse_store(root: Path) -> None:
    refuse_to_write(root, "write to a folder, then copy it, such as with aws s3 sync")


def _check_dataset(root: Path) -> None:
    _refuse_store(root)
    if not (root / LEDGER).is_dir():
        raise DataError(f"{printable(str(root))}: no data set of relhealth ingest")
