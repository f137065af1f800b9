"""Generate session metrics as Parquet files: a made-up story of releases, as the data contract.

    python benchmarks/generate.py 5_000_000 /tmp/metrics --days 90 --projects 3 --releases 135

Each date becomes OUTPUT/date=YYYY-MM-DD/part-0.parquet (and part-1, ... where a date is too large
for memory). The same arguments give the same rows. It needs numpy and pyarrow and imports nothing
of relhealth: data that test a program must not share its mistakes.

With `--make habitual`, half of the users have sessions on many days and half have one or two
sessions, all on one day. There are far more users. Row groups are large, and a day is one file.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

DAY = 86_400  # seconds
TICK = 10  # seconds; timestamps are floored to it
MINUTE_TICKS = 60 // TICK
HOUR_TICKS = 3_600 // TICK
DAY_TICKS = DAY // TICK
SATURDAY = 6
LEVELS = 1_024  # users are told apart by so many levels of eagerness to update
FULL_STORY = 4  # releases that a project needs for a candidate, a bad release and its hotfix
SLICE_ROWS = 2_000_000  # held in memory at once
# By make; the first is DuckDB's own size.
ROW_GROUP_ROWS = {"usual": 122_880, "habitual": 1_000_000}
ROWS_PER_SESSION = 2.6  # about
PASSING_BASE = 2**39  # passing users have the numbers from here on
PASSING_PER_DAY = 2**27

ORG_ID = 1
METRICS = (  # in sorted order, so that sorting by index sorts by name
    "c:sessions/session@none",
    "d:sessions/duration@second",
    "s:sessions/error@none",
    "s:sessions/user@none",
)
COUNTER, DURATION, ERROR, USER = range(len(METRICS))
ENVIRONMENTS = ("production", "staging", "development")
NONE = -1  # an index that stands for null


class Status(IntEnum):
    """How a session went; the order is that of `Release.rates`."""

    HEALTHY = 0
    ERRORED = 1
    UNHANDLED = 2
    CRASHED = 3
    ABNORMAL = 4


class Kind(NamedTuple):
    """What tells one kind of row from another."""

    metric: int
    status: str | None = None
    mechanism: str | None = None


INIT = Kind(COUNTER, "init")
ERRORED_PREAGGR = Kind(COUNTER, "errored_preaggr")
EXITED = Kind(DURATION, "exited")
ERRORED_SESSION = Kind(ERROR)
HEALTHY_USER = Kind(USER)
ERRORED_USER = Kind(USER, "errored")
FATES = (Status.UNHANDLED, Status.CRASHED, Status.ABNORMAL)  # these have a counter of their own
FATED_SESSION = {fate: Kind(COUNTER, fate.name.lower()) for fate in FATES}
FATED_USER = {fate: Kind(USER, fate.name.lower()) for fate in (Status.UNHANDLED, Status.CRASHED)}
ABNORMAL_USERS = (
    Kind(USER, "abnormal", "anr_foreground"),
    Kind(USER, "abnormal", "anr_background"),
)
KINDS = (
    *(INIT, ERRORED_PREAGGR, EXITED, ERRORED_SESSION, HEALTHY_USER, ERRORED_USER),
    *(*FATED_SESSION.values(), *FATED_USER.values(), *ABNORMAL_USERS),
)


@dataclass(frozen=True)
class Outline:
    """What the command line asks for; counts are over all projects."""

    seed: int
    days: int
    projects: int
    releases: int
    users: int
    until: datetime
    passing: float = 0.0  # share of the sessions whose users never come back after that day

    @property
    def dates(self) -> list[date]:
        """Days of the story; the last is the one that ends at or holds `until`."""
        last = (self.until - timedelta(microseconds=1)).date()
        return [last - timedelta(days=back) for back in reversed(range(self.days))]


@dataclass(frozen=True)
class Project:
    """One application: its share of the traffic and its rhythm."""

    id: int
    server: bool
    share: float
    users: int
    aggregated: float  # share of what it sends that is pre-aggregated
    peak_hour: float
    swing: float  # of the day around its mean, 0..1
    weekend: float  # traffic of a Saturday or Sunday against that of a workday


@dataclass(frozen=True)
class Release:
    """One release: when it ships, whom it reaches, how it behaves. Times: days since the epoch."""

    name: str
    project_id: int
    shipped: float
    half_time: float  # days until half of those whom it will reach have it
    reach: float  # share of production users who ever get it
    rates: tuple[float, float, float, float]  # of errored, unhandled, crashed, abnormal
    duration_median: float  # seconds
    duration_sigma: float  # of the logarithm
    rolled_back: float = math.inf

    def adoption(self, days: Floats, *, testing: bool) -> Floats:
        """Share of users who have it or had it at each time; testers all get it, and sooner."""
        lead = 0.5 if testing else 0.0
        half_time = min(self.half_time, 0.15) if testing else self.half_time
        age = np.maximum(days - self.shipped + lead, 0.0) / half_time
        ramp = age**3 / (1.0 + age**3)  # logistic in the logarithm of age, so it has a long tail
        fading = np.exp(-np.maximum(days - self.rolled_back, 0.0) / 1.2)
        return (1.0 if testing else self.reach) * ramp * fading


@dataclass(frozen=True)
class Story:
    """Everything that the rows are drawn from."""

    outline: Outline
    projects: tuple[Project, ...]
    releases: tuple[Release, ...]  # in order of project and shipping
    no_user: float = 0.06
    no_release: float = 0.003
    environments: tuple[float, float, float] = (0.90, 0.04, 0.02)  # the rest of the users has none
    exit_known: float = 0.88  # share of sessions that did not die whose duration is known
    late_trouble: float = 0.6  # share of troubled sessions whose first update was still healthy
    evenness: float = 0.02  # 0: a few users have very many sessions, 1: all have equally many

    @cached_property
    def rates(self) -> Floats:
        """Cumulative rates, a row per release."""
        return np.cumsum([release.rates for release in self.releases], axis=1)

    @cached_property
    def durations(self) -> Floats:
        """Mean and standard deviation of the durations' logarithm, a row per release."""
        rows = [(math.log(of.duration_median), of.duration_sigma) for of in self.releases]
        return np.array(rows)

    @cached_property
    def ranks(self) -> Ints:
        """In which order the levels get each release: with each, other users are the first."""
        rng = np.random.default_rng([self.outline.seed, 1])
        return np.array([rng.permutation(LEVELS) for _ in self.releases])

    @cached_property
    def environment_of_level(self) -> Ints:
        """A user keeps to one environment: a table from level to index."""
        edges = np.cumsum(self.environments) * LEVELS
        found = np.searchsorted(edges, np.arange(LEVELS), side="right")
        return np.where(found < len(ENVIRONMENTS), found, NONE).astype(np.int8)

    def release_of_level(self, day: date) -> Ints:
        """Index of the newest release that users have: [project, testing, hour of day, level]."""
        hours = epoch_days(day) + np.arange(24) / 24
        table = np.full((len(self.projects), 2, 24, LEVELS), NONE, dtype=np.int16)
        for index, release in enumerate(self.releases):
            of_project = table[release.project_id - 1]
            if of_project[0, 0, 0] == NONE:
                of_project[:] = index  # the oldest release is what everyone starts from
                continue
            for testing in (0, 1):
                reached = release.adoption(hours, testing=bool(testing)) * LEVELS
                of_project[testing][self.ranks[index] < reached[:, None]] = index
        return table


