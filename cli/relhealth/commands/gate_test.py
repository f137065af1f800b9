"""``relhealth gate test``: what a policy would have said about past releases."""

from typing import Annotated

import typer

from relhealth.commands import gate, options
from relhealth.commands.opening import opened
from relhealth.output.answer import Answer


def gate_test(
    sources: options.Sources,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="DATE",
            help="The first look: ISO 8601, such as 2026-10-01.",
            show_default=False,
            rich_help_panel=options.WHEN,
        ),
    ],
    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="LENGTH",
            help="The time between looks of the gate, in full hours, such as 1h or 1d.",
            rich_help_panel=options.WHEN,
        ),
    ] = "6h",
    release: Annotated[
        list[str] | None,
        typer.Option(
            "--release",
            "-r",
            metavar="[PROJECT/]RELEASE|latest",
            help="Only this release; repeat for more. Default: all first seen since --since.",
            show_default=False,
            rich_help_panel=options.WHO,
        ),
    ] = None,
    project: options.Projects = None,
    environment: options.Environments = None,
    org: options.Org = None,
    policy: gate.PolicyFile = None,
    metric: gate.MetricOption = None,
    target: gate.Target = None,
    critical: gate.Critical = None,
    baseline: gate.Baseline = None,
    margin: gate.Margin = None,
    min_sessions: gate.MinSessions = None,
    min_users: gate.MinUsers = None,
    confidence: gate.Confidence = None,
    sequential: gate.Sequential = None,
    period: gate.GatePeriod = None,
    max_age: gate.MaxAge = None,
    now: options.Now = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    strict: options.Strict = False,
    engine: options.EngineOption = "auto",
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Replay a policy over history: which releases would have passed, failed, waited, and when.

    Examples:

      relhealth gate test data/ --since 2026-10-01

      relhealth gate test data/ --since 2026-10-01 --target 99.5 --critical 99 --every 1h
    """
    answer = Answer.to(format, output, quiet=quiet, sources=sources)
    path = gate.policy_file(policy)
    found = gate.asked_policy(
        path,
        {
            "metric": metric,
            "target": target,
            "critical": critical,
            "baseline": baseline,
            "margin": margin,
            "min_sessions": min_sessions,
            "min_users": min_users,
            "period": period,
            "environments": environment,
            "projects": project,
            "confidence": confidence,
            "max_age": max_age,
            "sequential": sequential,
        },
    )
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.layouts.gate_test import gate_test_report

    with opened(
        answer,
        sources,
        debug=debug,
        org=org,
        strict=strict,
        memory_limit=memory_limit,
        threads=threads,
        engine=engine,
    ) as health:
        replay = health.gate_test(
            found,
            since=since,
            every=every,
            releases=[parse_release_filter(one) for one in release or ()],
            now=now,
        )
    answer.give(gate_test_report(replay, origin=gate.origin_of(path)), health.engines)
