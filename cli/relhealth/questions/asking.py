"""What all questions about opened sources need: instants, pairs, checks, components, figures."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Self, TypeVar

from relhealth.core import clock
from relhealth.core.dimensions import Condition, Cut, key
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.nearest import nearest
from relhealth.core.printable import printable
from relhealth.core.project_names import ids_by_name
from relhealth.core.scope import Asked, ProjectRelease, Scope, Spelled, Stat
from relhealth.core.windows import Window, from_epoch_us, parse_instant
from relhealth.core.words import Unmatched, counted
from relhealth.engines import components
from relhealth.engines.choose import Engines
from relhealth.engines.components import HEALTH_DATA, ORGANISATIONS, Component
from relhealth.engines.interface import Ask, Found, Reader
from relhealth.machine.database import Row
from relhealth.questions import merge
from relhealth.questions.known import Known
from relhealth.questions.naming import WORDS, matching
from relhealth.questions.newest import Newest
from relhealth.questions.overview import ReleaseOverview
from relhealth.questions.selection import Instant, Selection

_Item = TypeVar("_Item")
_FEW = 10  # names in a message
# What a question needs to know whatever it is about.
_OF_ALL_ROWS = {ORGANISATIONS, components.PROJECTS}


class Figures(NamedTuple):
    """One row per release, and the components that the rows are merged from."""

    rows: tuple[ReleaseOverview, ...]
    found: Mapping[Component, list[Row]]


class Asking:
    """Opened sources, and what all questions about them share."""

    def __init__(
        self,
        sources: Found,
        engines: Engines,
        reader: Reader,
        newest: Newest,
        *,
        org: int | None,
        strict: bool,
        warn: Callable[[str], object],
    ) -> None:
        """Ask nothing yet. ``org`` is the organisation of all questions, ``None`` for any.

        ``warn`` receives messages beside the answer.
        """
        self.sources = sources
        self.org = org
        self._engines = engines
        self._reader = reader
        self._newest = newest
        self._strict = strict
        self.warn = warn
        self.where: tuple[Condition, ...] = ()  # of the rows of all answers

    def get(
        self,
        component: Component,
        scope: Scope,
        *,
        group_by: Collection[str] = (),
        interval: int | None = None,
    ) -> list[Row]:
        """Return the rows of one component; the last two parameters are for those by group."""
        return self.answer([Ask(component, scope, frozenset(group_by), interval)])[0]

    def answer(self, asks: Sequence[Ask]) -> list[list[Row]]:
        """Return the rows of each ask that meet the conditions; engines answer them together."""
        return self._engines.answer(self._narrowed(asks))

    def _narrowed(self, asks: Sequence[Ask]) -> Sequence[Ask]:
        if not self.where:
            return asks
        return [
            ask
            if ask.component in _OF_ALL_ROWS
            else ask._replace(scope=replace(ask.scope, where=self.where))
            for ask in asks
        ]

    def only(self, where: tuple[Condition, ...]) -> Self:
        """Return the same, but only about rows that meet conditions of dimensions.

        Raises ``QuestionError`` for a column that no file has.
        """
        if not where:
            return self
        self.check_columns("--where", [one.column for one in where])
        found = copy(self)
        found.where = where
        return found

    def of_all_rows(self) -> Self:
        """Return the same, without conditions of dimensions."""
        found = copy(self)
        found.where = ()
        return found

    def check_columns(
        self, option: str, columns: Sequence[str], words: Collection[str] = ()
    ) -> None:
        """Raise ``QuestionError`` for a dimension that no file has, ``DataError`` for its type.

        ``words`` are what the option takes beside dimensions.
        """
        known = self.sources.dimensions
        for column in columns:
            if key(column) not in known and self.sources.any_rows:
                raise QuestionError(
                    f"{option} {printable(column)}: no file has this column"
                    f"{_hint(column, known, words)}"
                )
        self._reader.refuse_columns([key(column) for column in columns])

    def is_dimension(self, column: str) -> bool:
        """Return whether a column can be a dimension in all files."""
        try:
            self._reader.refuse_columns([column])
        except DataError:
            return False
        return True

    def rows_of_all(
        self,
        *asked: tuple[str, Mapping[str, object]],
        cut: Cut = Cut(),  # noqa: B008 - it is immutable
    ) -> list[list[Row]]:
        """Run templates, each with its values, over all rows; a rollup has no single rows."""
        return self._reader.all_rows(asked, cut)

    def figures(
        self,
        scope: Scope,
        *,
        needed: Collection[str] | None = None,
        stat: Stat = "sessions",
    ) -> tuple[ReleaseOverview, ...]:
        """Return one row per release: the pairs of the scope, else all with sessions.

        ``needed`` names the components to use, default all. Figures of the others are null or 0.
        """
        asks = self.asks(scope, needed=needed, stat=stat)
        return self.figures_of(asks, self.answer(asks)).rows

    def checked_figures(
        self, scope: Scope, *, needed: Collection[str] | None = None, stat: Stat = "sessions"
    ) -> tuple[Figures, dict[str, int]]:
        """Return the figures, and the number of invalid rows by reason.

        Raises the errors of ``checked``.
        """
        asks = self.asks(scope, needed=needed, stat=stat)
        rows, invalid = self.checked(asks, scope)
        return self.figures_of(asks, rows), invalid

    @staticmethod
    def asks(
        scope: Scope, *, needed: Collection[str] | None = None, stat: Stat = "sessions"
    ) -> list[Ask]:
        """Return the asks for the figures of a scope; ``needed`` is as in ``figures``."""
        return [Ask(one, scope) for one in _asked(scope, needed, stat)]

    def figures_of(self, asks: Sequence[Ask], rows: Sequence[list[Row]]) -> Figures:
        """Return the figures from the rows of ``asks``."""
        found = {ask.component: some for ask, some in zip(asks, rows, strict=True)}
        return Figures(self.merged(found, asks[0].scope), found)

    def merged(
        self,
        found: Mapping[Component, list[Row]],
        scope: Scope,
        health_data: Sequence[Row] | None = None,
    ) -> tuple[ReleaseOverview, ...]:
        """Merge components into one row per release; figures of the others are null or 0."""
        if health_data is None:
            health_data = self._health_data(scope, found[components.SESSIONS_BY_STATUS])
        return merge.merge(
            {**found, HEALTH_DATA: health_data},
            scope,
            left_out=set(components.OVERVIEW) - found.keys(),
        )

    def durations_at(self, fractions: Sequence[float | None], scope: Scope) -> list[float | None]:
        """Return the duration, in seconds, at each fraction of the sorted durations.

        The scope has one pair, with durations. For ``None``, the result has ``None``.
        """
        wanted = [fraction for fraction in fractions if fraction is not None]
        if not wanted:
            return [None] * len(fractions)
        ask = Ask(components.DURATION_RANKS, scope, fractions=tuple(wanted))
        found = iter(self.answer([ask])[0][0]["durations"])
        return [None if fraction is None else next(found) for fraction in fractions]

    def instant(self, now: Instant | None) -> datetime:
        """Return the instant of a question; ``None`` means the clock."""
        if now is None:
            return clock.now()
        return self._newest.latest(self.warn) if now == "latest" else parse_instant(now)

    def scope(
        self,
        now: datetime,
        selected: Selection = Selection(),  # noqa: B008 - it is immutable
        window: Window | None = None,
        *,
        releases: tuple[str, ...] | None = None,
    ) -> Scope:
        """Return a checked scope with one window for all totals, default the last 90 days."""
        scope = replace(selected.scope(now, where=self.where), releases=releases)
        scope = scope.over(window or scope.health)
        self.check(scope)
        return scope

    def newest_known(self) -> datetime | None:
        """Return the newest session metric, for a hint; ``None`` if it is outside the calendar."""
        try:
            newest = self._newest.us()
            return None if newest is None else from_epoch_us(newest)
        except DataError:
            return None

    def pairs(
        self, asked: Iterable[Asked], scope: Scope, *, strictly: bool = False
    ) -> tuple[ProjectRelease, ...]:
        """Return pairs; a release without a project gets those that had it in 90 days.

        If none did, a part of a name means a release (``by_part``), and any other name gets all
        selected projects. Without any data there are no projects, so
        there can be no pairs.
        """
        settled = distinct(self.named(asked, scope, strictly=strictly))
        projects_of: dict[str, list[int]] = defaultdict(list)
        for project, release in self.known([one for one in settled if isinstance(one, str)], scope):
            projects_of[release].append(project)
        pairs: list[ProjectRelease] = []
        unseen: list[str] = []
        for one in settled:
            if isinstance(one, str):
                found = [(project, one) for project in sorted(projects_of.get(one, ()))]
                found = found or self.by_part(one, scope, strictly=strictly)
                if not found:
                    unseen.append(one)
                    selected = self._selected_projects(one, scope)
                    found = [(project, one) for project in sorted(selected)]
                pairs += found
            elif scope.projects is not None and one[0] not in scope.projects:
                raise QuestionError(
                    f"release {one[0]}/{one[1]}: project {one[0]} is not among the selected"
                    f" projects {', '.join(map(str, scope.projects))}"
                )
            else:
                pairs.append(one)
        # A gate's own verdict says it, to files too.
        self._warn_of(unseen, scope, nothing=not strictly and len(unseen) == len(settled))
        return distinct(pairs)

    def named(
        self, asked: Iterable[Asked], scope: Scope, *, strictly: bool = False
    ) -> list[ProjectRelease | str]:
        """Decide whether each typed ``PROJECT/RELEASE`` is a pair or the name of a release.

        The words ``latest``, ``previous`` and ``prevailing`` become the releases that they mean.
        Raises ``QuestionError`` if the data have both, and for a word that means no release.
        """
        asked = [
            one
            for word in asked
            for one in (self._by_word(str(word), scope) if word in WORDS else [word])
        ]
        spelled = [one for one in asked if isinstance(one, Spelled)]
        known = set(self.known([name for one in spelled for name in (one.text, one.pair)], scope))
        return [
            found
            for one in asked
            for found in (
                self._settled(one, known, scope, strictly=strictly)
                if isinstance(one, Spelled)
                else [one]
            )
        ]

    def _settled(
        self, one: Spelled, known: Collection[ProjectRelease], scope: Scope, *, strictly: bool
    ) -> list[ProjectRelease | str]:
        """Return the typed text as the name of a release, if there is one, else as a pair."""
        found = _settled(one, known)
        if isinstance(found, str) or found in known:
            return [found]
        project, release = found
        inside = replace(scope, projects=(project,))
        return [*(self.by_part(release, inside, strictly=strictly) or [found])]

    def names(self, asked: Iterable[str], scope: Scope) -> tuple[str, ...]:
        """Return names of releases for what was typed; ``''`` means sessions without one.

        A name that the data have in 90 days is itself, a part of a name the one that it means, and
        any other stays.
        """
        asked = distinct(asked)
        known = {release for _, release in self.known([one for one in asked if one], scope)}
        found: list[str] = []
        unseen: list[str] = []
        for name in asked:
            pairs = [] if not name or name in known else self.by_part(name, scope)
            if not pairs and name and name not in known:
                unseen.append(name)
            found += [release for _, release in pairs] or [name]
        self._warn_of(unseen, scope, nothing=len(unseen) == len(asked))
        return distinct(found)

    def by_part(self, name: str, scope: Scope, *, strictly: bool = False) -> list[ProjectRelease]:
        """Return the pairs of the one release of 90 days that a part of its name means.

        ``strictly`` is as in ``naming.matching``. Raises ``QuestionError`` if there are several.
        """
        known = self._all_known(scope)
        found = matching(name, {release for _, release in known}, strictly=strictly)
        if len(found) > 1:
            raise QuestionError(
                f"release {printable(name)}: {len(found)} releases match, {_some(found)}; name one"
            )
        if found:
            self.warn(f"release {printable(name)}: this is {printable(found[0])}")
        return [pair for pair in known if pair[1] in found]

    def similar(self, name: str, scope: Scope) -> str:
        """Return the most similar names of 90 days as the end of a sentence; '' without any."""
        found = nearest(name, sorted({release for _, release in self._all_known(scope)}))
        be = "is" if len(found) == 1 else "are"
        return f"; the most similar {be} {_some(found)}" if found else ""

    def _all_known(self, scope: Scope) -> list[ProjectRelease]:
        everywhere = replace(scope, pairs=None, releases=None, environments=None, where=())
        rows = self._of_all(Ask(HEALTH_DATA, everywhere))
        return [(row["project_id"], row["release"]) for row in rows if row["release"]]

    def _warn_of(self, releases: Iterable[str], scope: Scope, *, nothing: bool) -> None:
        """Warn of releases that the data do not have; ``nothing``: and so not of any asked one."""
        for release in releases:
            similar = self.similar(release, scope)
            told = f"release {printable(release)}: no session in 90 days{similar}"
            project, slash, _ = release.partition("/")
            if slash and (meant := nearest(project, ids_by_name())):
                told = f"{told}; is the project {' or '.join(map(printable, meant))}?"
            self.warn(Unmatched(told) if nothing else told)

    def _by_word(self, word: str, scope: Scope) -> list[ProjectRelease]:
        found = Known(self, scope.now, "24h", scope.projects).by_word(scope.environments, word)
        if not found:
            raise QuestionError(f"{word}: no release with a version is that; name a release")
        return found

    def known(
        self, asked: Iterable[ProjectRelease | str], scope: Scope
    ) -> tuple[ProjectRelease, ...]:
        """Return the asked pairs that the selected projects had in 90 days."""
        asked = set(asked)
        if not asked:
            return ()
        names = {one if isinstance(one, str) else one[1] for one in asked}
        in_any = replace(scope, releases=tuple(sorted(names)), environments=None, where=())
        rows = self._of_all(Ask(HEALTH_DATA, in_any))
        found = ((row["project_id"], row["release"]) for row in rows)
        return tuple(pair for pair in found if pair in asked or pair[1] in asked)

    def _of_all(self, ask: Ask) -> list[Row]:
        """Return the rows of an ask, whatever the conditions."""
        return self._engines.answer([ask])[0]

    def _selected_projects(self, release: str, scope: Scope) -> Iterable[int]:
        if scope.projects is not None:
            return scope.projects
        known = [row["project_id"] for row in self.get(components.PROJECTS, scope)]
        if not known and self.sources.any_rows:
            raise QuestionError(f"release {release!r}: no project to look in; name PROJECT/RELEASE")
        return known

    def checked(self, asks: Sequence[Ask], scope: Scope) -> tuple[list[list[Row]], dict[str, int]]:
        """Return the rows of each ask, and the scope's number of invalid rows by reason.

        Raises ``QuestionError`` for several organisations, and the error of ``refuse_if_strict``.
        """
        self._check_organisations(scope)
        *rows, unusable = self.answer([*asks, Ask(components.INVALID_ROWS, scope)])
        invalid = {row["reason"]: row["invalid"] for row in unusable}
        self.refuse_if_strict(invalid)
        return rows, invalid

    def check(self, scope: Scope) -> None:
        """Check a scope for an answer that does not report invalid rows."""
        if self._strict:
            self.checked([], scope)
        else:
            self._check_organisations(scope)

    def refuse_if_strict(self, invalid: Mapping[str, int]) -> None:
        """Raise ``DataError`` for invalid rows, if the sources are opened as ``strict``."""
        if invalid and self._strict:
            raise DataError([f"{counted(n, 'invalid row')}: {why}" for why, n in invalid.items()])

    def _check_organisations(self, scope: Scope) -> None:
        """Refuse a question about several organisations, whose figures must not be added up."""
        if self.org is not None or self.sources.one_organisation:
            return
        found = [row["org_id"] for row in self.get(ORGANISATIONS, scope)]
        if len(found) > 1:
            raise QuestionError(
                f"the selected projects span organisations {', '.join(map(str, found))}:"
                " name one with --org"
            )

    def _health_data(self, scope: Scope, sessions: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Look 90 days back, only for pairs of the scope without sessions in the window."""
        if scope.pairs is None:
            return []
        known = merge.by_pair(sessions)
        unknown = tuple(pair for pair in scope.pairs if pair not in known)
        if not unknown:
            return []
        return self.get(HEALTH_DATA, scope.narrowed_to(unknown))

    def with_sessions(self, scope: Scope) -> set[ProjectRelease]:
        """Return the pairs with a session counter in 90 days."""
        self.check(scope)
        rows = self.get(HEALTH_DATA, scope)
        return set(merge.by_pair([row for row in rows if row["has_sessions"]]))


