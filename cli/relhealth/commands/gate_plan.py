"""``relhealth gate plan``: how much traffic a policy needs."""

from typing import Annotated

import typer

from relhealth.commands import gate_options, options
from relhealth.commands.opening import How
from relhealth.output.answer import Answer


def gate_plan(
    sources: options.Sources,
    release: Annotated[
        list[str] | None,
        typer.Option(
            "--release",
            "-r",
            metavar="RELEASE",
            help="Plan for the traffic of this release, or PROJECT/RELEASE; repeat for more."
            " Default: the release of each project with the most sessions.",
            show_default=False,
            rich_help_panel=options.WHO,
        ),
    ] = None,
    project: options.Projects = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    policy: gate_options.PolicyFile = None,
    metric: gate_options.MetricOption = None,
    target: gate_options.Target = None,
    critical: gate_options.Critical = None,
    baseline: gate_options.Baseline = None,
    margin: gate_options.Margin = None,
    follow_up: gate_options.FollowUp = None,
    confidence: gate_options.Confidence = None,
    sequential: gate_options.Sequential = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="PERCENT",
            help="The true figure to plan for. Default: the one of the release.",
            show_default=False,
            rich_help_panel=gate_options.POLICY,
        ),
    ] = None,
    period: gate_options.GatePeriod = None,
    settle: gate_options.Settle = None,
    now: options.Now = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    *,
    how: How,
) -> None:
    """Plan a policy: how many sessions or users it needs to pass, and how long they take.

    Examples:

      relhealth gate plan data/ --target 99.5

      relhealth gate plan data/ --policy relhealth.toml -r shop@4.1.0 --rate 99.8
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    path = gate_options.policy_file(policy)
    found = gate_options.asked_policy(
        path,
        {
            "metric": metric,
            "target": target,
            "critical": critical,
            "baseline": baseline,
            "margin": margin,
            "follow_up": follow_up,
            "period": period,
            "settle": settle,
            "environments": environment,
            "projects": project,
            "confidence": confidence,
            "sequential": sequential,
        },
    )
    from relhealth.core.scope import parse_release_filter
    from relhealth.output.layouts.gate_plan import gate_plan_report

    with how.opened(answer, sources, org=org) as health, how.explaining(health):
        plan = health.gate_plan(
            found,
            releases=[parse_release_filter(one) for one in release or ()],
            rate=rate,
            where=where or None,
            now=now,
        )
    answer.give(gate_plan_report(plan, origin=gate_options.origin_of(path)), health.engines)