def epoch_days(moment: date) -> float:
    """Days since the epoch; a date is its midnight."""
    if isinstance(moment, datetime):
        return moment.timestamp() / DAY
    return float((moment - date(1970, 1, 1)).days)


# --- the story ------------------------------------------------------------------------------------


def tell_story(outline: Outline) -> Story:
    """Make up projects and releases: the last of several projects is a server."""
    rng = np.random.default_rng([outline.seed, 0])
    weights = 1.0 / np.arange(1, outline.projects + 1)
    span = (epoch_days(outline.dates[0]), epoch_days(outline.until))
    projects: list[Project] = []
    releases: list[Release] = []
    for index, share in enumerate(weights / weights.sum()):
        server = index > 0 and index == outline.projects - 1
        project = Project(
            id=index + 1,
            server=server,
            share=float(share),
            users=max(1, round(outline.users * share)),
            aggregated=0.2 if server else 0.0,
            peak_hour=14.0 if server else 19.0,
            swing=0.5 if server else 0.75,
            weekend=0.6 if server else 1.25,
        )
        projects.append(project)
        count = outline.releases // outline.projects + (index < outline.releases % outline.projects)
        releases += tell_releases(rng, project, count, span)
    return Story(outline, tuple(projects), tuple(releases))


def tell_releases(
    rng: np.random.Generator,
    project: Project,
    count: int,
    span: tuple[float, float],
) -> list[Release]:
    """Make up a project's releases; the last but two of the first project is a bad one."""
    server = project.server
    shipped = shipping_days(count, span, (4.0, 2.5, 0.375, 0.2) if server else (4.5, 2.1, 0.9, 0.4))
    releases = []
    for name, day in zip(version_names(project, count), shipped, strict=True):
        candidate = "-rc." in name
        crashed = rng.uniform(0.001, 0.007) + 0.008 * candidate
        release = Release(
            name=name,
            project_id=project.id,
            shipped=day,
            half_time=0.15 if server else 0.9,
            reach=0.02 if candidate else 1.0,
            rates=(
                rng.uniform(0.008, 0.02),
                rng.uniform(0.001, 0.004),
                crashed,
                rng.uniform(0.0003, 0.0015),
            ),
            duration_median=(0.25 if server else 180.0) * rng.uniform(0.9, 1.1),
            duration_sigma=0.8 if server else 1.1,
        )
        releases.append(release)
    if project.id == 1 and count >= FULL_STORY:
        releases[-3] = gone_bad(releases[-3], hotfix=releases[-2])
    return releases


