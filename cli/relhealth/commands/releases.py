"""``relhealth releases``: every release of the last 90 days, by stability."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import How
from relhealth.output.answer import Answer


def releases(
    sources: options.Sources,
    project: options.Projects = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    period: options.Period = "24h",
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="INSTANT",
            help="Only releases first seen since this instant.",
            show_default=False,
            rich_help_panel=options.WHEN,
        ),
    ] = None,
    now: options.Now = None,
    columns: options.Columns = None,
    wide: options.Wide = False,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="FIGURE",
            help="sessions, users, adoption, first_seen, last_seen (most, newest first),"
            " crash_free_sessions, crash_free_users (worst first), release (by version).",
            rich_help_panel=options.OUT,
        ),
    ] = "sessions",
    reverse: options.Reverse = False,
    limit: options.Limit = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    *,
    how: How,
) -> None:
    """List the releases by stability: sessions, users, crash-free, adoption, when seen.

    Examples:

      relhealth releases data/ --sort crash_free_users

      relhealth releases data/ -p 1 --since 2026-11-01 --period 14d
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    from relhealth.output.columns import Chosen
    from relhealth.output.layouts.listing import listing_report
    from relhealth.questions.release_list import ListedRelease

    chosen = Chosen.of(columns, ListedRelease.UNITS, wide=wide)

    with how.opened(answer, sources, org=org) as health:
        found = health.releases(
            project or None,
            environments=environment or None,
            where=where or None,
            period=period,
            since=since,
            sort=sort,
            reverse=reverse,
            limit=limit,
            now=now,
        )
        if not found:
            how.explain_empty(answer, health, found.window.start)
    report = listing_report(found, "releases", "release", latest=now == "latest")
    answer.give(chosen.within(report), health.engines)
