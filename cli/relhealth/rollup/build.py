"""Makes a rollup: finds the stale days, and makes each from its rows."""

import os
import shutil
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from relhealth.core.errors import ChangedError, DataError, OutputError
from relhealth.core.printable import printable
from relhealth.core.words import counted
from relhealth.datasets.arrays import Array, import_early
from relhealth.datasets.ledger import ROLLUP
from relhealth.datasets.sources import SourceFile, open_sources
from relhealth.machine import memory
from relhealth.machine.allocator import lean
from relhealth.machine.database import Observer, Progress, check_limits
from relhealth.machine.locks import locked
from relhealth.machine.workers import Turns, Workers
from relhealth.rollup import disk, manifest, numbers, rows
from relhealth.rollup.day import (
    MILLISECONDS,
    SECONDS,
    DayWriter,
    NotMilliseconds,
    Sorted,
    prepare,
)
from relhealth.rollup.manifest import Day, DayFiles, Manifest, RawFile, Unusable
from relhealth.rollup.numbers import Codes, Names
from relhealth.rollup.parts import Parting
from relhealth.rollup.rows import Name, Part
from relhealth.stores.addresses import refuse_to_write

_PATIENCE = 5  # attempts, if the data set changes during the run
_ROW_BYTES = 96  # of memory per row, during the sort
_LEAST_ROWS = 1 << 18  # at once, with any memory limit


@dataclass(frozen=True, slots=True)
class Made:
    """What a run did; ``why`` is the reason if it made all days again."""

    days_made: int
    days_kept: int
    days_removed: int
    files: int
    rows: int  # of the raw files
    invalid_rows: int  # kept unchanged
    users: int  # distinct, of all days
    raw_bytes: int
    rollup_bytes: int
    why: str | None = None


