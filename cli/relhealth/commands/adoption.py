"""``relhealth adoption``: which releases each environment has adopted."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import How
from relhealth.core.words import Unmatched
from relhealth.output.answer import Answer


def adoption(
    sources: options.Sources,
    project: options.Projects = None,
    release: options.Releases = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    now: options.Now = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            metavar="STAGE",
            help="Only releases of this stage: adopted, low or replaced; repeat for more.",
            show_default=False,
            rich_help_panel=options.WHO,
        ),
    ] = None,
    columns: options.Columns = None,
    wide: options.Wide = False,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="FIGURE",
            help="sessions, adoption, first_adopted, last_adopted (most, newest first), release"
            " (by version). Default: by project, environment and version.",
            show_default=False,
            rich_help_panel=options.OUT,
        ),
    ] = None,
    reverse: options.Reverse = False,
    limit: options.Limit = None,
    *,
    how: How,
) -> None:
    """Show which releases each environment has adopted, by its sessions of the last 6 hours.

    A release with a tenth or more of them is adopted. Below, it is replaced if it was adopted in
    the 90 days before, else its adoption is low.

    Examples:

      relhealth adoption data/ -e production

      relhealth adoption data/ --stage adopted --sort adoption

      relhealth adoption data/ -r shop@4.2.0 -f json
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.columns import Chosen
    from relhealth.output.layouts.listing import listing_report
    from relhealth.questions.adoption_stages import ReleaseStage, StageOrder

    StageOrder.of(stage or None, sort, limit, reverse=reverse)
    chosen = Chosen.of(columns, ReleaseStage.UNITS, wide=wide)

    asked = [parse_release_filter(text) for text in release] if release else None

    with how.opened(answer, sources, org=org) as health:
        found = health.adoption_stages(
            asked,
            projects=project or None,
            environments=environment or None,
            where=where or None,
            stages=stage or None,
            sort=sort,
            reverse=reverse,
            limit=limit,
            now=now,
        )
        if not found:
            how.explain_empty(answer, health, found.window.start)
            if stage:
                answer.warn(Unmatched(f"--stage {', '.join(stage)}: no release is in it"))
    report = listing_report(
        found, "adoption", "stage", latest=now == "latest", grouped=sort is None and not reverse
    )
    answer.give(chosen.within(report), health.engines)
