"""``relhealth ingest``: session metrics from what SDKs, pipelines and logs emit."""

from pathlib import Path
from typing import Annotated

import typer

from relhealth import options
from relhealth.answer import Answer
from relhealth.errors import QuestionError
from relhealth.ingest.kinds import Kind
from relhealth.render import Format
from relhealth.talk import say

_INPUT = "What comes in"


def ingest(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, directories (read recursively), or - for standard input.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DATASET", help="The folder of the data set.", show_default=False
        ),
    ],
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--from",
            help="What the inputs are. Default: told by their content.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    project: Annotated[
        int | None,
        typer.Option(
            "--project",
            "-p",
            metavar="ID",
            help="The project of sessions that do not tell theirs.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    org: Annotated[
        int | None,
        typer.Option(
            "--org",
            metavar="ID",
            help="The organisation of sessions that do not tell theirs.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="The column of a table that holds a field; repeat for more.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="WORD=STATUS",
            help="What a table's word for a status means, such as bad=crashed; repeat for more.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    retention: Annotated[
        str,
        typer.Option(
            "--retention",
            metavar="DAYS",
            help="Reject sessions that started longer ago, such as 90d.",
            rich_help_panel=_INPUT,
        ),
    ] = "90d",
    now: options.IngestNow = None,
    format: options.TableOrJson = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    strict: options.Strict = False,
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Make session metrics of Sentry envelopes, metric buckets or tables of sessions.

    An input is added whole or not at all, and once however often it is named.

    Examples:

      relhealth ingest envelopes/ --to data/ --project 1

      kcat -C -t ingest-metrics -e | relhealth ingest - --to data/

      relhealth ingest sessions.csv --to data/ --map session_id=uuid --status bad=crashed
    """
    answer = Answer.to(format, output, quiet=quiet, formats=(Format.TABLE, Format.JSON))
    from relhealth.ingest.run import Plan
    from relhealth.ingest.run import ingest as run
    from relhealth.ingest.staging import Span
    from relhealth.ingestion_report import ingestion_report
    from relhealth.render.progress import progress

    plan = Plan(
        span=Span.until(now, retention),
        kind=kind,
        project=project,
        org=org,
        columns=_pairs("--map", columns),
        statuses=_pairs("--status", statuses),
    )
    with progress(quiet=quiet) as observer:
        found = run(
            inputs,
            to,
            plan,
            strict=strict,
            memory_limit=memory_limit,
            threads=threads,
            observer=observer,
            waiting=lambda: say(f"waiting for another change of {to}"),
        )
    answer.give(ingestion_report(found))


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise QuestionError(f"{option} {text}: expected two words with = between them")
        pairs[key] = value
    return pairs
