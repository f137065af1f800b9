"""``relhealth overview``: one row per release."""

from collections.abc import Sequence
from typing import Annotated

import typer

from relhealth.commands import gate_options, options
from relhealth.commands.opening import How
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.output.answer import Answer
from relhealth.output.formats import METRICS, PAGES, ROWS
from relhealth.questions.overview import SORT_ALIASES, check_by, check_order


def overview(
    sources: options.Sources,
    project: options.Projects = None,
    release: options.Releases = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="A row for each release and value of a further column, such as os, or of"
            " environment.",
            show_default=False,
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    period: options.Period = "24h",
    stats_period: options.StatsPeriod = None,
    stat: options.StatOption = "sessions",
    now: options.Now = None,
    format: options.OverviewFormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    report: options.Reports = None,
    columns: options.Columns = None,
    wide: options.Wide = False,
    sort: options.Sort = None,
    reverse: options.Reverse = False,
    limit: options.Limit = None,
    policy: gate_options.PolicyFile = None,
    *,
    how: How,
) -> None:
    """Show the health of every release: crash-free, adoption, sessions, users, durations.

    The first column is a word, BAD, OK, TOO EARLY or NO DATA, by the policy's limits of crash-free
    sessions, else 99.5 and 98 percent.

    Examples:

      relhealth overview data/ --now latest

      relhealth overview data/ -r shop@4.2.0 --period 7d --stats-period 7d

      relhealth overview 'data/date=2026-11-*' -e production -o overview.json

      relhealth overview data/ --by os --where 'device!=tablet'
    """
    answer = Answer.to(
        format,
        output,
        quiet=how.quiet,
        formats=(*ROWS, *PAGES, *METRICS),
        sources=sources,
        reports=report or (),
        where=where,
    )
    order = "total_sessions" if sort is None else sort
    check_order(order, limit)
    column = _one(by)
    check_by(column)
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.columns import Chosen
    from relhealth.output.layouts.overview import COLUMNS, overview_report

    known = COLUMNS if column is None else (column, *COLUMNS)
    chosen = Chosen.of(columns, known, wide=wide, formats=answer.formats, aliases=SORT_ALIASES)
    if column is not None and "adoption_stage" in (chosen.names or ()):
        raise QuestionError(
            f"column 'adoption_stage': a release has one, and none for each {column}"
        )
    limits = gate_options.limits(policy)

    asked = [parse_release_filter(text) for text in release] if release else None
    with how.opened(answer, sources, org=org) as health:
        found = health.overview(
            asked,
            projects=project or None,
            environments=environment or None,
            where=where or None,
            summary_stats_period=period,
            health_stats_period=stats_period,
            stat=stat,
            by=column,
            adoption_stages=chosen.includes("adoption_stage") and column is None,
            now=now,
        ).ordered(order, reverse=reverse, limit=limit)
        if not any(row.total_sessions for row in found.rows):
            names = {row.release for row in found.rows} if release else set()
            how.explain_empty(answer, health, found.scope.summary.start, names)
        ages = how.ages(answer, health)
        page = answer.page(found, health, limits)
    laid_out = overview_report(found, limits, ages, grouped=sort is None and not reverse)
    answer.give(chosen.within(laid_out)._replace(page=page), health.engines)


def _one(by: Sequence[str] | None) -> str | None:
    """Return the column to group by; raise ``QuestionError`` for several."""
    if by is not None and len(by) > 1:
        raise QuestionError(
            f"--by {', '.join(map(printable, by))}: name one column; query -g groups by several"
        )
    return by[0] if by else None
