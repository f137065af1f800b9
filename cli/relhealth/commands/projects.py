"""``relhealth projects``: a row a project, now and before."""

from relhealth import options
from relhealth.answer import Answer


def projects(
    sources: options.Sources,
    project: options.Projects = None,
    environment: options.Environments = None,
    org: options.Org = None,
    period: options.Period = "24h",
    now: options.Now = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    strict: options.Strict = False,
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """List the projects: sessions, users, crash-free now and in the period before, the change.

    Examples:

      relhealth projects data/ --period 7d

      relhealth projects data/ -e production -o projects.csv
    """
    answer = Answer.to(format, output, quiet=quiet, sources=sources)
    from relhealth.listing_report import listing_report
    from relhealth.release_health import ReleaseHealth
    from relhealth.render.progress import progress

    with (
        progress(quiet=quiet) as observer,
        ReleaseHealth(
            sources,
            org=org,
            strict=strict,
            memory_limit=memory_limit,
            threads=threads,
            observer=observer,
            warn=answer.warn,
        ) as health,
    ):
        found = health.projects(
            project or None,
            environments=environment or None,
            period=period,
            now=now,
        )
    answer.give(listing_report(found, "projects", "project", latest=now == "latest"))
