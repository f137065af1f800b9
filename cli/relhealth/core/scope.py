"""The scope of a question: its projects, releases, environments and windows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

from relhealth.core import windows
from relhealth.core.dimensions import ENVIRONMENT, Condition, Cut
from relhealth.core.errors import QuestionError
from relhealth.core.project_names import is_project, project_id
from relhealth.core.windows import Series, Window

ProjectRelease: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Spelled:
    """``PROJECT/RELEASE`` as typed; the data show whether it is the name of a release."""

    text: str
    pair: ProjectRelease


Asked: TypeAlias = ProjectRelease | str | Spelled
Stat = Literal["sessions", "users"]

_Value = TypeVar("_Value", int, str)
_Item = TypeVar("_Item")

_STATS: dict[str, Stat] = {"sessions": "sessions", "users": "users"}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Scope:
    """What all components of one answer are about.

    ``None`` for projects, releases or environments means all of them.
    """

    now: datetime
    summary: Window
    adoption: Window
    health: Window
    series: Series | None  # None: no series
    projects: tuple[int, ...] | None = None
    environments: tuple[str, ...] | None = None
    releases: tuple[str, ...] | None = None  # templates filter by these, in any project
    pairs: tuple[ProjectRelease, ...] | None = None  # the merge keeps these
    where: tuple[Condition, ...] = ()  # conditions of dimensions
    by: tuple[str, ...] = ()  # dimensions whose values take the place of environments

    @classmethod
    def resolve(
        cls,
        now: datetime,
        *,
        period: str = "24h",
        stats_period: str | None = None,
        projects: tuple[int, ...] | None = None,
        environments: tuple[str, ...] | None = None,
        where: tuple[Condition, ...] = (),
    ) -> "Scope":
        """Work out every window of a question about ``now``.

        Raises ``QuestionError`` for an unknown period.
        """
        return cls(
            now=now,
            summary=windows.totals_window(now, period),
            adoption=windows.adoption_window(now),
            health=windows.health_window(now),
            series=Series.back_from(now, stats_period) if stats_period is not None else None,
            projects=projects,
            environments=environments,
            where=where,
        )

    def over(self, window: Window) -> "Scope":
        """Return the same scope with one window for all totals."""
        return replace(self, summary=window, adoption=window, health=window)

    def narrowed_to(self, pairs: tuple[ProjectRelease, ...]) -> "Scope":
        """Return the same scope for only these pairs and their projects."""
        return replace(
            self,
            pairs=pairs,
            projects=tuple(sorted({project for project, _ in pairs})),
            releases=tuple(sorted({release for _, release in pairs})),
        )

    @property
    def cut(self) -> Cut:
        """The rows and keys of the question, beside those of the templates.

        Where other keys take the place of environments, it filters environments too.
        """
        if not self.by or self.environments is None:
            return Cut(self.where, self.by)
        return Cut((*self.where, Condition(ENVIRONMENT, self.environments)), self.by)

    @property
    def read_window(self) -> Window:
        """The window of the rows behind the figures, except the search for health data."""
        hull = self.summary.hull(self.adoption)
        return hull if self.series is None else hull.hull(self.series.window)


def check_stat(stat: str) -> Stat:
    """Return ``stat`` if it is known, else raise ``QuestionError``."""
    if not isinstance(stat, str) or stat not in _STATS:
        raise QuestionError(f"unknown stat {stat!r}: expected one of {', '.join(_STATS)}")
    return _STATS[stat]


def check_limit(limit: object) -> None:
    """Raise ``QuestionError`` for an invalid limit of rows; None means all rows."""
    if limit is not None:
        _check_least("limit", limit, 1)


def check_offset(offset: object) -> None:
    """Raise ``QuestionError`` for an invalid number of rows to leave out."""
    _check_least("offset", offset, 0)


def _check_least(what: str, number: object, least: int) -> None:
    if type(number) is not int:
        raise QuestionError(f"{what} {number!r}: expected a whole number")
    if number < least:
        raise QuestionError(f"{what} {number}: expected {least} or more")


def check_several(what: str, items: Iterable[_Item], *, kind: str = "names") -> tuple[_Item, ...]:
    """Return a list; ``QuestionError`` for a text, or a single value, instead of several."""
    if isinstance(items, str | bytes):
        raise QuestionError(f"{what}: expected several {kind}, not one text")
    if not isinstance(items, Iterable):
        raise QuestionError(f"{what} {items!r}: expected several {kind}")
    return tuple(items)


def check_projects(projects: Iterable[int] | None) -> tuple[int, ...] | None:
    """Return the project ids, sorted, each once; raise ``QuestionError`` for other values."""
    if projects is None:
        return None
    if not isinstance(projects, Iterable):
        raise QuestionError(f"projects {projects!r}: expected several ids")
    return _some("projects", {_check_project(project) for project in projects})


def check_org(org: object) -> None:
    """Raise ``QuestionError`` for an invalid organisation; None means any."""
    if org is not None and (type(org) is not int or org not in _INT64):
        raise QuestionError(f"organisation {org!r}: expected a whole number of 64 bits")


def _check_project(project: object) -> int:
    if not isinstance(project, int) or isinstance(project, bool) or project not in _INT64:
        raise QuestionError(f"project {project!r}: expected a whole number of 64 bits")
    return project


def check_environments(environments: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the environments, sorted, each once; ``''`` means sessions without one."""
    if environments is None:
        return None
    names = check_several("environments", environments)
    return _some("environments", {check_text("environment", name) for name in names})