def _asked(scope: Scope, needed: Collection[str] | None, stat: Stat) -> tuple[Component, ...]:
    """Return the ``needed`` components of an overview; sessions are always among them."""
    known = {one.name for one in components.OVERVIEW}
    if needed is not None and not known.issuperset(needed):
        raise LookupError(f"no components of an overview: {sorted(set(needed) - known)}")
    asked = tuple(
        one
        for one in components.OVERVIEW
        if needed is None or one.name in needed or one is components.SESSIONS_BY_STATUS
    )
    return (*asked, components.HEALTH_STATS[stat]) if scope.series else asked


def _settled(one: Spelled, known: Collection[ProjectRelease]) -> ProjectRelease | str:
    """Return the typed text as the name of a release, if there is one, else as a pair."""
    projects = sorted(project for project, release in known if release == one.text)
    if not projects:
        return one.pair
    if one.pair in known:
        project, release = one.pair
        raise QuestionError(
            f"release {one.text!r}: there is a release of that name in project"
            f" {', '.join(map(str, projects))}, and a release {release!r} in project {project};"
            f" name the one by {projects[0]}/{one.text}, the other by -p {project} -r {release}"
        )
    return one.text


def _some(names: Sequence[str]) -> str:
    """Return the first names of several, in words."""
    shown = ", ".join(map(printable, names[:_FEW]))
    return f"{shown} and {len(names) - _FEW:,} more" if len(names) > _FEW else shown


def _hint(column: str, known: Mapping[str, str], words: Collection[str]) -> str:
    """Return the columns and words that a name may mean, as the end of a sentence."""
    if "," in column:
        return "; name one at a time, and repeat the option"
    spelled = {**{word: word for word in words}, **known}
    near = nearest(key(column), sorted(spelled))
    if not near and not known:
        return "; the files have only the columns of the data contract"
    return f"; there is {_some([spelled[one] for one in near or sorted(known)])}"


def distinct(items: Iterable[_Item]) -> tuple[_Item, ...]:
    """Return each item once, in the order of the first."""
    return tuple(dict.fromkeys(items))
