"""``relhealth gate test``: what a policy would have said about past releases."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from relhealth.commands import gate_options, options
from relhealth.commands.opening import How
from relhealth.core.errors import QuestionError
from relhealth.output.answer import Answer

_MOST_TARGETS = 100


def gate_test(
    sources: options.Sources,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="INSTANT",
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
            metavar="RELEASE",
            help="Only this release, PROJECT/RELEASE or 'latest'; repeat for more. Default: all"
            " first seen since --since.",
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
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="PERCENT",
            help="Add a rule with this target. FROM:TO:STEP, such as 98:99.9:0.1, tries each, and"
            " recommends one. Not with --baseline.",
            show_default=False,
            rich_help_panel=gate_options.POLICY,
        ),
    ] = None,
    critical: gate_options.Critical = None,
    baseline: gate_options.Baseline = None,
    margin: gate_options.Margin = None,
    follow_up: gate_options.FollowUp = None,
    min_sessions: gate_options.MinSessions = None,
    min_users: gate_options.MinUsers = None,
    confidence: gate_options.Confidence = None,
    sequential: gate_options.Sequential = None,
    period: gate_options.GatePeriod = None,
    settle: gate_options.Settle = None,
    stable: gate_options.Stable = None,
    now: options.Now = None,
    format: options.FormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    *,
    how: How,
) -> None:
    """Replay a policy over history: which releases would have passed, failed, waited, and when.

    --max-age is that of the policy: a release waits at each look at which its data is older. With
    --output, data that is too old now is refused.

    Examples:

      relhealth gate test data/ --since 2026-10-01

      relhealth gate test data/ --since 2026-10-01 --target 99.5 --every 1h

      relhealth gate test data/ --since 2026-10-01 --target 98:99.9:0.1
    """
    answer = Answer.to(format, output, quiet=how.quiet, sources=sources, where=where)
    path = gate_options.policy_file(policy)
    targets = [] if target is None else _targets(target)
    found = gate_options.asked_policy(
        path,
        {
            "metric": metric,
            "target": targets[0] if targets else None,
            "critical": critical,
            "baseline": baseline,
            "margin": margin,
            "follow_up": follow_up,
            "min_sessions": min_sessions,
            "min_users": min_users,
            "period": period,
            "settle": settle,
            "stable": stable,
            "environments": environment,
            "projects": project,
            "confidence": confidence,
            "max_age": how.max_age,
            "sequential": sequential,
        },
    )
    from relhealth.core.printable import printable
    from relhealth.core.scope import parse_release_filter
    from relhealth.core.words import Unmatched
    from relhealth.output.layouts.gate_test import gate_test_report

    # A file's readers do not see that all wait: old data must not replace a good one.
    refusing = how if answer.output is not None else how.by_policy()
    with refusing.opened(answer, sources, org=org) as health:
        replay = health.gate_test(
            found,
            since=since,
            every=every,
            releases=[parse_release_filter(one) for one in release or ()],
            targets=targets if len(targets) > 1 else (),
            where=where or None,
            now=now,
        )
        if not replay.rows:
            how.explain_empty(answer, health)
            told = "no release to replay was first seen since then"
            if release:
                names = ", ".join(map(printable, release))
                told = f"--release {names}: no such release had sessions since then"
            answer.warn(Unmatched(told))
    answer.give(gate_test_report(replay, origin=gate_options.origin_of(path)), health.engines)


def _targets(text: str) -> list[float]:
    """Read one target, or several from the first to the last in steps."""
    try:
        numbers = [Decimal(part) for part in text.split(":")]
    except InvalidOperation:
        numbers = []
    if len(numbers) == 1:
        return [float(numbers[0])]
    if len(numbers) != 3 or not all(number.is_finite() for number in numbers):  # noqa: PLR2004
        raise QuestionError(f"--target {text!r}: expected percent, or FROM:TO:STEP")
    first, last, step = numbers
    if not 0 < step <= last - first or (last - first) / step >= _MOST_TARGETS:
        raise QuestionError(
            f"--target {text!r}: expected a step above 0 and at most {_MOST_TARGETS} targets"
        )
    return [float(first + step * at) for at in range(int((last - first) / step) + 1)]
