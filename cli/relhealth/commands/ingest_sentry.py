"""``relhealth ingest --from-sentry``: its options, and what they do together."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from relhealth.commands import options
from relhealth.core.errors import ExitCode, QuestionError
from relhealth.core.windows import parse_instant, period_seconds
from relhealth.output.answer import Answer
from relhealth.output.talk import say

_SENTRY = "From Sentry"
_PERIOD = "90d"


class Sentry(NamedTuple):
    """What to read from Sentry."""

    from_sentry: Annotated[
        str | None,
        typer.Option(
            "--from-sentry",
            metavar="URL",
            help="Read the sessions of an organisation from this Sentry, such as https://sentry.io:"
            " what is new, and what has changed. Needs --org, and a token with the scope org:read"
            " in SENTRY_AUTH_TOKEN.",
            show_default=False,
            rich_help_panel=_SENTRY,
        ),
    ] = None
    environment: Annotated[
        list[str] | None,
        typer.Option(
            "--environment",
            "-e",
            metavar="ENVIRONMENT",
            help="Only sessions of this environment ('' = without one); repeat for more.",
            show_default=False,
            rich_help_panel=_SENTRY,
        ),
    ] = None
    period: Annotated[
        str | None,
        typer.Option(
            "--period",
            metavar=options.PERIOD,
            help=f"How far back to read: hours or days, up to 90d. Default: {_PERIOD}.",
            show_default=False,
            rich_help_panel=_SENTRY,
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="INSTANT",
            help="Read from this instant on, ISO 8601.",
            show_default=False,
            rich_help_panel=_SENTRY,
        ),
    ] = None

    def check(self, others: Sequence[str], org: str | None) -> None:
        """Refuse options without --from-sentry, and with it ``others`` and a missing --org."""
        if self.from_sentry is None:
            given = {
                "--environment": self.environment,
                "--period": self.period,
                "--since": self.since,
            }
            for name, value in given.items():
                if value:
                    raise QuestionError(f"{name} is for --from-sentry only")
            return
        if others:
            raise QuestionError(f"--from-sentry and {others[0]} exclude each other")
        if self.period is not None and self.since is not None:
            raise QuestionError("--period and --since exclude each other")
        if org is None:
            raise QuestionError(
                "--from-sentry needs --org: the name of the organisation, as in the address of its"
                " pages"
            )

    def until(self, now: str | None) -> tuple[datetime, datetime]:
        """Return from when until when to read; raises ``QuestionError``."""
        at = datetime.now(UTC) if now is None else parse_instant(now, or_latest=False)
        if self.since is None:
            return at - timedelta(seconds=period_seconds(self.period or _PERIOD)), at
        since = parse_instant(self.since, or_latest=False)
        if since >= at:
            raise QuestionError(f"--since {self.since}: not before now")
        return since, at


def from_sentry(
    asked: Sentry,
    answer: Answer,
    to: Path,
    *,
    org: str,
    projects: Sequence[int],
    now: str | None,
    replace: bool,
    strict: bool,
    most_rejected: float,
    memory_limit: str | None,
    threads: int | None,
    waiting: Callable[[], None],
) -> None:
    """Read sessions from Sentry into a data set, and report what was read."""
    from relhealth.ingest.sentry.connection import Connection, Place, Token
    from relhealth.ingest.sentry.run import Source, ingest
    from relhealth.ingest.sentry.windows import Scope
    from relhealth.machine import memory
    from relhealth.output.layouts.from_sentry import from_sentry_report
    from relhealth.output.progress import progress
    from relhealth.stores.addresses import refuse_to_write

    since, until = asked.until(now)
    place = Place.of(asked.from_sentry or "", org)
    refuse_to_write(to, "write to a folder, then copy it, such as with aws s3 sync")
    scope = Scope(tuple(projects), tuple(asked.environment or ()))
    told = (lambda _: None) if answer.quiet else say
    memory.use_one_heap()
    with progress(quiet=answer.quiet) as observer:
        found = ingest(
            Source(place, scope),
            Connection(place, Token.of_environment(), say=told),
            to,
            since,
            until,
            replace=replace,
            strict=strict,
            most_rejected=most_rejected,
            memory_limit=memory_limit,
            threads=threads,
            observer=observer,
            waiting=waiting,
        )
    answer.give(from_sentry_report(found))
    for fault in found.faults:
        say(f"error: {fault}")
    if found.faults:
        raise typer.Exit(ExitCode.DATA)