def gone_bad(release: Release, *, hotfix: Release) -> Release:
    """Make a release crash, hang and be slow, so that its rollout stops and it is rolled back."""
    return replace(
        release,
        half_time=0.4,
        reach=0.35,
        rolled_back=release.shipped + 0.7 * (hotfix.shipped - release.shipped),
        rates=(0.03, 0.012, 0.058, 0.006),
        duration_median=release.duration_median * 1.15,
        duration_sigma=1.6,
    )


def version_names(project: Project, count: int) -> list[str]:
    """Name releases in cycles of `x.0-rc.1`, `x.0`, `x.1`; a full story ends with a candidate."""
    package = package_name(project)
    before = 3 * (count // 3 + 8) - (count - 1) + (0 if count >= FULL_STORY else 2)
    names = []
    for number in range(before, before + count):
        minor, step = divmod(number, 3)
        if number == before and step == 0:  # what everyone runs at first is no candidate
            minor, step = minor - 1, 3
        version = f"3.{minor}.{step - 1}" if step else f"3.{minor}.0-rc.1"
        names.append(f"{package}@{version}+{4100 + 7 * number}")
    if project.server and count >= FULL_STORY:  # somebody deployed a commit without a version
        names[-3] = hashlib.sha1(package.encode(), usedforsecurity=False).hexdigest()
    return names


def package_name(project: Project) -> str:
    """Name a project's package in words that belong to nobody."""
    if project.server:
        return "example-api"
    known = {1: "com.example.shop", 2: "com.example.courier", 3: "com.example.notes"}
    return known.get(project.id, f"com.example.app{project.id}")


def shipping_days(count: int, span: tuple[float, float], finale: Sequence[float]) -> list[float]:
    """Ship one release before the span, the last ones `finale` days before its end, others between.

    A span of less than ten days has its finale shortened to match.
    """
    first, end = span
    last = [end - days * min(1.0, (end - first) / 10) for days in finale]
    last = last[max(0, len(last) + 1 - count) :]
    between = count - 1 - len(last)
    evenly = [first + (last[0] - first) * step / (between + 1) for step in range(1, between + 1)]
    return [first - 1.0, *evenly, *last]


# --- what is sent when ----------------------------------------------------------------------------


class Slice(NamedTuple):
    """A part of a day that becomes one file."""

    day: date
    part: int
    first_tick: int
    weights: Floats  # relative traffic: [tick, project, 0 for sessions or 1 for aggregates]

    def path(self, output: Path) -> Path:
        """Tell the file."""
        return output / f"date={self.day.isoformat()}" / f"part-{self.part}.parquet"


def day_weights(story: Story, day: date) -> Floats:
    """Relative traffic of a day, as `Slice.weights`: none from the story's end on."""
    ticks = np.arange(DAY_TICKS)
    weights = np.zeros((DAY_TICKS, len(story.projects), 2))
    for index, project in enumerate(story.projects):
        phase = 2 * np.pi * (ticks / HOUR_TICKS - project.peak_hour) / 24
        level = project.share * (project.weekend if day.isoweekday() >= SATURDAY else 1.0)
        traffic = level * (1.0 + project.swing * np.cos(phase))
        weights[:, index, 0] = traffic * (1 - project.aggregated)
        # SDKs send their aggregates by the minute.
        weights[::MINUTE_TICKS, index, 1] = (traffic * project.aggregated * MINUTE_TICKS)[::6]
    weights[epoch_days(day) * DAY + ticks * TICK >= story.outline.until.timestamp()] = 0.0
    return weights


def slices(story: Story, rows: int, *, whole_days: bool) -> Iterator[tuple[Slice, float]]:
    """Cut the story so that a slice fits in memory; tell how many rows there shall be by its end.

    `rows` is what there shall be in all.
    """
    total = sum(float(day_weights(story, day).sum()) for day in story.outline.dates)
    done = 0.0
    for day in story.outline.dates:
        weights = day_weights(story, day)
        parts = math.ceil(rows * float(weights.sum()) / total / SLICE_ROWS)
        parts = min(parts, 1) if whole_days else parts
        for part in range(parts):
            first, end = (DAY_TICKS * edge // parts for edge in (part, part + 1))
            cut = Slice(day, part, first, weights[first:end])
            if cut.weights.any():
                done += float(cut.weights.sum())
                yield cut, rows * done / total


@dataclass(frozen=True)
class Items:
    """Sessions and aggregates of sessions in order of time, column by column."""

    tick: Ints  # of the day
    project: Ints
    aggregated: Flags
    session: Hashes  # hash of the session id
    user: Hashes  # hash of the user id
    has_user: Flags
    environment: Ints
    release: Ints
    has_release: Flags  # what does not name its release still behaves as it does


def draw_items(story: Story, cut: Slice, count: int, rng: np.random.Generator) -> Items:
    """Draw who starts which sessions in a slice."""
    counts = rng.multinomial(count, (cut.weights / cut.weights.sum()).ravel())
    axes = np.indices(cut.weights.shape, dtype=np.int16).reshape(3, -1)
    tick, project, aggregated = (np.repeat(axis, counts) for axis in axes)
    tick += cut.first_tick
    session = rng.integers(0, 2**64, count, dtype=np.uint64)
    number = draw_users(story, project, rng)
    if story.outline.passing:
        number = let_some_pass(story, cut.day, project, number, rng)
    user = scramble(user_keys(story, project, number))
    has_user = (rng.random(count, dtype=np.float32) >= story.no_user) & (aggregated == 0)

    # Environment and release hang on the user, so that users stay with theirs for a while.
    who = np.where(has_user, user, session)
    level = (who % np.uint64(LEVELS)).astype(np.int16)
    environment = story.environment_of_level[who // np.uint64(LEVELS) % np.uint64(LEVELS)]
    testing = (environment > ENVIRONMENTS.index("production")).astype(np.int8)
    return Items(
        tick=tick,
        project=project,
        aggregated=aggregated > 0,
        session=session,
        user=scramble(user),
        has_user=has_user,
        environment=environment,
        release=story.release_of_level(cut.day)[project, testing, tick // HOUR_TICKS, level],
        has_release=rng.random(count, dtype=np.float32) >= story.no_release,
    )


def draw_users(story: Story, project: Ints, rng: np.random.Generator) -> Hashes:
    """Draw the number of a user for each session: the n-th comes up about as often as n ** -0.5."""
    users = np.array([project.users for project in story.projects])[project]
    uniform = rng.random(len(project))
    number = users * uniform * (story.evenness + (1 - story.evenness) * uniform)
    return number.astype(np.uint64)


def let_some_pass(
    story: Story, day: date, project: Ints, number: Hashes, rng: np.random.Generator
) -> Hashes:
    """Give some sessions to users of this day alone; two of three sessions share a user."""
    passing = rng.random(len(number), dtype=np.float32) < story.outline.passing
    first = PASSING_BASE + (day - story.outline.dates[0]).days * PASSING_PER_DAY
    for index in range(len(story.projects)):
        mine = np.flatnonzero(passing & (project == index))
        number[mine] = first + rng.permutation(len(mine)) * 2 // 3
    return number


def user_keys(story: Story, project: Ints, number: Hashes) -> Hashes:
    """Return a key for each number of a user of a project."""
    start = np.uint64((story.outline.seed << 48) % 2**64)
    return start + (project.astype(np.uint64) << np.uint64(40)) + number


def scramble(keys: Hashes) -> Hashes:
    """Hash by the finalizer of SplitMix64: it is one to one, so no two users share a hash."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


# --- rows -----------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Rows, column by column: their kind, the item that they belong to, and what they say.

    `content` is the bits of the value, or the member of a set: both take 8 bytes.
    """

    kind: Ints  # index into KINDS
    item: Ints
    content: Ints

    @classmethod
    def of(cls, kind: Kind, item: Ints, content: Floats | Hashes) -> Rows:
        """Rows of one kind."""
        code = np.full(len(item), KINDS.index(kind), dtype=np.int8)
        return cls(code, item, content.view(np.uint64))


def session_rows(story: Story, items: Items, rng: np.random.Generator) -> Iterator[Rows]:
    """Emit what individual sessions leave behind, by the rules of Relay."""
    item = np.flatnonzero(~items.aggregated)
    status = draw_status(story, items.release[item], rng)
    troubled = status > Status.HEALTHY
    late = rng.random(len(item), dtype=np.float32) < story.late_trouble
    exits = rng.random(len(item), dtype=np.float32) < story.exit_known
    exited = item[exits & (status <= Status.UNHANDLED)]

    def ones(kind: Kind, where: Ints) -> Rows:
        return Rows.of(kind, where, np.ones(len(where)))

    def users(kind: Kind, where: Ints) -> Rows:
        known = where[items.has_user[where]]
        return Rows.of(kind, known, items.user[known])

    yield ones(INIT, item)
    yield users(HEALTHY_USER, item[~troubled | late])
    yield users(ERRORED_USER, item[troubled])
    yield Rows.of(ERRORED_SESSION, item[troubled], items.session[item[troubled]])
    for fate in FATES:
        yield ones(FATED_SESSION[fate], item[status == fate])
    for fate, kind in FATED_USER.items():
        yield users(kind, item[status == fate])
    abnormal = item[status == Status.ABNORMAL]
    mechanism = rng.choice(len(ABNORMAL_USERS), len(abnormal), p=(0.7, 0.3))
    for index, kind in enumerate(ABNORMAL_USERS):
        yield users(kind, abnormal[mechanism == index])
    yield Rows.of(EXITED, exited, draw_durations(story, items.release[exited], rng))


def draw_status(story: Story, release: Ints, rng: np.random.Generator) -> Ints:
    """Draw how sessions went; only the few in trouble are looked at closely."""
    uniform = rng.random(len(release))
    status = np.full(len(release), Status.HEALTHY, dtype=np.int8)
    troubled = np.flatnonzero(uniform < story.rates[:, -1][release])
    limits = story.rates[release[troubled]]
    status[troubled] = Status.ERRORED + (uniform[troubled, None] >= limits).sum(axis=1)
    return status


def draw_durations(story: Story, release: Ints, rng: np.random.Generator) -> Floats:
    """Draw seconds, to the millisecond: that also hides how processors differ in `exp`."""
    mean, deviation = story.durations.T
    exponents = mean[release] + deviation[release] * rng.standard_normal(len(release))
    return np.asarray(np.exp(exponents).round(3), dtype=np.float64)


def aggregate_rows(story: Story, items: Items, rng: np.random.Generator) -> Iterator[Rows]:
    """Emit what pre-aggregated sessions leave behind: counters only.

    `errored_preaggr` counts all in trouble, those with a counter of their own included.
    """
    item = np.flatnonzero(items.aggregated)
    sessions = 2 + np.exp(3.0 + 0.8 * rng.standard_normal(len(item))).astype(np.int64)
    rates = np.diff(story.rates, axis=1, prepend=0.0, append=1.0)[items.release[item]]
    outcomes = rng.multinomial(sessions, rates)

    def counts(kind: Kind, numbers: Ints) -> Rows:
        some = numbers > 0
        return Rows.of(kind, item[some], numbers[some].astype(np.float64))

    yield counts(INIT, sessions)
    yield counts(ERRORED_PREAGGR, outcomes[:, :-1].sum(axis=1))
    for fate in FATES:
        yield counts(FATED_SESSION[fate], outcomes[:, fate - Status.ERRORED])


def slice_table(story: Story, cut: Slice, count: int, *, by_metric: bool) -> pa.Table:
    """Make the rows of a slice, in order of time, or of metric, project and time."""
    rng = np.random.default_rng([story.outline.seed, 2, cut.day.toordinal(), cut.part])
    items = draw_items(story, cut, count, rng)
    emitted = [*session_rows(story, items, rng), *aggregate_rows(story, items, rng)]
    rows = Rows(*(np.concatenate(column) for column in zip(*emitted, strict=True)))

    order = np.argsort(items.tick[rows.item], kind="stable")  # a radix sort, as keys have 16 bits
    if by_metric:
        group = metric_of(rows) * np.int16(len(story.projects)) + items.project[rows.item]
        order = order[np.argsort(group[order], kind="stable")]
    return to_arrow(story, cut.day, items, Rows(*(column[order] for column in rows)))


def metric_of(rows: Rows) -> Ints:
    """Index of each row's metric."""
    return np.array([kind.metric for kind in KINDS], dtype=np.int16)[rows.kind]


def to_arrow(story: Story, day: date, items: Items, rows: Rows) -> pa.Table:
    """Put the contract's columns together; texts are never handled row by row."""
    metric = metric_of(rows)
    is_set = (metric == ERROR) | (metric == USER)
    seconds = int(epoch_days(day)) * DAY + items.tick.astype(np.int64) * TICK
    projects = np.array([project.id for project in story.projects])
    release = np.where(items.has_release, items.release, NONE)
    columns = {
        "org_id": np.full(len(metric), ORG_ID),
        "project_id": projects[items.project[rows.item]],
        "timestamp": pa.array(seconds[rows.item] * 1_000_000).view(pa.timestamp("us", tz="UTC")),
        "metric": text(metric, METRICS),
        "release": text(release[rows.item], [release.name for release in story.releases]),
        "environment": text(items.environment[rows.item], ENVIRONMENTS),
        "session_status": tag(rows, lambda kind: kind.status),
        "abnormal_mechanism": tag(rows, lambda kind: kind.mechanism),
        "value": pa.array(rows.content.view(np.float64), mask=is_set),
        "member": pa.array(rows.content, mask=~is_set),
    }
    return pa.table(columns)


def tag(rows: Rows, of: Callable[[Kind], str | None]) -> pa.DictionaryArray:
    """Make a text column of what each row's kind has for a tag."""
    words = sorted({word for word in map(of, KINDS) if word})
    codes = [words.index(word) if word else NONE for word in map(of, KINDS)]
    return text(np.array(codes, dtype=np.int8)[rows.kind], words)


def text(codes: Ints, words: Sequence[str]) -> pa.DictionaryArray:
    """Make a text column of indices into `words`; NONE is null."""
    indices = pa.array(codes, mask=codes == NONE)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.string()))


# --- files ----------------------------------------------------------------------------------------


def tables(
    story: Story, rows: int, *, by_metric: bool, whole_days: bool
) -> Iterator[tuple[Slice, pa.Table]]:
    """Make slice after slice; each makes up for what those before had too much or too little.

    How many rows an item has is measured on a first sample.
    """
    done = 0
    rows_per_item = 0.0
    for cut, rows_by_then in slices(story, rows, whole_days=whole_days):
        if not done:
            sample = slice_table(story, cut, 20_000, by_metric=False)
            rows_per_item = sample.num_rows / 20_000
        count = max(0, round((rows_by_then - done) / rows_per_item))
        table = slice_table(story, cut, count, by_metric=by_metric)
        done += table.num_rows
        if table.num_rows:  # the contract has no place for files without rows
            yield cut, table


def write_file(path: Path, table: pa.Table, row_group_rows: int) -> None:
    """Write one file; readers see plain strings, as the Arrow schema is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"timestamp", "value", "member"}  # their values seldom repeat
    pq.write_table(
        table,
        path,
        row_group_size=row_group_rows,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name not in plain],
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
        store_schema=False,
    )


def whole(word: str) -> int:
    """Read a whole number, 0 or more."""
    number = int(word)
    if number < 0:
        raise ValueError(word)
    return number


def positive(word: str) -> int:
    """Read a whole number above 0."""
    number = whole(word)
    if number == 0:
        raise ValueError(word)
    return number


def instant(word: str) -> datetime:
    """Read an ISO 8601 instant; one without a zone is UTC."""
    moment = datetime.fromisoformat(word)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Generate session metrics as Parquet files that follow the data contract.",
        epilog="Releases and users are counted over all projects; the last project is a server.",
    )
    add = parser.add_argument
    add("rows", type=positive, metavar="ROWS", help="about how many rows, such as 5_000_000")
    add("output", type=Path, metavar="OUTPUT", help="folder that gets a date=... folder per day")
    add("--seed", type=whole, default=1, metavar="N", help="default: %(default)s")
    add("--days", type=positive, default=30, metavar="N", help="default: %(default)s")
    add("--projects", type=positive, default=2, metavar="N", help="default: %(default)s")
    add("--releases", type=positive, default=12, metavar="N", help="default: %(default)s")
    add("--users", type=positive, metavar="N", help="default: by rows and make")
    add(
        "--until",
        type=instant,
        default="2026-11-20T16:30:00Z",
        metavar="ISO",
        help="end of the last day (default: %(default)s)",
    )
    add(
        "--make",
        choices=ROW_GROUP_ROWS,
        default="usual",
        help="habitual: half of the users often, half once or twice (default: %(default)s)",
    )
    add("--sorted", action="store_true", help="sort files by metric, project and time, not by time")
    add("--force", action="store_true", help="write into a folder with files; deletes nothing")
    arguments = parser.parse_args(argv)
    if arguments.releases < arguments.projects:
        parser.error("--releases is less than --projects: every project needs a release")
    return arguments


def outline_of(arguments: argparse.Namespace) -> Outline:
    """Return what the command line asks for; by default, users suit the rows."""
    rows: int = arguments.rows
    users = arguments.users or max(100, rows // arguments.days * 2 // 3)
    passing = 0.0
    if arguments.make == "habitual":
        everyone = arguments.users or max(100, rows // 20)
        users = everyone // 2  # who come often; as many pass, with one and a half sessions each
        passing = min(0.5, 1.5 * users * ROWS_PER_SESSION / rows)
    return Outline(
        seed=arguments.seed,
        days=arguments.days,
        projects=arguments.projects,
        releases=arguments.releases,
        users=users,
        until=arguments.until,
        passing=passing,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Generate the files and tell on stderr how many rows there are."""
    arguments = parse_arguments(argv)
    output: Path = arguments.output
    if output.exists() and not output.is_dir():
        sys.stderr.write(f"generate.py: {output} is not a folder\n")
        return 2
    if output.exists() and any(output.iterdir()) and not arguments.force:
        sys.stderr.write(f"generate.py: {output} is not empty; --force writes into it\n")
        return 2
    begun = time.perf_counter()
    outline = outline_of(arguments)
    habitual = arguments.make == "habitual"
    written: dict[Path, int] = {}
    for cut, table in tables(
        tell_story(outline), arguments.rows, by_metric=arguments.sorted, whole_days=habitual
    ):
        write_file(cut.path(output), table, ROW_GROUP_ROWS[arguments.make])
        written[cut.path(output)] = table.num_rows
    rows, seconds = sum(written.values()), time.perf_counter() - begun
    speed = f"{seconds:.1f} s, {rows / seconds:,.0f} rows/s"
    sys.stderr.write(f"{rows:,} rows in {len(written)} files, {speed}\n")
    others = set(output.rglob("*.parquet")) - written.keys()
    if others:
        sys.stderr.write(f"note: {len(others)} other Parquet files were in {output} before\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
