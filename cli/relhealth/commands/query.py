"""``relhealth query``: any fields, by any groups, over time."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.configuration import current
from relhealth.commands.opening import How
from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.printable import printable
from relhealth.core.scope import Spelled, parse_release_filter
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
    from relhealth.questions.fields import STATUSES

    for word in status or ():
        if word not in STATUSES:
            known = ", ".join(STATUSES)
            raise QuestionError(
                f"--status {printable(word)}: expected one of {known}{hint(word, STATUSES)}"
            )
    project, release = _named(project, release)
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
        has_users = found.has_users
        if not has_users:  # of these statuses or pages: of all?
            everyone = health.query(
                ["sum(session)", "count_unique(user)"],
                period=period,
                start=start,
                end=end,
                projects=project or None,
                releases=release or None,
                environments=environment or None,
                where=where or None,
                now=now,
            )
            has_users = everyone.has_users or everyone.is_empty
    laid_out = sessions_query_report(found, latest=now == "latest", has_users=has_users)
    answer.give(laid_out, health.engines)


def _named(
    projects: list[int] | None, releases: list[str] | None
) -> tuple[list[int] | None, list[str] | None]:
    """Return projects and names; PROJECT/RELEASE is a name in one project, and the same in all."""
    asked = [parse_release_filter(one) if one else one for one in releases or ()]
    inside = {one.pair[0] for one in asked if isinstance(one, Spelled)}
    if not inside:
        return projects, releases
    if len(inside) > 1 or not all(isinstance(one, Spelled) for one in asked):
        raise QuestionError("--release PROJECT/RELEASE: all must be of one project")
    if projects and inside != set(projects):
        raise QuestionError("--release PROJECT/RELEASE: another project than --project")
    return [*inside], [one.pair[1] for one in asked if isinstance(one, Spelled)]
