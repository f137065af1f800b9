"""``relhealth gate``: pass, fail, or cannot decide yet."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relhealth.commands import gate_options, options
from relhealth.commands.opening import How
from relhealth.core.errors import DataError, ExitCode, OutputError, QuestionError, exit_code
from relhealth.core.given import origin
from relhealth.output.answer import Answer
from relhealth.output.formats import METRICS, PAGES, ROWS, Format
from relhealth.output.github import tell_github
from relhealth.output.talk import say

if TYPE_CHECKING:
    from relhealth import ReleaseHealth
    from relhealth.gate.outcome import Gate
    from relhealth.gate.policy import Policy
    from relhealth.output.html.content import Page


class Mapped(StrEnum):
    """How an inconclusive gate counts."""

    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"


_FORMATS = (*ROWS, *PAGES, Format.JUNIT, Format.GITLAB, *METRICS)


def gate(
    sources: options.Sources,
    release: Annotated[
        list[str] | None,
        typer.Option(
            "--release",
            "-r",
            metavar="RELEASE",
            help="The release to judge, RELEASE or PROJECT/RELEASE, or 'latest': the newest"
            " version of each project and package; repeat for more.",
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
    min_sessions: gate_options.MinSessions = None,
    min_users: gate_options.MinUsers = None,
    confidence: gate_options.Confidence = None,
    sequential: gate_options.Sequential = None,
    inconclusive: Annotated[
        Mapped | None,
        typer.Option(
            "--inconclusive",
            metavar="VERDICT",
            help="How an inconclusive gate counts: inconclusive, pass or fail.",
            show_default=False,
            rich_help_panel=gate_options.POLICY,
        ),
    ] = None,
    period: gate_options.GatePeriod = None,
    settle: gate_options.Settle = None,
    stable: gate_options.Stable = None,
    now: options.Now = None,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait",
            metavar="LENGTH",
            help="While inconclusive, look again, for up to this long, such as 2h.",
            show_default=False,
            rich_help_panel=options.HOW,
        ),
    ] = None,
    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="LENGTH",
            help="The time between the looks of --wait.",
            rich_help_panel=options.HOW,
        ),
    ] = "5m",
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE",
            help="Add this look to a file, and warn if a policy for one look is asked again.",
            show_default=False,
            rich_help_panel=options.HOW,
        ),
    ] = None,
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
    *,
    how: How,
) -> None:
    """Judge a release by a policy: pass (0), fail (1), or cannot decide yet (3).

    Examples:

      relhealth gate data/ -r shop@4.2.0 --target 99.5 --critical 99

      relhealth gate data/ -r latest --policy relhealth.toml --report junit=gate.xml

      relhealth gate data/ -r shop@4.2.0 --baseline prevailing --margin 0.2

      relhealth gate data/ -r shop@4.2.0 --target 99.5 --sequential --wait 2h
    """

    def judged() -> ExitCode:
        path = policy
        try:
            path = gate_options.policy_file(policy)
            answer = Answer.to(
                format,
                output,
                quiet=how.quiet,
                formats=_FORMATS,
                sources=sources,
                reports=report or (),
                where=where,
            )
            found = gate_options.asked_policy(
                path,
                {
                    "metric": metric,
                    "target": target,
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
                    "inconclusive": inconclusive.value if inconclusive else None,
                },
                sources,
            )
            from relhealth.core.scope import parse_release_filter
            from relhealth.gate.verdict import EXIT_CODES, Verdict
            from relhealth.output.layouts.gate import gate_report

            if not release:
                raise QuestionError("no release to judge: name one with --release, or 'latest'")  # noqa: TRY301
            asked = [parse_release_filter(one) for one in release]

            ages: dict[int, float] = {}
            pages: list[Page | None] = []

            def look() -> "tuple[Gate, ReleaseHealth]":
                with how.by_policy().opened(answer, sources, org=org) as health:
                    with how.explaining(health):
                        gate = health.gate(
                            asked, found, where=where or None, now=now, history=history
                        )
                    how.hint_unless(gate.has_any_data, answer, health)
                    if answer.has_metrics:
                        judged = {project for project, _ in gate.releases}
                        within = found.environments
                        ages.update(health.session_ages(judged, environments=within, now=now))
                    pages.append(answer.page(gate, health))
                    return gate, health

            outcome, health = waited(look, found, wait, every, now)
            origin = gate_options.origin_of(path)
            told = gate_report(outcome, origin=origin, explain=explain, ages=ages)
            told = told._replace(page=pages[-1])
            answer.give(told, health.engines)
            if how.quiet and outcome.outcome is not Verdict.PASS:
                say(told.summary)
        except BrokenPipeError:
            raise  # an error of stdout: the verdict and the reports stay
        except BaseException as error:
            files = _files(format, output, report or (), sources)
            _tell_error(files, error, gate_options.origin_of(path))
            raise
        tell_github(told)
        return EXIT_CODES[outcome.outcome]

    code = dry(judged) if dry_run else judged()
    if code:
        raise typer.Exit(code)


def waited(
    look: "Callable[[], tuple[Gate, ReleaseHealth]]",
    policy: "Policy",
    wait: str | None,
    every: str,
    now: str | None,
) -> "tuple[Gate, ReleaseHealth]":
    """Look once, or, while inconclusive, again and again until the wait is over."""
    from relhealth.core.numerals import seconds
    from relhealth.core.windows import iso, parse_length
    from relhealth.gate.looks import is_for_one_look, warning
    from relhealth.gate.verdict import Verdict

    if wait is None:
        return look()
    if is_for_one_look(policy):
        say(f"warning: {warning('--wait looks again and again')}")
    if now not in {None, "latest"}:
        raise QuestionError(f"--wait looks as time goes by: leave {origin(now, '--now')} out")
    step, ends = (
        parse_length(every).total_seconds(),
        time.monotonic() + parse_length(wait).total_seconds(),
    )
    while True:
        outcome, health = look()
        left = ends - time.monotonic()
        if outcome.verdict is not Verdict.INCONCLUSIVE or left <= 0:
            return outcome, health
        pause = min(step, left)
        say(f"inconclusive at {iso(outcome.now)}; the next look is in {seconds(pause)}")
        time.sleep(pause)


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


def _tell_error(files: Iterator[Answer], error: BaseException, origin: str | None) -> None:
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
