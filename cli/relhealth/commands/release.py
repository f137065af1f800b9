"""``relhealth release``: one release in detail."""

from typing import Annotated

import typer

from relhealth.commands import gate_options, options
from relhealth.commands.opening import How
from relhealth.output.answer import Answer
from relhealth.output.formats import PAGES, ROWS


def release(
    sources: options.Sources,
    name: Annotated[
        str,
        typer.Argument(metavar="RELEASE", help="RELEASE or PROJECT/RELEASE.", show_default=False),
    ],
    project: options.Projects = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    period: options.Period = "24h",
    stat: options.StatOption = "sessions",
    now: options.Now = None,
    format: options.PageFormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    policy: gate_options.PolicyFile = None,
    *,
    how: How,
) -> None:
    """Show one release: a word, crash-free, totals, first and last hour, figures over time.

    Examples:

      relhealth release data/ shop@4.2.0

      relhealth release data/ 1/shop@4.2.0 --period 14d --stat users -f json
    """
    answer = Answer.to(
        format, output, quiet=how.quiet, formats=(*ROWS, *PAGES), sources=sources, where=where
    )
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.layouts.release_detail import release_detail_report

    limits = gate_options.limits(policy)
    with how.opened(answer, sources, org=org) as health:
        found = health.release(
            parse_release_filter(name),
            projects=project or None,
            environments=environment or None,
            where=where or None,
            period=period,
            stat=stat,
            now=now,
        )
        if not any(any(one.totals.values()) for one in found.details):
            asked = {one.release for one in found.details}
            how.explain_empty(answer, health, found.scope.summary.start, asked)
        page = answer.page(found, health, limits)
    answer.give(release_detail_report(found, limits)._replace(page=page), health.engines)
