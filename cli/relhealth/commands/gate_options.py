"""The options that ``gate`` and ``gate test`` share, and the policy that they make."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relhealth.commands import options
from relhealth.commands.configuration import current
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

if TYPE_CHECKING:
    from relhealth.gate.glance import Limits
    from relhealth.gate.policy import Policy

POLICY = "Policy"

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="The policy. Default: relhealth.toml, or \\[tool.relhealth] of pyproject.toml, here or"
        " above.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="METRIC",
        help="The metric of the rule that --target or --baseline adds. Default:"
        " crash_free_sessions.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Target = Annotated[
    float | None,
    typer.Option(
        "--target",
        metavar="PERCENT",
        help="Add a rule: pass if the metric is, with confidence, at least this good (durations:"
        " seconds). Not with --baseline.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Critical = Annotated[
    float | None,
    typer.Option(
        "--critical",
        metavar="PERCENT",
        help="With --target: fail if the metric is worse than this with confidence. Default: the"
        " target.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="RELEASE",
        help="Add a rule: pass if the metric is, with confidence, not worse than this release's by"
        " more than the margin. 'previous' is the version before, 'prevailing' the release that"
        " most users had before. Not with --target.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Margin = Annotated[
    str | None,
    typer.Option(
        "--margin",
        metavar="MARGIN",
        help="With --baseline, and not with --target: how much worse than the baseline is"
        " acceptable: in percentage points (durations: seconds), or relative, such as 20%. Default"
        " baseline: prevailing.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
FollowUp = Annotated[
    str | None,
    typer.Option(
        "--follow-up",
        metavar="LENGTH",
        help="Count users by what happened this long after their first session, such as 1h."
        " For rules on users.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Settle = Annotated[
    str | None,
    typer.Option(
        "--settle",
        metavar="LENGTH",
        help="Leave out sessions that began less than this before now, because their crashes may"
        " still arrive. Default: the policy's, else 1h; 0 for none.",
        show_default=False,
        rich_help_panel=options.WHEN,
    ),
]
Stable = Annotated[
    bool | None,
    typer.Option(
        "--stable/--any-version",
        help="Leave pre-releases out of 'latest'.",
        show_default=False,
        rich_help_panel=options.WHO,
    ),
]
MinSessions = Annotated[
    int | None,
    typer.Option(
        "--min-sessions",
        metavar="N",
        help="Judge by --target or --baseline only with at least this many sessions.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
MinUsers = Annotated[
    int | None,
    typer.Option(
        "--min-users",
        metavar="N",
        help="Judge by --target or --baseline only with at least this many users.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        metavar="SHARE",
        help="The confidence of each bound, such as 0.95.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Sequential = Annotated[
    bool | None,
    typer.Option(
        "--sequential/--one-look",
        help="Use bounds that are valid at any number of looks, on all data since the release"
        " was first seen.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
GatePeriod = Annotated[
    str | None,
    typer.Option(
        "--period",
        metavar=options.PERIOD,
        help="Judge sessions of this much time before now. Default: the policy's, else 24h.",
        show_default=False,
        rich_help_panel=options.WHEN,
    ),
]


_RULE = (
    "metric",
    "target",
    "critical",
    "baseline",
    "margin",
    "follow_up",
    "min_sessions",
    "min_users",
)


def policy_file(named: Path | None) -> Path | None:
    """Return the policy's file: the one that the user named, else that of the settings."""
    file = current().file
    if named is not None or file is None or "gate" not in file.document:
        return named
    return file.path


def origin_of(path: Path | None) -> str | None:
    """Return the policy's file for the answer, if one was read."""
    return None if path is None else str(path)


def limits(named: Path | None) -> "Limits":
    """Return the limits of the policy, as ``policy_file`` finds it, else those without one."""
    from relhealth.gate.glance import Limits

    path = policy_file(named)
    if path is None or not has_rules(path):
        return Limits()
    return Limits.of(asked_policy(path, {}))


def has_rules(path: Path) -> bool:
    """Return whether the policy of a file has rules."""
    from relhealth.gate.policy_file import read_policy

    return bool(read_policy(path).rule)


def _refuse_mistyped(sources: Sequence[str]) -> None:
    """Raise ``QuestionError`` if the first source is no place, and near a command of the gate."""
    from difflib import get_close_matches

    if not sources or os.path.exists(sources[0]):
        return
    for near in get_close_matches(sources[0], ("test", "plan"), 1, cutoff=0.7):
        raise QuestionError(
            f"{printable(sources[0])}: no such file or directory, and no command of the gate;"
            f" did you mean 'relhealth gate {near}'?"
        )


def asked_policy(
    path: Path | None, given: Mapping[str, object], sources: Sequence[str] = ()
) -> "Policy":
    """Return the policy of a command line, checked.

    ``given`` has the options that add a rule, and those that replace a setting of the policy's.
    Without a rule, the first of ``sources`` can be a mistyped command.
    """
    from relhealth.gate.policy import Rule
    from relhealth.gate.policy_file import from_document, read_policy

    kept = current().of_policy()
    found = from_document({}, kept) if path is None else read_policy(path, kept)
    asked = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and value != []
    }
    added = {name: asked.pop(name) for name in _RULE if name in asked}
    if "target" in added and "baseline" in added:
        raise QuestionError("--target and --baseline exclude each other: leave one out")
    rules: tuple[Rule, ...] = found.rule
    if "margin" in added:
        added["margin"] = _margin(str(added["margin"]))
    if added:
        rules = (*rules, Rule(**added))  # type: ignore[arg-type]
    if not rules:
        _refuse_mistyped(sources)
    policy = replace(found, rule=rules, **asked)  # type: ignore[arg-type]
    try:
        return policy.checked()
    except QuestionError as error:
        if path is None or str(error) != _fault(found):
            raise  # of the options
        raise QuestionError(f"{printable(str(path))}: {error}") from None


def _margin(text: str) -> float | str:
    """Return a margin as a policy has it; the check of the policy refuses other texts."""
    try:
        return float(text)
    except ValueError:
        return text


def _fault(policy: "Policy") -> str | None:
    try:
        policy.checked()
    except QuestionError as error:
        return str(error)
    return None
