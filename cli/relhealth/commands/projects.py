"""``relhealth projects``: one row per project, now and in the period before."""

from relhealth.commands import options
from relhealth.commands.opening import How
from relhealth.output.answer import Answer


def projects(
    sources: options.Sources,
    project: options.Projects = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    period: options.Period = "24h",
    now: options.Now = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    columns: options.Columns = None,
    wide: options.Wide = False,
    *,
    how: How,
) -> None:
    """List the projects: sessions, users, crash-free now and in the period before, the change.

    Examples:

      relhealth projects data/ --period 7d

      relhealth projects data/ -e production -o projects.csv
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    from relhealth.output.columns import Chosen
    from relhealth.output.layouts.listing import listing_report
    from relhealth.questions.project_list import ListedProject

    chosen = Chosen.of(columns, ListedProject.UNITS, wide=wide)

    with how.opened(answer, sources, org=org) as health:
        found = health.projects(
            project or None,
            environments=environment or None,
            where=where or None,
            period=period,
            now=now,
        )
        if not found:
            how.explain_empty(answer, health, found.window.start)
    report = listing_report(found, "projects", "project", latest=now == "latest")
    answer.give(chosen.within(report), health.engines)
