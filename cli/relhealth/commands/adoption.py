"""``relhealth adoption``: which releases each environment has adopted."""

from relhealth.commands import options
from relhealth.commands.opening import How
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
    *,
    how: How,
) -> None:
    """Show which releases each environment has adopted, by its sessions of the last 6 hours.

    A release with a tenth or more of them is adopted. Below, it is replaced if it was adopted in
    the 90 days before, else its adoption is low.

    Examples:

      relhealth adoption data/ -e production

      relhealth adoption data/ -r shop@4.2.0 -f json
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.layouts.listing import listing_report

    asked = [parse_release_filter(text) for text in release] if release else None

    with how.opened(answer, sources, org=org) as health:
        found = health.adoption_stages(
            asked,
            projects=project or None,
            environments=environment or None,
            where=where or None,
            now=now,
        )
    answer.give(listing_report(found, "adoption", "stage", latest=now == "latest"), health.engines)
