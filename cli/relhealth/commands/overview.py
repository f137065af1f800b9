"""``relhealth overview``: one row per release."""

from relhealth.commands import options
from relhealth.commands.opening import How
from relhealth.output.answer import Answer
from relhealth.output.formats import METRICS, PAGES, ROWS
from relhealth.questions.overview import check_order


def overview(
    sources: options.Sources,
    project: options.Projects = None,
    release: options.Releases = None,
    environment: options.Environments = None,
    org: options.Org = None,
    period: options.Period = "24h",
    stats_period: options.StatsPeriod = None,
    stat: options.StatOption = "sessions",
    now: options.Now = None,
    format: options.OverviewFormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    report: options.Reports = None,
    sort: options.Sort = "total_sessions",
    reverse: options.Reverse = False,
    limit: options.Limit = None,
    *,
    how: How,
) -> None:
    """Show the health of every release: crash-free, adoption, sessions, users, durations.

    Examples:

      relhealth overview data/ --now latest

      relhealth overview data/ -r shop@4.2.0 --period 7d --stats-period 7d

      relhealth overview 'data/date=2026-11-*' -e production -o overview.json
    """
    answer = Answer.to(
        format,
        output,
        quiet=how.quiet,
        formats=(*ROWS, *PAGES, *METRICS),
        sources=sources,
        reports=report or (),
    )
    check_order(sort, limit)
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.layouts.overview import overview_report

    asked = [parse_release_filter(text) for text in release] if release else None
    with how.opened(answer, sources, org=org) as health:
        found = health.overview(
            asked,
            projects=project or None,
            environments=environment or None,
            summary_stats_period=period,
            health_stats_period=stats_period,
            stat=stat,
            now=now,
        ).ordered(sort, reverse=reverse, limit=limit)
        page = answer.page(found, health)
    answer.give(overview_report(found)._replace(page=page), health.engines)
