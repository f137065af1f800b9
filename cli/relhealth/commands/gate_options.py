"""The options that ``gate`` and ``gate test`` share, and the policy that they make."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relhealth.commands import options
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable

if TYPE_CHECKING:
    from relhealth.gate.glance import Limits
    from relhealth.gate.policy import Policy

POLICY = "Policy"
_TOOL = re.compile(rb"""tool["'\s]*(\.["'\s]*relhealth|\]|=)""")  # of TOML

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="The policy. Default: relhealth.toml here, else \\[tool.relhealth] in pyproject.toml.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
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
        " seconds).",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Critical = Annotated[
    float | None,
    typer.Option(
        "--critical",
        metavar="PERCENT",
        help="Fail if the metric is worse than this with confidence. Default: the target.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="RELEASE|prevailing|previous",
        help="Add a rule: pass if the metric is, with confidence, not worse than this release's by"
        " more than the margin. 'prevailing' is the release that most users had before.",
        show_default=False,
        rich_help_panel=POLICY,
    ),
]
Margin = Annotated[
    str | None,
    typer.Option(
        "--margin",
        metavar="POINTS|SHARE%",
        help="How much worse than the baseline is acceptable: in percentage points (durations:"
        " seconds), or relative, such as 20%. Default baseline: prevailing.",
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
MaxAge = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="AGE",
        help="Refuse data whose newest session is older, such as 3h.",
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
    """Return the policy's file: the one that the user named, else the one in this folder."""
    from relhealth.gate.policy_file import find_policy

    return named or find_policy(Path())


def origin_of(path: Path | None) -> str | None:
    """Return the policy's file for the answer, if one was read."""
    return None if path is None else str(path)


def limits(named: Path | None) -> "Limits":
    """Return the limits of the policy, as ``policy_file`` finds it, else those without one."""
    from relhealth.gate.glance import Limits

    if named is None and not _may_have_policy():
        return Limits()
    path = policy_file(named)
    from relhealth.gate.policy_file import read_policy

    if path is None or not read_policy(path).rule:
        return Limits()
    return Limits.of(asked_policy(path, {}))


def _may_have_policy() -> bool:
    """Look for a policy in this folder without reading TOML: an overview is to start fast."""
    if os.path.lexists("relhealth.toml"):
        return True
    try:
        content = Path("pyproject.toml").read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # reading it says what is wrong
    return _TOOL.search(content) is not None


def asked_policy(path: Path | None, given: Mapping[str, object]) -> "Policy":
    """Return the policy of a command line, checked.

    ``given`` has the options that add a rule, and those that replace a setting of the policy's.
    """
    from relhealth.gate.policy import Policy, Rule
    from relhealth.gate.policy_file import read_policy

    found = read_policy(path) if path is not None else Policy()
    asked = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and value != []
    }
    added = {name: asked.pop(name) for name in _RULE if name in asked}
    rules: tuple[Rule, ...] = found.rule
    if "margin" in added:
        added["margin"] = _margin(str(added["margin"]))
    if added:
        rules = (*rules, Rule(**added))  # type: ignore[arg-type]
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
