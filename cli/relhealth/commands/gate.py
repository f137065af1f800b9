"""``relhealth gate``: pass, fail, or cannot decide yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import opened
from relhealth.core.errors import DataError, ExitCode, OutputError, QuestionError, exit_code
from relhealth.core.printable import printable
from relhealth.output.answer import Answer
from relhealth.output.formats import METRICS, ROWS, Format
from relhealth.output.github import tell_github
from relhealth.output.talk import say

if TYPE_CHECKING:
    from relhealth.gate.policy import Policy

_POLICY = "Policy"


class Mapped(StrEnum):
    """How an inconclusive gate counts."""

    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="The policy. Default: relhealth.toml here, else \\[tool.relhealth] in pyproject.toml.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="The metric of the rule that --target or --baseline adds. Default: crash-free users"
        " if the release has users, else sessions; with --sequential always sessions.",
        show_default=False,
        rich_help_panel=_POLICY,
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
        rich_help_panel=_POLICY,
    ),
]
Critical = Annotated[
    float | None,
    typer.Option(
        "--critical",
        metavar="PERCENT",
        help="Fail if the metric is worse than this with confidence. Default: the target.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="RELEASE|previous",
        help="Add a rule: pass if the metric is, with confidence, not worse than this release's by"
        " more than the margin.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        "--margin",
        metavar="POINTS",
        help="The margin of --baseline, in percentage points.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
MinSessions = Annotated[
    int | None,
    typer.Option(
        "--min-sessions",
        metavar="N",
        help="Judge by --target or --baseline only with at least this many sessions.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
MinUsers = Annotated[
    int | None,
    typer.Option(
        "--min-users",
        metavar="N",
        help="Judge by --target or --baseline only with at least this many users.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        metavar="SHARE",
        help="The confidence of each bound, such as 0.95.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
Sequential = Annotated[
    bool | None,
    typer.Option(
        "--sequential/--one-look",
        help="Use bounds that are valid at any number of looks, on all data since the release"
        " was first seen.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
MaxAge = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="AGE",
        help="Refuse data whose newest session is older, such as 3h.",
        show_default=False,
        rich_help_panel=_POLICY,
    ),
]
GatePeriod = Annotated[
    str | None,
    typer.Option(
        "--period",
        metavar=options.PERIOD_WORDS,
        help="Judge sessions of this much time before now. Default: the policy's, else 24h.",
        show_default=False,
        rich_help_panel=options.WHEN,
    ),
]


_RULE = ("metric", "target", "critical", "baseline", "margin", "min_sessions", "min_users")


_FORMATS = (*ROWS, Format.JUNIT, Format.GITLAB, *METRICS)


def policy_file(named: Path | None) -> Path | None:
    """Return the policy's file: the one that the user named, else the one in this folder."""
    from relhealth.gate.policy import find_policy

    return named or find_policy(Path())


def origin_of(path: Path | None) -> str:
    """Return the origin of the policy for the answer."""
    from relhealth.gate.policy import FILE

    return FILE if path is None else str(path)


def asked_policy(path: Path | None, given: Mapping[str, object]) -> "Policy":
    """Return the policy of a command line, checked.

    ``given`` has the options that add a rule, and those that replace a setting of the policy's.
    """
    from relhealth.gate.policy import Policy, Rule, read_policy

    found = read_policy(path) if path is not None else Policy()
    asked = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and value != []
    }
    added = {name: asked.pop(name) for name in _RULE if name in asked}
    rules: tuple[Rule, ...] = found.rule
    if added:
        rules = (*rules, Rule(**added))  # type: ignore[arg-type]
    policy = replace(found, rule=rules, **asked)  # type: ignore[arg-type]
    try:
        return policy.checked()
    except QuestionError as error:
        if path is None or str(error) != _fault(found):
            raise  # of the options
        raise QuestionError(f"{printable(str(path))}: {error}") from None


def _fault(policy: "Policy") -> str | None:
    try:
        policy.checked()
    except QuestionError as error:
        return str(error)
    return None


