"""``relhealth query``: any fields, by any groups, over time."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.configuration import current
from relhealth.commands.opening import How
from relhealth.output.answer import Answer


def query(
    sources: options.Sources,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            "-F",
            metavar="FIELD",
            help="A field to show: sum(session), count_unique(user), p90(session.duration),"
            " crash_free_rate(user), ...; repeat for more.",
            show_default=False,
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by",
            "-g",
            metavar="GROUP",
            help="Group by project, release, environment, session.status, or a further column, such"
            " as os; repeat for more.",
            show_default=False,
            rich_help_panel=options.WHAT,
        ),
    ] = None,
    project: options.Projects = None,
    release: options.ReleaseNames = None,
    environment: options.Environments = None,
    where: options.Where = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Only sessions, or users, of this status: healthy, errored, unhandled, crashed or"
            " abnormal; repeat for more.",
            show_default=False,
            rich_help_panel=options.WHO,
        ),
    ] = None,
    org: options.Org = None,
    period: Annotated[
        str | None,
        typer.Option(
            "--period",
            metavar="LENGTH",
            help="The length of the window: such as 30m, 24h, 7d, 12w. Default: 24h.",
            show_default=False,
            rich_help_panel=options.WHEN,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="INSTANT",
            help="The start of the window, with --end, instead of --period.",
            show_default=False,
            rich_help_panel=options.WHEN,
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--end",
            metavar="INSTANT",
            help="The end of the window, with --start.",
            show_default=False,
            rich_help_panel=options.WHEN,
        ),
    ] = None,
    interval: Annotated[
        str,
        typer.Option(
            "--interval",
            metavar="LENGTH",
            help="The width of a bucket: 10s to 1d; must divide a day.",
            rich_help_panel=options.WHEN,
        ),
    ] = "1h",
    now: options.Now = None,
    order_by: Annotated[
        str | None,
        typer.Option(
            "--order-by",
            metavar="FIELD",
            help="Sort groups by a field; with - before it, largest first. Default: most sessions"
            " first, else by the first field.",
            show_default=False,
            rich_help_panel=options.OUT,
        ),
    ] = None,
    limit: options.Limit = None,
    offset: Annotated[
        int,
        typer.Option(
            "--offset",
            metavar="N",
            help="Leave out the first N groups.",
            rich_help_panel=options.OUT,
        ),
    ] = 0,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    *,
    how: How,
) -> None:
    """Ask for any fields by any groups, in totals and over time, like Sentry's sessions API.

    Examples:

      relhealth query data/ -F 'sum(session)' -g release -g session.status

      relhealth query data/ -F 'crash_free_rate(user)' -g release --period 14d

      relhealth query data/ -F 'p90(session.duration)' -g os -o durations.csv

      relhealth query data/ -F 'crash_free_rate(session)' -g os --where variant=beta
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    from relhealth.output.layouts.sessions_query import sessions_query_report

    if start is not None and period == current().defaults.get("period"):
        period = None  # of the settings
    with how.opened(answer, sources, org=org) as health:
        found = health.query(
            field or (),
            group_by=group_by or (),
            period=period,
            start=start,
            end=end,
            interval=interval,
            projects=project or None,
            releases=release or None,
            environments=environment or None,
            where=where or None,
            statuses=status or None,
            order_by=order_by,
            limit=limit,
            offset=offset,
            now=now,
        )
        if found.is_empty:
            how.explain_empty(answer, health, found.start)
    answer.give(sessions_query_report(found, latest=now == "latest"), health.engines)
