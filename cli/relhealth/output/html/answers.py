"""The page of each command: its verdict, its sentence and its charts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from relhealth.core.printable import printable
from relhealth.core.project_names import project_text
from relhealth.core.scope import ProjectRelease
from relhealth.core.words import counted
from relhealth.gate.compare import Compared, Comparison, Finding
from relhealth.gate.glance import BY_DEFAULT, Limits, Word
from relhealth.gate.metrics import METRICS, Duration, Metric
from relhealth.gate.outcome import Check, Gate
from relhealth.gate.status import ReleaseStatus
from relhealth.gate.verdict import Verdict
from relhealth.gate.wording import percent_limit, seconds_limit
from relhealth.output.html import charts
from relhealth.output.html.charts import Interval
from relhealth.output.html.content import Chart, Mark, Page, Section, Tone
from relhealth.output.html.history import History, history
from relhealth.output.html.layers import Limit
from relhealth.output.html.over_time import sections_of
from relhealth.output.html.words import Health, health_of, mark_of
from relhealth.output.layouts.gate_texts import action, margin_text, rule_text
from relhealth.output.layouts.scope import or_none
from relhealth.output.layouts.status import sentence
from relhealth.questions.listing import Listing
from relhealth.questions.overview import Overview
from relhealth.questions.release_detail import ReleaseDetails

if TYPE_CHECKING:
    from relhealth.release_health import ReleaseHealth

_MOST_PROJECTS = 4  # with charts; the table has all
_RANK: Mapping[Word | None, int] = {
    word: rank for rank, word in enumerate((Word.BAD, Word.TOO_EARLY, Word.OK, Word.NO_DATA, None))
}


def page_of(
    found: object,
    health: "ReleaseHealth",
    where: Sequence[str] = (),
    limits: Limits | None = None,
) -> Page | None:
    """Return the page of an answer; None if its kind has no page.

    ``where`` are the conditions of its rows, ``limits`` those of the words that have no policy.
    """
    limits = limits or BY_DEFAULT
    match found:
        case Overview():
            return overview_page(found, health, where, limits)
        case ReleaseDetails():
            return release_page(found, health, where, limits)
        case Comparison():
            return compare_page(found, health, where)
        case Gate():
            return gate_page(found, health, where)
        case Listing():
            return status_page(found, health, where)
    return None


def overview_page(
    overview: Overview, health: "ReleaseHealth", where: Sequence[str], limits: Limits
) -> Page:
    """Return the page of an overview; a release with several rows has its worst word."""
    scope = overview.scope
    words: dict[ProjectRelease, Health] = {}
    values: dict[ProjectRelease, str] = {}
    for row in overview.rows:
        pair = row.project_id, row.release
        one = health_of(row, limits.of_project(row.project_id, scope.environments))
        if pair not in words or _RANK[one.word] < _RANK[words[pair].word]:
            words[pair] = one
            if row.by is not None and row.by[1] is not None:
                values[pair] = f"with {row.by[0]} {printable(or_none(row.by[1]))}"
    series = scope.series.period if scope.series else None
    past = history(
        health,
        scope.now,
        (overview.period, series),
        projects=_projects(words),
        environments=scope.environments,
        where=where,
    )
    if not any(one.total for one in words.values()):
        return Page(mark_of("no data"), "No release has sessions in the window.")
    ranked = sorted(words, key=lambda pair: (_RANK[words[pair].word], -words[pair].total, pair))
    marks = {pair: words[pair].mark for pair in ranked}
    value = f" {values[ranked[0]]}" if ranked[0] in values else ""
    worst = f"{printable(ranked[0][1])}{value} has {words[ranked[0]].told()}."
    return Page(
        words[ranked[0]].mark,
        _counted_words([one.word for one in words.values()], worst, overview.by),
        tuple(_sections(marks, past, _lines(limits))),
        _more_facts(past, marks),
        marks,
    )


def _counted_words(words: Sequence[Word | None], worst: str, by: str | None) -> str:
    """Return how many releases are bad; with a dimension, for a value of it alone."""
    bad, early, fine = (words.count(word) for word in (Word.BAD, Word.TOO_EARLY, Word.OK))
    of_all = counted(len(words), "release")
    value = "" if by is None else f" for a value of {by}"
    if bad:
        return f"{bad} of {of_all} {'is' if bad == 1 else 'are'} bad{value}: {worst}"
    if early:
        head = f"No release is bad{value}{'' if by is None else ', but over all values one can be'}"
        return f"{head}. For {early} of {of_all} it is too early to say more: {worst}"
    value = value.replace("a value", "each value")
    return f"{fine} of {of_all} {'is' if len(words) == 1 else 'are'} fine{value}."


def _lines(limits: Limits) -> list[Limit]:
    """Return the limits to draw over time."""
    values = {value for one in limits.limits for value in (one.target, one.critical)}
    return [Limit(value, percent_limit(value)) for value in sorted(values, reverse=True)]


def _projects(pairs: Iterable[ProjectRelease]) -> list[int]:
    return sorted({project for project, _ in pairs})


def _sections(
    marks: Mapping[ProjectRelease, Mark],
    past: History,
    limits: Sequence[Limit],
) -> Iterator[Section]:
    """Yield the charts of each project, the one with the first mark first."""
    projects = dict.fromkeys(project for project, _ in marks)
    for project in [one for one in projects if one in past.projects][:_MOST_PROJECTS]:
        own = {name: mark for (of, name), mark in marks.items() if of == project}
        yield sections_of(
            project, past.projects[project], first=list(own), marks=own, limits=limits
        )


def _more_facts(past: History, pairs: Iterable[ProjectRelease]) -> tuple[tuple[str, str], ...]:
    window = past.window
    if window is None:
        return ()
    facts = [("Charts", f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC")]
    more = len(set(_projects(pairs)) & set(past.projects)) - _MOST_PROJECTS
    if more > 0:
        facts.append(("Without charts", f"{counted(more, 'more project')}, in the table"))
    return tuple(facts)


def release_page(
    found: ReleaseDetails, health: "ReleaseHealth", where: Sequence[str], limits: Limits
) -> Page:
    """Return the page of one release, in each project that has it."""
    scope = found.scope
    words = {
        (one.project_id, one.release): health_of(
            one.overview, limits.of_project(one.project_id, scope.environments)
        )
        for one in found.details
    }
    past = history(
        health, scope.now, (found.period,), projects=_projects(words),
        environments=scope.environments, where=where,
    )  # fmt: skip
    if not words:
        return Page(mark_of("no data"), "No project has this release.")
    ranked = sorted(words, key=lambda pair: _RANK[words[pair].word])
    project, release = ranked[0]
    worst = words[ranked[0]]
    within = f" in project {project_text(project)}" if len(words) > 1 else ""
    marks = {pair: words[pair].mark for pair in ranked}
    return Page(
        worst.mark,
        f"{printable(release)} has {worst.told()}{within}.",
        tuple(_sections(marks, past, _lines(limits))),
        _more_facts(past, marks),
        marks,
    )


def status_page(
    listing: Listing[ReleaseStatus], health: "ReleaseHealth", where: Sequence[str]
) -> Page:
    """Return the page of the status of releases."""
    scope = listing.scope
    marks = {(row.project_id, row.release): mark_of(row.status) for row in listing.rows}
    if not marks:
        return Page(mark_of("no data"), "There is no release in the window.")
    past = history(
        health, scope.now, (listing.period,), projects=_projects(marks),
        environments=scope.environments, where=where,
    )  # fmt: skip
    rows = sorted(listing.rows, key=lambda row: _RANK[row.status])
    bad = [row for row in rows if row.status is Word.BAD]
    lines = Section(
        "Releases",
        tuple(
            Chart(
                printable(row.release),
                charts.intervals(
                    [Interval("", row.figure, row.lower, row.upper, mark_of(row.status).tone)],
                    _limits(row.target, row.critical, METRICS[row.metric]),
                    _unit(METRICS[row.metric]),
                ),
                f"{sentence(row)}.",
                mark_of(row.status),
            )
            for row in rows
            if row.figure is not None and row.metric is not None
        ),
    )
    limits = _strip_limits(rows[0].metric, rows[0].target, rows[0].critical)
    head = f"{len(bad)} of {counted(len(rows), 'release')} {'is' if len(bad) == 1 else 'are'} bad"
    return Page(
        mark_of(rows[0].status),
        f"{head}: {printable(rows[0].release)}. {sentence(rows[0])}."
        if bad
        else f"No release is bad. {printable(rows[0].release)}: {sentence(rows[0])}.",
        (lines, *_sections(marks, past, limits)),
        _more_facts(past, marks),
        marks,
    )


def _limits(target: float | None, critical: float | None, metric: Metric | Duration) -> list[Limit]:
    text = seconds_limit if isinstance(metric, Duration) else percent_limit
    side = "below" if metric.good else "above"
    named = ((target, "target"), (critical, f"bad {side}"))
    return [Limit(value, f"{word} {text(value)}") for value, word in named if value is not None]


def _strip_limits(metric: str | None, target: float | None, critical: float | None) -> list[Limit]:
    """Return the limits of a policy for crash-free sessions over time."""
    if metric != "crash_free_sessions":
        return []
    return [Limit(value, percent_limit(value)) for value in (target, critical) if value is not None]


def _unit(metric: Metric | Duration) -> str:
    return "s" if isinstance(metric, Duration) else "%"


def gate_page(gate: Gate, health: "ReleaseHealth", where: Sequence[str]) -> Page:
    """Return the page of a gate: each check against its limits, and its releases over time."""
    marks = {pair: mark_of(gate.verdict_of(pair)) for pair in gate.releases}
    past = history(
        health, gate.now, (gate.policy.period,), projects=_projects(marks),
        environments=gate.policy.environments, where=where,
    )  # fmt: skip
    deciding = next((one for one in gate.checks if one.verdict is gate.verdict), None)
    reason = "" if deciding is None else f" {_subject(deciding, gate)}{deciding.judgement.reason}"
    told = action(gate)
    ordered = sorted(marks, key=lambda pair: -list(Verdict).index(gate.verdict_of(pair)))
    rules = gate.policy.rule
    limits = [
        one for rule in rules for one in _strip_limits(rule.metric, rule.target, rule.critical)
    ]
    checks = Section("Checks", tuple(_check_chart(check) for check in gate.checks))
    return Page(
        mark_of(gate.outcome),
        f"{told[:1].upper()}{told[1:]}.{reason}",
        (checks, *_sections({pair: marks[pair] for pair in ordered}, past, limits)),
        _more_facts(past, marks),
        marks,
    )


def _subject(check: Check, gate: Gate) -> str:
    name = printable(check.sample.release)
    where = (
        f" in project {project_text(check.project_id)}" if len(_projects(gate.releases)) > 1 else ""
    )
    return f"{name}{where}: "


def _check_chart(check: Check) -> Chart:
    told, rule = check.judgement, check.rule
    mark = mark_of(check.verdict)
    tone = mark.tone
    title = f"{printable(check.sample.release)}: {rule_text(check)}"
    if rule.target is None:
        good, unit = check.metric.good, "s" if isinstance(check.metric, Duration) else "points"
        base = check.baseline.observed if check.baseline else None
        own = check.sample.observed
        figure = None if base is None or own is None else own - base
        limits = [Limit(0.0, "as the baseline")]
        if not rule.allowed.relative:
            margin = rule.allowed.amount
            limits.append(Limit(-margin if good else margin, f"allowed: {margin_text(check)}"))
        row = Interval("", figure, told.difference_lower, told.difference_upper, tone)
    else:
        unit = _unit(check.metric)
        limits = _limits(rule.target, rule.critical, check.metric)
        row = Interval("", check.sample.observed, told.lower, told.upper, tone)
    return Chart(title, charts.intervals([row], limits, unit), told.reason, mark)


_COMPARED = {Finding.WORSE: "worse", Finding.BETTER: "better"}


def compare_page(found: Comparison, health: "ReleaseHealth", where: Sequence[str]) -> Page:
    """Return the page of a comparison: the differences, and both releases over time."""
    worse, better = (
        [row for row in found.rows if row.finding is one] for one in (Finding.WORSE, Finding.BETTER)
    )
    projects = sorted({row.project_id for row in found.rows})
    past = history(
        health, found.now, (found.period,), projects=projects,
        environments=found.scope.environments, where=where,
    )  # fmt: skip
    names = (found.first, found.second)
    sections = [
        section
        for project in projects
        for section in _compared(
            project, [row for row in found.rows if row.project_id == project], past, names
        )
    ]
    mark, text = _conclusion(found, worse, better)
    pairs = [(project, name) for project in projects for name in names]
    return Page(mark, text, tuple(sections), _more_facts(past, pairs))


def _conclusion(
    found: Comparison, worse: Sequence[Compared], better: Sequence[Compared]
) -> tuple[Mark, str]:
    first, second = printable(found.first), printable(found.second)
    if not any(row.difference is not None for row in found.rows):
        return mark_of("no data"), f"There is nothing to compare {second} with {first} by."
    known = [row for row in found.rows if row.difference is not None]
    of_all = counted(len(known), "figure")
    told = " and ".join(
        f"{word} in {len(rows)}: {', '.join(_metric(row.metric.name) for row in rows)}"
        for word, rows in (("worse", worse), ("better", better))
        if rows
    )
    if not told:
        text = f"There is no clear difference between {second} and {first}, in {of_all}."
        return Mark("NO CLEAR DIFFERENCE", Tone.WAIT), text
    text = f"Of {of_all}, {second} is {told}, compared with {first}."
    if worse and better:
        return Mark("MIXED", Tone.WAIT), text
    return mark_of("worse" if worse else "better"), text


def _metric(name: str) -> str:
    return name.replace("_", " ").replace("crash free", "crash-free")


def _compared(
    project: int, rows: Sequence[Compared], past: History, names: Sequence[str]
) -> Iterator[Section]:
    differences = []
    for unit, title in (
        ("points", "Difference B - A, in percentage points"),
        ("s", "Difference B - A of durations"),
    ):
        own = [
            Interval(
                f"{_metric(row.metric.name)}: {row.finding.value}",
                row.difference,
                row.lower,
                row.upper,
                mark_of(row.finding).tone,
            )
            for row in rows
            if isinstance(row.metric, Duration) == (unit == "s") and row.lower is not None
        ]
        if own:
            spec = charts.intervals(own, [Limit(0.0, "no difference")], unit)
            differences.append(Chart(title, spec))
    if differences:
        letters = " · ".join(
            f"{letter} is {printable(name)}" for letter, name in zip("AB", names, strict=True)
        )
        yield Section(
            f"Differences in project {project_text(project)}", tuple(differences), (letters,)
        )
    if project in past.projects:
        words = {row.metric.name: row.finding for row in rows}
        finding = words.get("crash_free_sessions")
        marks = {names[1]: mark_of(_COMPARED[finding])} if finding in _COMPARED else {}
        yield sections_of(project, past.projects[project], first=names, marks=marks, only=True)
