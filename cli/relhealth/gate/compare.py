"""Two releases side by side: each metric, its difference, and the finding."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.core.scope import Asked, ProjectRelease, Scope
from relhealth.engines import components
from relhealth.gate.intervals import Bounds, clopper_pearson, mover, ranks
from relhealth.gate.metrics import METRICS, RATES, Duration, Metric, Sample
from relhealth.questions.asking import Asking, Figures
from relhealth.questions.merge import by_pair

# Releases of one project share its users. The adoption of one is not independent of the
# other's, and a smaller one is not a fault.
_SHARED = {"adoption"}


class Finding(StrEnum):
    """The finding for a metric of the second release, compared with the first."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "unclear"
    NOTHING = "no data"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of both releases; the difference is the second figure minus the first.

    Rates and their differences are in percent and percentage points, durations in seconds. The
    bounds are of the difference, two-sided; ``None`` if there are too few sessions for one.
    """

    metric: Metric | Duration
    project_id: int
    first: Sample
    second: Sample
    finding: Finding
    lower: float | None = None
    upper: float | None = None

    @property
    def difference(self) -> float | None:
        """The second figure minus the first."""
        if self.first.observed is None or self.second.observed is None:
            return None
        return self.second.observed - self.first.observed


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison: one row per metric, in the order of ``METRICS``, project by project."""

    first: str
    second: str
    scope: Scope
    period: str
    confidence: float
    rows: tuple[Compared, ...]
    files: int
    invalid_rows: Mapping[str, int]

    @property
    def now(self) -> datetime:
        """The instant of the question."""
        return self.scope.now


class Comparing:
    """Reads the figures of two releases and compares them."""

    def __init__(self, asking: Asking, scope: Scope, *, confidence: float) -> None:
        """Start without reading; ``confidence`` is that of each two-sided interval."""
        if not isinstance(confidence, int | float):
            raise QuestionError(f"confidence {confidence!r}: expected a number")
        if not 0.5 <= confidence < 1:  # noqa: PLR2004 - below it an interval would be a guess
            raise QuestionError(
                f"confidence: {confidence:g}: expected at least 0.5, and less than 1"
            )
        self._asking = asking
        self._scope = scope
        self._confidence = confidence

    def compare(self, first: Asked, second: Asked, *, period: str) -> Comparison:
        """Compare two releases in each project that has both.

        Raises ``DataError`` for a release without sessions in 90 days, ``QuestionError`` for the
        same release twice and for releases of different projects.
        """
        settled = self._one(first), self._one(second)
        names = _name(settled[0]), _name(settled[1])
        if names[0] == names[1]:
            raise QuestionError(f"{printable(names[0])}: name two releases to compare")
        projects = self._projects(*settled)
        self._scope = self._scope.narrowed_to(
            tuple((project, name) for project in projects for name in names)
        )
        rows, invalid = self._rows(projects, names)
        return Comparison(
            first=names[0],
            second=names[1],
            scope=self._scope,
            period=period,
            confidence=self._confidence,
            rows=rows,
            files=self._asking.sources.total,
            invalid_rows=invalid,
        )

    def _one(self, asked: Asked) -> ProjectRelease | str:
        """Return the release that is meant; a word must mean just one."""
        found = self._asking.named([asked], self._scope)
        if len(found) > 1:
            names = ", ".join(printable("/".join(map(str, one))) for one in found)
            raise QuestionError(f"{asked} is several releases: {names}; name one, or its project")
        (one,) = found
        if isinstance(one, str) and not self._asking.known([one], self._scope):
            by_part = self._asking.by_part(one, self._scope)
            return by_part[0][1] if by_part else one
        return one

    def _projects(
        self, first: ProjectRelease | str, second: ProjectRelease | str
    ) -> tuple[int, ...]:
        """Return the projects that had both releases in 90 days; none without data."""
        if not self._asking.sources.any_rows:
            return ()
        found = []
        seen = self._asking.known([first, second], self._scope)
        for one in (first, second):
            known = [pair for pair in seen if one in {pair, pair[1]}]
            if not known:
                told = self._asking.similar(one if isinstance(one, str) else one[1], self._scope)
                told = told or ": is the name right?"
                raise DataError(f"{printable(_name(one))}: no session in 90 days{told}")
            found.append({project for project, _ in known})
        both = found[0] & found[1]
        if not both:
            told = " and ".join(
                f"{printable(_name(one))} is of project {', '.join(map(str, sorted(projects)))}"
                for one, projects in zip((first, second), found, strict=True)
            )
            raise QuestionError(f"no project has both: {told}")
        return tuple(sorted(both))

    def _rows(
        self, projects: tuple[int, ...], names: tuple[str, str]
    ) -> tuple[tuple[Compared, ...], dict[str, int]]:
        """Return every metric of every project, and the rows that cannot count, by reason."""
        needed = set().union(*(rate.needed for rate in RATES.values()))
        figures, invalid = self._asking.checked_figures(
            self._scope, needed={*needed, components.DURATIONS.name}
        )
        return tuple(self._of_projects(projects, names, figures)), invalid

    def _of_projects(
        self, projects: tuple[int, ...], names: tuple[str, str], figures: Figures
    ) -> Iterator[Compared]:
        rows = {(row.project_id, row.release): row for row in figures.rows}
        durations = by_pair(figures.found[components.DURATIONS])
        for project in projects:
            for metric in METRICS.values():
                first, second = (
                    Sample.of(metric, self._scope.summary, rows[pair], durations.get(pair))
                    for pair in ((project, name) for name in names)
                )
                yield self._compared(metric, project, first, second)

    def _compared(
        self, metric: Metric | Duration, project: int, first: Sample, second: Sample
    ) -> Compared:
        if first.observed is None or second.observed is None:
            return Compared(metric, project, first, second, Finding.NOTHING)
        if metric.name in _SHARED:
            return Compared(metric, project, first, second, Finding.SHARED)
        own, base = self._bounds(metric, project, second), self._bounds(metric, project, first)
        if own is None or base is None:
            return Compared(metric, project, first, second, Finding.UNCLEAR)
        found = mover(second.observed, own, first.observed, base)
        finding = Finding.UNCLEAR
        if found.lower > 0:
            finding = Finding.BETTER if metric.good else Finding.WORSE
        elif found.upper < 0:
            finding = Finding.WORSE if metric.good else Finding.BETTER
        return Compared(metric, project, first, second, finding, found.lower, found.upper)

    def _bounds(self, metric: Metric | Duration, project: int, sample: Sample) -> Bounds | None:
        """Return the figure's two-sided bounds, in its unit; ``None`` with too little data."""
        each = 1 - (1 - self._confidence) / 2
        if isinstance(metric, Metric):
            share = clopper_pearson(sample.numerator, sample.denominator, each)
            return Bounds(100 * share.lower, 100 * share.upper)
        total = sample.denominator
        fractions = ranks(total, metric.quantile, each, clopper_pearson, 1).fractions(total)
        pair = project, sample.release
        lower, upper = self._asking.durations_at(fractions, self._scope.narrowed_to((pair,)))
        return None if lower is None or upper is None else Bounds(lower, upper)


def _name(release: ProjectRelease | str) -> str:
    return release if isinstance(release, str) else release[1]