def gate(
    sources: options.Sources,
    release: Annotated[
        list[str] | None,
        typer.Option(
            "--release",
            "-r",
            metavar="[PROJECT/]RELEASE|latest",
            help="The release to judge, or 'latest': the newest version of each project and"
            " package; repeat for more.",
            show_default=False,
            rich_help_panel=options.WHO,
        ),
    ] = None,
    project: options.Projects = None,
    environment: options.Environments = None,
    org: options.Org = None,
    policy: PolicyFile = None,
    metric: MetricOption = None,
    target: Target = None,
    critical: Critical = None,
    baseline: Baseline = None,
    margin: Margin = None,
    min_sessions: MinSessions = None,
    min_users: MinUsers = None,
    confidence: Confidence = None,
    sequential: Sequential = None,
    inconclusive: Annotated[
        Mapped | None,
        typer.Option(
            "--inconclusive",
            help="How an inconclusive gate counts.",
            show_default=False,
            rich_help_panel=_POLICY,
        ),
    ] = None,
    period: GatePeriod = None,
    max_age: MaxAge = None,
    now: options.Now = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show the data and method behind each verdict.",
            rich_help_panel=options.OUT,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="End with 0 for any verdict, and if there is none, and print the exit code that"
            " the gate would have used. Not for an invalid command line (2) or an internal"
            " error (70).",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    format: options.GateFormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    report: options.Reports = None,
    strict: options.Strict = False,
    engine: options.EngineOption = "auto",
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Judge a release by a policy: pass (0), fail (1), or cannot decide yet (3).

    Examples:

      relhealth gate data/ -r shop@4.2.0 --target 99.5 --critical 99

      relhealth gate data/ -r latest --policy relhealth.toml --report junit=gate.xml

      relhealth gate data/ -r shop@4.2.0 --baseline previous --margin 0.2 --explain
    """

    def judged() -> ExitCode:
        path = policy
        try:
            path = policy_file(policy)
            answer = Answer.to(
                format,
                output,
                quiet=quiet,
                formats=_FORMATS,
                sources=sources,
                reports=report or (),
            )
            found = asked_policy(
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
                    "inconclusive": inconclusive.value if inconclusive else None,
                },
            )
            from relhealth.core.scope import parse_release_filter
            from relhealth.output.layouts.gate import EXIT_CODES, gate_report

            if not release:
                raise QuestionError("no release to judge: name one with --release, or 'latest'")  # noqa: TRY301
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
                outcome = health.gate(
                    [parse_release_filter(one) for one in release], found, now=now
                )
            told = gate_report(outcome, origin=origin_of(path), explain=explain)
            answer.give(told, health.engines)
        except BrokenPipeError:
            raise  # an error of stdout: the verdict and the reports stay
        except BaseException as error:
            files = _files(format, output, report or (), sources)
            _tell_error(files, error, origin_of(path))
            raise
        tell_github(told)
        return EXIT_CODES[outcome.outcome]

    code = dry(judged) if dry_run else judged()
    if code:
        raise typer.Exit(code)


def dry(run: Callable[[], ExitCode]) -> ExitCode:
    """Run without effect on the exit code; print what it would have been.

    Other errors than those of the policy, data or files pass through.
    """
    try:
        code = run()
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"error: {error.filename or 'stdout'}: {(error.strerror or str(error)).lower()}")
        code = ExitCode.DATA
    except (QuestionError, DataError, OutputError) as error:
        for line in getattr(error, "faults", (str(error),)):
            say(f"error: {line}")
        code = exit_code(error)
    say(f"dry run: without it the exit code would be {int(code)}")
    return ExitCode.OK


def _files(
    format: Format | None,  # noqa: A002 - the option's name
    output: Path | None,
    reports: Sequence[str],
    sources: Sequence[str],
) -> Iterator[Answer]:
    """Yield an answer for each writable file, whatever is wrong with the others."""
    asked = [(format, output, ())] if output else []
    for named, path, beside in (*asked, *((None, None, (one,)) for one in reports)):
        with suppress(QuestionError, OutputError):
            answer = Answer.to(
                named, path, quiet=True, formats=_FORMATS, sources=sources, reports=beside
            )
            if answer.output is not None:
                answer = answer._replace(reports=((answer.chosen, answer.output),))
            yield answer


def _tell_error(files: Iterator[Answer], error: BaseException, origin: str) -> None:
    """Write every file if there is no verdict, because an old file would look like a pass."""
    from relhealth.output.layouts.gate import error_report

    faults = getattr(error, "faults", None) or (str(error) or type(error).__name__,)
    if not isinstance(error, Exception):
        faults = ("ended before there was a verdict",)
    told = error_report(faults, origin=origin)
    for one in files:
        with suppress(OutputError):
            one.give_reports(told)
    tell_github(told)
