"""``relhealth inspect``: what is in the files."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import How
from relhealth.core.errors import DataError
from relhealth.output.answer import Answer
from relhealth.output.formats import Format

Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Instead read every page of every file, also of a rollup, and name the damaged files.",
        rich_help_panel=options.HOW,
    ),
]


def inspect(
    sources: options.Sources,
    org: options.Org = None,
    now: options.Now = None,
    format: options.TableOrJson = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    verify: Verify = False,
    *,
    how: How,
) -> None:
    """Show what is in the files: metrics, projects, releases, freshness, invalid rows.

    Try this first on unknown data. The answer is a table or JSON.

    Examples:

      relhealth inspect data/

      relhealth inspect data/ -f json

      relhealth inspect data/ --verify
    """
    answer = Answer.to(
        format, output, quiet=how.quiet, formats=(Format.TABLE, Format.JSON), sources=sources
    )
    from relhealth.output.layouts.inspection import inspection_report
    from relhealth.output.layouts.verification import verification_report

    with how.opened(answer, sources, org=org) as health:
        if not verify:
            answer.give(inspection_report(health.inspect(now=now)), health.engines)
            return
        found = health.verify()
    answer.give(verification_report(found), health.engines)
    if found.damaged:
        raise DataError(found.damaged)
