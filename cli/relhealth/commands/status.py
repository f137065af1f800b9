"""``relhealth status``: a word for each release that matters."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relhealth.commands import gate_options, options
from relhealth.commands.configuration import current
from relhealth.commands.opening import How, is_place
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.given import origin
from relhealth.output.answer import Answer
from relhealth.output.formats import PAGES, ROWS
from relhealth.output.talk import say

if TYPE_CHECKING:
    from relhealth.gate.glance import Word
    from relhealth.gate.policy import Policy
    from relhealth.gate.status import ReleaseStatus
    from relhealth.questions.listing import Listing

    Words = dict[tuple[int, str], Word]


def status(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            default_factory=list,
            help="What to read, as in other commands; the last word can be a release to ask about:"
            " RELEASE, PROJECT/RELEASE or a part of its name.",
            show_default=False,
        ),
    ],
    release: options.Releases = None,
    project: options.Projects = None,
    environment: options.Environments = None,
    where: options.Where = None,
    org: options.Org = None,
    policy: gate_options.PolicyFile = None,
    now: options.Now = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="End as a gate: 1 if a release is bad, 3 if it is too early or there are no data.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    watch: Annotated[
        str | None,
        typer.Option(
            "--watch",
            metavar="LENGTH",
            help="Look again each LENGTH, such as 60s, until Ctrl-C, and mark what changed.",
            show_default=False,
            rich_help_panel=options.WHEN,
        ),
    ] = None,
    format: options.PageFormatOption = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    *,
    how: How,
) -> None:
    """Say which releases are BAD or OK, for which it is TOO EARLY, and why, a line each.

    These are the newest version of each package, those that many use, and bad ones. The limits are
    those of the policy, else 99.5 and 98 percent of crash-free sessions.

    Examples:

      relhealth status data/

      relhealth status data/ 4.2.0 --check
    """
    from relhealth.core.scope import parse_release_filter
    from relhealth.gate.glance import Word
    from relhealth.gate.status import verdict_of
    from relhealth.gate.verdict import EXIT_CODES
    from relhealth.output.layouts.status import status_report

    sources, named = _split(sources)
    asked = [parse_release_filter(one) for one in [*(release or ()), *named]]
    path = gate_options.policy_file(policy)
    given: dict[str, object] = {
        "projects": project,
        "environments": environment,
        "max_age": how.max_age,
    }
    rules = _policy(path, given)
    pause = None if watch is None else _pause(watch, now)
    answer = Answer.to(
        format, output, quiet=how.quiet, formats=(*ROWS, *PAGES), sources=sources, where=where
    )
    before: Words | None = None

    def look() -> "Listing[ReleaseStatus]":
        with how.by_policy().opened(answer, sources, org=org) as health:
            found = health.status(asked or None, rules, where=where or None, now=now)
            if all(row.status is Word.NO_DATA for row in found.rows):
                names = {row.release for row in found.rows} if asked else ()
                how.explain_empty(answer, health, found.window.start, names)
            page = answer.page(found, health)
        if pause is not None and output is None and sys.stdout.isatty():
            sys.stdout.write("\x1b[2J\x1b[H")  # clear the screen
        report = status_report(
            found, origin=gate_options.origin_of(path), latest=now == "latest", before=before
        )
        answer.give(report._replace(page=page), health.engines)
        return found

    found = look()
    while pause is not None:
        before = {(row.project_id, row.release): row.status for row in found.rows}
        time.sleep(pause)
        try:
            found = look()
        except DataError as error:  # of a file that is just being written, say
            for fault in error.faults:
                say(f"error: {fault}")
    code = EXIT_CODES[verdict_of(found.rows)]
    if check and code:
        raise typer.Exit(code)


def _split(given: list[str]) -> tuple[list[str], list[str]]:
    """Split sources from a release at the end: what is no place is a name.

    Of one word alone, only if the settings have sources.
    """
    kept = current().defaults.get("sources", [])
    if not given or (len(given) == 1 and not kept) or given == kept or is_place(given[-1]):
        return given, []
    return given[:-1] or kept, given[-1:]


def _policy(path: Path | None, given: dict[str, object]) -> "Policy":
    from relhealth.gate.glance import CRITICAL, TARGET

    if path is None or not gate_options.has_rules(path):
        given |= {"target": TARGET, "critical": CRITICAL}
    return gate_options.asked_policy(path, given)


def _pause(watch: str, now: str | None) -> float:
    from relhealth.core.windows import parse_length

    if now not in {None, "latest"}:
        raise QuestionError(f"--watch looks as time goes by: leave {origin(now, '--now')} out")
    return parse_length(watch).total_seconds()
