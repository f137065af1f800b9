"""``relhealth compare``: two releases side by side."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import How
from relhealth.output.answer import Answer
from relhealth.output.formats import PAGES, ROWS


def compare(
    sources: options.Sources,
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="The release to compare with.", show_default=False),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="The release to judge. Each is RELEASE or PROJECT/RELEASE.",
            show_default=False,
        ),
    ],
    project: options.Projects = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    period: options.Period = "24h",
    now: options.Now = None,
    confidence: Annotated[
        float,
        typer.Option(
            "--confidence",
            metavar="SHARE",
            help="The confidence of each interval.",
            rich_help_panel=options.HOW,
        ),
    ] = 0.95,
    format: options.PageFormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    *,
    how: How,
) -> None:
    """Compare two releases: differences, their confidence intervals, and the result in words.

    Examples:

      relhealth compare data/ shop@4.1.0 shop@4.2.0

      relhealth compare data/ shop@4.1.0 shop@4.2.0 -e production -f markdown
    """
    answer = Answer.to(
        format, output, quiet=how.quiet, formats=(*ROWS, *PAGES), sources=sources, where=where
    )
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.layouts.compare import compare_report

    with how.opened(answer, sources, org=org) as health:
        with how.explaining(health):
            found = health.compare(
                parse_release_filter(first),
                parse_release_filter(second),
                projects=project or None,
                environments=environment or None,
                where=where or None,
                period=period,
                confidence=confidence,
                now=now,
            )
        if not any(row.first.denominator or row.second.denominator for row in found.rows):
            how.explain_empty(answer, health, found.scope.summary.start)
        page = answer.page(found, health)
    answer.give(compare_report(found)._replace(page=page), health.engines)
