"""One ingest from Sentry: reads the days that can have changed, and keeps each as one input.

A day is an input of the ledger: known, replaced if it has changed, and taken out like any other.
Days that fit one question are added in one transaction, so that a run that ends early keeps what it
has read, and the next one goes on there.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from relhealth.core.errors import DataError
from relhealth.core.printable import printable
from relhealth.core.windows import DAY, HOUR, ceil_to, floor_to, iso, parse_instant, to_epoch_us
from relhealth.datasets.arrays import import_early
from relhealth.ingest.change import Change, Limits, now
from relhealth.ingest.dataset import Dataset
from relhealth.ingest.entries import HEAD_BYTES, Content, Entry, Known, Span, digest_of
from relhealth.ingest.protocol import FaultError, check_release
from relhealth.ingest.reading import shown_options
from relhealth.ingest.run import MOST_REJECTED, publish_rejects, refuse_table, shown_files
from relhealth.ingest.sentry.answers import Key, Window
from relhealth.ingest.sentry.connection import Connection, Place
from relhealth.ingest.sentry.windows import Reader, Scope, Sessions
from relhealth.ingest.staging import AcceptedSpan, Stage
from relhealth.ingest.tally import Tally
from relhealth.machine.database import Observer, Progress

KIND = "sentry"  # of entries in the ledger
COUNTED = "hour of a release"  # what the tally counts as an item
_COUNTER = "c:sessions/session@none"
# Sentry takes updates of a session for 5 days after its start.
_STILL_CHANGES = timedelta(days=5, hours=1)
# What Sentry keeps; older hours are gone, and say nothing about what was read before.
_RETENTION = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class FromSentry:
    """The result of an ingest from Sentry.

    ``changed`` are the days that were added or replaced, ``unchanged`` those that were read and
    added nothing, ``settled`` counts those that were not read, because they no longer change.
    ``sessions`` and ``rows`` are those of the changed days. ``tally`` counts hours of releases.
    """

    window: Window
    requests: int = 0
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    settled: int = 0
    sessions: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """What to read: a place and a scope; what the ledger calls it."""

    place: Place
    scope: Scope

    def options(self) -> dict[str, Any]:
        """Return the options by which the ledger knows it; what is equal is read equally."""
        found: dict[str, Any] = {"from_sentry": self.place.url, "org": self.place.org}
        if self.scope.projects:
            found["project"] = sorted(set(self.scope.projects))
        if self.scope.environments:
            found["environment"] = sorted(set(self.scope.environments))
        return found

    def of_place(self, known: Known) -> list[Entry]:
        """Return the entries of its place, whatever their scope."""
        own = self.options()
        return [
            entry
            for entry in known.entries.values()
            if entry.kind == KIND
            and all(entry.options.get(name) == own[name] for name in ("from_sentry", "org"))
        ]

    def by_day(self, known: Known) -> dict[str, Entry]:
        """Return its entries by day; raises ``DataError`` if they are of another scope."""
        own = self.options()
        found = {}
        for entry in self.of_place(known):
            if entry.options != own:
                raise DataError(
                    f"{self.place.org}: read on {entry.at} with other options"
                    f" ({shown_options(entry.options)}; now {shown_options(own)}), and a session"
                    " must not count twice; repeat them, or read all again with --replace"
                )
            if entry.span is not None:
                found[entry.span.start[:10]] = entry
        return found


class _Day(NamedTuple):
    """Hours of one day to read; what is known of them, if anything."""

    window: Window
    known: Entry | None

    @property
    def name(self) -> str:
        return f"{self.window.start:%Y-%m-%d}"


class _Part(NamedTuple):
    """A day that was read."""

    day: _Day
    sessions: Mapping[Key, Sessions]


def window_of(since: datetime, until: datetime) -> Window:
    """Return the full hours from an instant until another."""
    return Window(floor_to(since, HOUR), ceil_to(until, HOUR))


def ingest(  # noqa: PLR0913 - the options of an ingest
    source: Source,
    connection: Connection,
    root: Path,
    since: datetime,
    until: datetime,
    *,
    replace: bool = False,
    strict: bool = False,
    most_rejected: float = MOST_REJECTED,
    memory_limit: str | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> FromSentry:
    """Read the sessions of an organisation into a data set, from one instant until another.

    Reads the days that are not known, and those that still changed when they were read; replaces a
    day that has changed. ``replace`` reads all days again, and changes the data set only at the
    end. Raises ``DataError`` if Sentry does not answer, or not as expected, and keeps the days that
    it has read.
    """
    refuse_table(root)
    import_early()
    window = window_of(since, until)
    reader = Reader(connection, source.scope, until)
    adding = _Adding(source, root, until, Limits(memory_limit, threads, None), waiting)
    with Dataset.changing(root, waiting=waiting) as dataset:
        known = {} if replace else source.by_day(dataset.known())
    days, settled = _days(window, known, until)
    read = _reading(reader, days, observer)
    if replace:
        adding.add((part for parts in read for part in parts), strict=strict, replace=True)
    else:
        for parts in read:
            adding.add(parts, strict=strict)
    tally = adding.tally
    return FromSentry(
        window=window,
        requests=connection.requests,
        changed=tuple(adding.changed),
        unchanged=tuple(adding.unchanged),
        settled=settled,
        sessions=adding.sessions,
        rows=dict(sorted(adding.rows.items())),
        files=tuple(sorted(adding.files)),
        tally=tally,
        faults=tuple(_faults(tally, most_rejected)),
    )


def _days(window: Window, known: Mapping[str, Entry], until: datetime) -> tuple[list[_Day], int]:
    """Return the days of a window to read, and how many need no reading."""
    days, settled = [], 0
    start = window.start
    while start < window.end:
        midnight = floor_to(start, DAY)
        end = min(window.end, midnight + timedelta(days=1))
        entry = known.get(f"{start:%Y-%m-%d}")
        wanted = _wanted(Window(start, end), entry, until)
        if wanted is None:
            settled += 1
        else:
            days.append(_Day(wanted, entry))
        start = end
    return days, settled


def _wanted(window: Window, entry: Entry | None, until: datetime) -> Window | None:
    """Return the hours of a day to read, with those that are known; ``None`` if none can differ."""
    if entry is None or entry.span is None:
        return window
    start, end, at = (parse_instant(each) for each in msgspec.structs.astuple(entry.span))
    if window.start >= start and window.end <= end and at >= window.end + _STILL_CHANGES:
        return None
    every = Window(min(start, window.start), max(end, window.end))
    gone = start < floor_to(until, HOUR) - _RETENTION
    return None if gone and window.start >= start else every


def _reading(
    reader: Reader, days: Sequence[_Day], observer: Observer | None
) -> Iterator[list[_Part]]:
    """Read days, as many at a time as fit a question."""
    left = list(days)
    while left:
        together = [left.pop(0)]
        while (
            left
            and left[0].window.start == together[-1].window.end
            and Window(together[0].window.start, left[0].window.end).hours <= reader.hours
        ):
            together.append(left.pop(0))
        found = reader.read(Window(together[0].window.start, together[-1].window.end))
        by_day: dict[str, dict[Key, Sessions]] = {day.name: {} for day in together}
        for key, sessions in found.items():
            by_day[f"{key.hour:%Y-%m-%d}"][key] = sessions
        if observer is not None:
            observer(Progress("reading Sentry", 1 - len(left) / len(days)))
        yield [_Part(day, by_day[day.name]) for day in together]


class _Adding:
    """Adds days to a data set, and counts what it adds."""

    def __init__(
        self,
        source: Source,
        root: Path,
        until: datetime,
        limits: Limits,
        waiting: Callable[[], None],
    ) -> None:
        self._source = source
        self._root = root
        self._until = until
        self._limits = limits
        self._waiting = waiting
        self.tally = Tally()
        self.changed: list[str] = []
        self.unchanged: list[str] = []
        self.sessions = 0
        self.rows: Counter[str] = Counter()
        self.files: list[str] = []

    def add(self, parts: Iterable[_Part], *, strict: bool, replace: bool = False) -> None:
        """Add days in one transaction; ``replace`` takes out all else of the place."""
        with Dataset.changing(self._root, waiting=self._waiting) as dataset:
            known = dataset.known()
            old = self._source.of_place(known) if replace else self._source.by_day(known).values()
            by_day = {one.span.start[:10]: one for one in old if one.span is not None}
            gone = {one.number: one for one in old} if replace else {}
            new: list[tuple[str, Entry]] = []
            with dataset.transaction() as transaction:
                stage = Stage(transaction.folder, AcceptedSpan(self._until, _RETENTION))
                with stage:
                    for part in parts:
                        before = by_day.get(part.day.name)
                        content = self._content(part)
                        if before is not None and before.content.digest == content.digest:
                            if not replace:
                                self._keep(part, before, transaction.inputs)
                                continue
                        elif before is not None:
                            gone[before.number] = before
                        entry = self._entry(known, part, content, before)
                        new.append((part.day.name, _staged(stage, part, entry)))
                rejected = stage.tally.rejected
                if strict and rejected:
                    raise DataError([f"{n} rejected: {why}" for why, n in sorted(rejected.items())])
                rejects = publish_rejects(stage, transaction)
                for number in gone:
                    known.forget(number)
                written = Change(dataset, transaction, known, self._limits).write(
                    stage.days(), gone
                )
                for name, entry in new:
                    day = written.get(name)
                    sessions = day.sessions[entry.number] if day else 0
                    days = [name] if day and entry.number in day.inputs else []
                    line = msgspec.structs.replace(
                        entry, sessions=sessions, days=days, rejects=rejects
                    )
                    transaction.inputs.append(msgspec.to_builtins(line))
                    self.sessions += sessions
                    self.changed.append(name)
                self.files += shown_files(transaction)
            for each in written.values():
                self.rows.update(each.rows)
            self.tally.accepted.update(stage.tally.accepted)
            self.tally.rejected.update(rejected)
            self.tally.statuses.update(stage.tally.statuses)
            for reason, examples in stage.tally.examples.items():
                self.tally.examples.setdefault(reason, examples)

    def _content(self, part: _Part) -> Content:
        """Return the content of a day: a digest of its counts tells whether it has changed."""
        place = self._source.place
        name = f"{place.url.partition('://')[2]}/{place.org}/{part.day.name}"
        lines = [json.dumps({"sessions": name})]
        lines += [
            json.dumps([iso(key.hour), *key[1:], *_numbers(sessions)])
            for key, sessions in sorted(part.sessions.items(), key=_order)
        ]
        body = "\n".join(lines).encode()
        head = digest_of(body[:HEAD_BYTES])
        return Content(name, "", digest_of(body), len(body), head, resume=0)

    def _entry(self, known: Known, part: _Part, content: Content, before: Entry | None) -> Entry:
        return Entry(
            number=known.new_number(),
            content=content,
            kind=KIND,
            project=None,
            options=self._source.options(),
            at=now(),
            items=len(part.sessions),
            rejected=0,
            sessions=0,
            days=[],
            first_at=(before.first_at or before.at) if before else "",
            span=self._span(part),
        )

    def _span(self, part: _Part) -> Span:
        window = part.day.window
        return Span(iso(window.start), iso(window.end), iso(self._until))

    def _keep(self, part: _Part, before: Entry, lines: list[Mapping[str, Any]]) -> None:
        """Note that a day was read again without a change, if that spares reading it once more."""
        span = self._span(part)
        self.unchanged.append(part.day.name)
        longer = before.span is None or (span.start, span.end) != (
            before.span.start,
            before.span.end,
        )
        if longer or self._until >= part.day.window.end + _STILL_CHANGES:
            lines.append(msgspec.to_builtins(msgspec.structs.replace(before, span=span)))


def _order(item: tuple[Key, Sessions]) -> tuple[Any, ...]:
    key = item[0]
    return key.hour, key.project, key.release or "", key.environment or ""


def _numbers(sessions: Sessions) -> tuple[int, ...]:
    return (
        sessions.begun,
        sessions.errored,
        sessions.crashed,
        sessions.abnormal,
        sessions.unhandled,
    )


def _staged(stage: Stage, part: _Part, entry: Entry) -> Entry:
    """Stage the sessions of a day; return its entry with what was rejected of them."""
    rejected = stage.tally.rejected.total()
    stage.begin(entry.number)
    for key, sessions in sorted(part.sessions.items(), key=_order):
        _stage(stage, key, sessions, entry.name)
    return msgspec.structs.replace(entry, rejected=stage.tally.rejected.total() - rejected)


def _stage(stage: Stage, key: Key, sessions: Sessions, source: str) -> None:
    """Stage the counters of one key, or reject it."""
    try:
        check_release(key.release)
    except FaultError as error:
        item = json.dumps([iso(key.hour), *key[1:], *_numbers(sessions)]).encode()
        stage.reject(source, str(error), item, error.example)
        return
    counters = {
        "init": sessions.begun,
        "errored_preaggr": sessions.errored,
        "crashed": sessions.crashed,
        "abnormal": sessions.abnormal,
        "unhandled": sessions.unhandled,
    }
    for status, count in counters.items():
        if count:
            stage.metric(
                (
                    None,
                    key.project,
                    to_epoch_us(key.hour),
                    _COUNTER,
                    key.release,
                    key.environment,
                    status,
                    None,
                    float(count),
                    None,
                    None,
                )
            )
    worst = {"crashed", "abnormal", "unhandled"}
    only_errors = max(0, sessions.errored - sum(counters[status] for status in worst))
    ends = {status: counters[status] for status in sorted(worst)} | {"errored": only_errors}
    healthy = max(0, sessions.begun - sessions.errored)
    stage.tally.statuses.update({"healthy": healthy} | ends)
    stage.tally.accepted[COUNTED] += 1


def _faults(tally: Tally, most_rejected: float) -> Iterator[str]:
    accepted, rejected = tally.accepted.total(), tally.rejected.total()
    if rejected > most_rejected * (accepted + rejected):
        reason = printable(tally.rejected.most_common(1)[0][0])
        yield (
            f"{rejected:,} of {accepted + rejected:,} hours of releases rejected ({reason}), more"
            f" than --max-rejected {100 * most_rejected:g}%"
        )