def make(
    dataset: str | os.PathLike[str],
    *,
    force: bool = False,
    strict: bool = False,
    memory_limit: str | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Made:
    """Bring the rollup of a data set up to date: make the days that changed, keep the others.

    ``force`` makes all days again; ``strict`` refuses invalid rows. Raises ``DataError`` for data
    that does not fit the contract and for a rollup of a later relhealth, and ``OutputError`` if
    the rollup cannot be written.
    """
    check_limits(memory_limit, threads)
    refuse_to_write(dataset, "make the rollup beside a local copy, and copy it too")
    root = os.path.abspath(os.fspath(dataset))
    if not os.path.isdir(root):
        what = "not a directory" if os.path.lexists(root) else "no such directory"
        raise DataError(f"{printable(os.fspath(dataset))}: {what}")
    folder = Path(root, ROLLUP)
    if not folder.is_dir():
        open_sources([root])  # raises for what is no data set, before any write
    cannot = f"{printable(str(folder))}: cannot write the rollup"
    import_early()
    with locked(folder, cannot=cannot, waiting=waiting):
        if (folder / manifest.MANIFEST).is_dir():
            raise OutputError(f"{cannot}: {manifest.MANIFEST} is a directory; remove it")
        for attempt in range(_PATIENCE):
            try:
                run = _Run(root, folder, memory_limit, threads, observer)
                with lean():
                    return run.make(force=force, strict=strict)
            except ChangedError:
                if attempt == _PATIENCE - 1:
                    raise
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


class _Run:
    """One attempt, which publishes a rollup or leaves nothing."""

    def __init__(
        self,
        root: str,
        folder: Path,
        memory_limit: str | None,
        threads: int | None,
        observer: Observer | None,
    ) -> None:
        self._root = root
        self.folder = folder
        self._observer = observer
        self.name = f"{datetime.now(UTC):%y%m%d%H%M%S}{uuid.uuid4().hex[:6]}"
        self._staging = folder / f"staging-{self.name}"
        self._written: list[Path] = []
        share, self._threads = memory.of_rollup(
            memory_limit, threads or len(os.sched_getaffinity(0))
        )
        self._parting = Parting(self._staging, memory_limit, self._threads, observer)
        self.most_rows = max(_LEAST_ROWS, share // _ROW_BYTES)
        self.workers = Workers(self._threads)
        self.turns = Turns(self.workers)

    def make(self, *, force: bool, strict: bool) -> Made:
        """Make the stale days and publish the rollup."""
        old, why = self._old(force=force)
        try:
            return self._make(old, why, strict=strict)
        finally:
            disk.clean_run(self.folder, self.name, manifest.load_or_none(self._root))

    def _make(self, old: Manifest | None, why: str | None, *, strict: bool) -> Made:
        sources = open_sources([self._root])
        paths = {manifest.below(self._root, path): path for path in sources.empty}
        by_name = {manifest.below(self._root, file.absolute): file for file in sources.files}
        paths |= {name: file.absolute for name, file in by_name.items()}
        found = {name: _raw_file(path, by_name.get(name)) for name, path in paths.items()}
        new = self._made(old, found, by_name)
        for name, path in paths.items():
            if found[name].identity != manifest.identify(path):
                raise ChangedError([f"{printable(path)}: changed while it was read"])
        invalid = sum(one.rest for one in new.days.values())
        if strict and invalid:
            raise DataError(f"{printable(self._root)}: {counted(invalid, 'invalid row')}")
        disk.sync_all(self._written)
        if new != old:
            disk.publish(self.folder, new)
        disk.clean(self.folder, new)
        before = old.days if old else {}
        kept = [day for day, one in new.days.items() if before.get(day) == one]
        return Made(
            days_made=len(new.days) - len(kept),
            days_kept=len(kept),
            days_removed=len(before.keys() - new.days.keys()),
            files=len(found),
            rows=sum(one.rows for one in found.values()),
            invalid_rows=invalid,
            users=new.members,
            raw_bytes=sum(one.size for one in found.values()),
            rollup_bytes=new.bytes(),
            why=why,
        )

    def _old(self, *, force: bool) -> tuple[Manifest | None, str | None]:
        """Return the existing rollup, or the reason to keep nothing of it."""
        try:
            old = manifest.load(self._root)
        except Unusable as error:
            if error.newer and not force:
                raise DataError(f"{error}; --force replaces it") from error
            return None, str(error)
        disk.clean(self.folder, old)  # the remains of killed runs
        if old is None:
            return None, None
        if force:
            return None, "asked for"
        missing = old.missing(self._root)
        if missing is not None:
            return None, f"{printable(missing)} has changed since it was written"
        if dict(old.partitions) != manifest.partitions_above(self._root):
            return None, "the data set has moved"
        return old, None

    def _made(
        self,
        old: Manifest | None,
        found: Mapping[str, RawFile],
        by_name: Mapping[str, SourceFile],
    ) -> Manifest:
        """Write the stale days; return the new manifest."""
        before = old.files if old else {}
        same = {
            name
            for name, file in found.items()
            if name in before and before[name].identity == file.identity
        }
        stale: set[Day] = {
            day for name, file in before.items() if name not in same for day, _ in file.days
        }
        parts: dict[Day, list[Part]] = defaultdict(list)
        for name in sorted(by_name.keys() - same):
            for day, part in self._parting.of(name, by_name[name], None):
                parts[day].append(part)
        stale |= parts.keys()
        for name in sorted(by_name.keys() & same):
            days = stale.intersection(day for day, _ in before[name].days)
            if days:
                for day, part in self._parting.of(name, by_name[name], days):
                    if day in days:
                        parts[day].append(part)
        for of_day in parts.values():
            of_day.sort(key=lambda part: part.name)
        made, fed, names, codes = self._make_days(old, parts)
        shutil.rmtree(self._staging, ignore_errors=True)
        files = {}
        for name in sorted(found):
            kept = [
                (day, count)
                for day, count in (before[name].days if name in same else ())
                if day not in stale
            ]
            fed_days = sorted([*kept, *fed[name].items()], key=lambda one: _order(one[0]))
            files[name] = replace(found[name], days=tuple(fed_days))
        kept_days = {day: one for day, one in (old.days if old else {}).items() if day not in stale}
        days_now = {**kept_days, **made}
        folder = self.folder / f"names-{self.name}"
        pairs, code_files = numbers.write(folder, old, names, codes)
        known = dict(old.names) if old else {}
        if folder.is_dir():
            known |= {f"{folder.name}/{file}": size for file, size in self.sizes(folder).items()}
        return Manifest(
            files=files,
            days={day: days_now[day] for day in sorted(days_now, key=_order)},
            pairs=pairs,
            environments=tuple(names.environments),
            codes=code_files,
            members=len(codes),
            partitions=manifest.partitions_above(self._root),
            names={name: known[name] for name in (pairs, *code_files)},
        )

    def _make_days(
        self, old: Manifest | None, parts: Mapping[Day, Sequence[Part]]
    ) -> tuple[dict[Day, DayFiles], dict[str, dict[Day, int]], Names, Codes]:
        """Write the days; return them, and how many rows of each come from each raw file."""
        names, codes = numbers.known(self.folder, old)
        fed: dict[str, dict[Day, int]] = defaultdict(dict)
        made: dict[Day, DayFiles] = {}
        days = sorted(parts, key=_order)
        if days:
            self._observe(0, len(days))

        def work(item: tuple[int, Day]) -> tuple[Day, DayFiles | None, Counter[str]]:
            number, day = item
            return day, *_OneDay(self, day, parts[day]).make(number, names, codes)

        done = self.workers.each(work, list(enumerate(days)))
        for number, (day, one, counts) in enumerate(done, start=1):
            if one is not None:
                made[day] = one
            for name, count in counts.items():
                fed[name][day] = count
            self._observe(number, len(days))
        return made, fed, names, codes

    def sizes(self, folder: Path) -> dict[str, int]:
        """Return the bytes of each file of a written folder; sync the folder at the end."""
        self._written.append(folder)
        return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}

    def _observe(self, done: int, total: int) -> None:
        if self._observer is not None:
            self._observer(Progress("rollup", done / total))


class _OneDay:
    """Makes one day. Its numbers depend on earlier days, so they wait for its turn."""

    def __init__(self, run: _Run, day: Day, parts: Sequence[Part]) -> None:
        self._folder = run.folder / manifest.folder_name(day, run.name)
        self._run = run
        self._day, self._parts = day, parts

    def make(self, number: int, names: Names, codes: Codes) -> tuple[DayFiles | None, Counter[str]]:
        """Return the day, ``None`` if it has no row, and how many rows each raw file has in it."""
        if self._day is None:
            writer, (fed, newest) = DayWriter(self._folder, None), self._undated()
            self._run.turns.wait(number)
            self._run.turns.end()
            for path in (part.path for part in self._parts):
                with pq.ParquetFile(path) as file:
                    writer.write_rest(_groups_of(file))
        elif sum(part.rows for part in self._parts) <= self._run.most_rows:
            writer = DayWriter(self._folder, self._day)
            ready = prepare(rows.read(self._day, self._parts, self._run.workers))
            self._run.turns.wait(number)
            places, coded = _encoded(ready, names, codes)
            self._run.turns.end()
            writer.write(ready, places, coded)
            fed, newest = ready.rows.fed, ready.rows.newest_us
        else:
            slices = _slices(rows.names(self._parts, self._run.workers), self._run.most_rows)
            self._run.turns.wait(number)
            try:
                writer, fed, newest = self._sliced(slices, MILLISECONDS, names, codes)
            except NotMilliseconds:
                shutil.rmtree(self._folder)
                writer, fed, newest = self._sliced(slices, SECONDS, names, codes)
            self._run.turns.end()
        writer.close()
        if not fed:
            self._folder.rmdir()
            return None, fed
        return self._written(writer, newest), fed

    def _sliced(
        self, slices: Sequence[Collection[Name]], unit: str, names: Names, codes: Codes
    ) -> tuple[DayWriter, Counter[str], dict[int | None, int]]:
        """Write a day a few pairs at a time, to limit the rows in memory."""
        writer = DayWriter(self._folder, self._day, unit)
        fed: Counter[str] = Counter()
        newest: dict[int | None, int] = {}
        assert self._day is not None
        for some in slices:
            ready = prepare(rows.read(self._day, self._parts, self._run.workers, some))
            writer.write(ready, *_encoded(ready, names, codes))
            fed += ready.rows.fed
            for org, at in ready.rows.newest_us.items():
                newest[org] = max(at, newest.get(org, at))
        return writer, fed, newest

    def _undated(self) -> tuple[Counter[str], dict[int | None, int]]:
        """Return the number of rows of each file, and each organisation's newest timestamp."""
        fed: Counter[str] = Counter()
        newest: dict[int | None, int] = {}
        for part in self._parts:
            table = pq.read_table(part.path, columns=["org_id", "timestamp"], partitioning=None)
            fed[part.name] += table.num_rows
            stamps = table["timestamp"].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
            for org, at in zip(table["org_id"].to_pylist(), stamps, strict=True):
                if at is not None:
                    newest[org] = max(at, newest.get(org, at))
        return fed, newest

    def _written(self, writer: DayWriter, newest: Mapping[int | None, int]) -> DayFiles:
        return DayFiles(
            folder=self._folder.name,
            files=self._run.sizes(self._folder),
            unit=writer.unit,
            newest_us=tuple(sorted(newest.items(), key=lambda one: _order(one[0]))),
            **writer.counts,
        )


def _groups_of(file: pq.ParquetFile) -> Iterator[pa.Table]:
    for group in range(file.num_row_groups):
        yield file.read_row_group(group, columns=rows.CONTRACT.names)


def _encoded(ready: Sorted, names: Names, codes: Codes) -> tuple[Array, Array]:
    """Return the numbers of places, as (pair, environment), and the codes of members."""
    places = np.array(names.encode(ready.rows.places), np.int64).reshape(-1, 2)
    return places, codes.encode(ready.members)


def _slices(counts: Mapping[Name, int], most_rows: int) -> list[set[Name]]:
    """Split names into sets with at most ``most_rows`` each, unless one name has more."""
    slices: list[set[Name]] = []
    room = 0
    for name in sorted(counts, key=repr):
        if not slices or counts[name] > room:
            slices.append(set())
            room = most_rows
        slices[-1].add(name)
        room -= counts[name]
    return slices


def _raw_file(path: str, file: SourceFile | None) -> RawFile:
    size, mtime_ns, footer = manifest.identify(path)
    if file is None:
        return RawFile(size, mtime_ns, footer, 0, None, None)
    return RawFile(size, mtime_ns, footer, file.rows, file.first_us, file.last_us)


def _order(one: int | None) -> tuple[bool, int]:
    return one is None, one or 0