def _some(what: str, values: set[_Value]) -> tuple[_Value, ...]:
    """Refuse an empty filter, which would match nothing and is probably a mistake."""
    if not values:
        raise QuestionError(f"{what}: none named; leave the filter out to ask for all")
    return tuple(sorted(values))


def check_pair(pair: object) -> ProjectRelease:
    """Return a (project, release) pair; raise ``QuestionError`` for anything else."""
    if not isinstance(pair, tuple) or len(pair) != 2:  # noqa: PLR2004 - a pair
        raise QuestionError(f"{pair!r}: expected a pair (project, release)")
    return _check_project(pair[0]), check_release(pair[1])


def check_asked(one: object) -> Asked:
    """Return a pair, or the name of a release; ``QuestionError`` for anything else."""
    if isinstance(one, Spelled):
        return one
    return check_release(one) if isinstance(one, str) else check_pair(one)


def check_pairs(what: str, pairs: Iterable[object]) -> list[ProjectRelease]:
    """Return pairs; raise ``QuestionError`` for other values, and for one pair."""
    return [check_pair(pair) for pair in check_several(what, pairs, kind="pairs")]


def check_all_asked(what: str, releases: Iterable[object]) -> list[Asked]:
    """Return pairs and names of releases; raise ``QuestionError`` for a single one."""
    return [check_asked(one) for one in check_several(what, releases, kind="releases")]


def check_release(release: object) -> str:
    """Return a release's name; raise ``QuestionError`` for an invalid one."""
    name = check_text("release", release)
    if not name or any(char in name for char in "\n\t"):
        raise QuestionError(
            f"release {name!r}: expected a name without newline or tab, and not empty"
        )
    return name


def check_text(what: str, text: object) -> str:
    """Return text that can be in the data; raise ``QuestionError`` for other values."""
    if not isinstance(text, str):
        raise QuestionError(f"{what} {text!r}: expected text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QuestionError(f"{what} {text!r}: not UTF-8") from None
    return text


def parse_release_filter(text: str) -> Asked:
    """Read ``RELEASE`` or ``PROJECT/RELEASE`` from the command line, the project by id or name.

    A release name can contain a slash. If a text can be both, the data decide.
    """
    project, slash, release = text.partition("/")
    if not (slash and release and is_project(project)):
        return check_release(text)
    pair = _check_project(project_id(project)), check_release(release)
    return Spelled(check_release(text), pair)
