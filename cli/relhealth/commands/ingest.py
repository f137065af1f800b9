"""``relhealth ingest``: makes session metrics from what SDKs, pipelines and logs emit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relhealth.commands import options
from relhealth.commands.configuration import current
from relhealth.commands.ingest_kafka import Kafka, consumed
from relhealth.commands.ingest_sentry import Sentry, from_sentry
from relhealth.commands.opening import refuse_cluster
from relhealth.core.errors import ExitCode, QuestionError
from relhealth.core.given import origin
from relhealth.core.printable import printable
from relhealth.core.project_names import project_id
from relhealth.core.settings_file import read
from relhealth.ingest.kinds import InputKind, Unknown
from relhealth.output.answer import Answer
from relhealth.output.formats import Format
from relhealth.output.talk import say
from relhealth.stores.limits import DEFAULT_SIZE

if TYPE_CHECKING:
    from relhealth.ingest.run import Ingested

_INPUT = "Input"
_KNOWN = "Earlier inputs"


def ingest(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Files, directories (read recursively), or - for standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DATASET", help="The folder of the data set.", show_default=False
        ),
    ],
    kind: Annotated[
        InputKind | None,
        typer.Option(
            "--from",
            metavar="KIND",
            help="What the inputs are: envelopes, buckets, kafka, csv, jsonl or parquet."
            " Default: recognised by their content.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    project: Annotated[
        list[int] | None,
        typer.Option(
            "--project",
            "-p",
            metavar="PROJECT",
            parser=project_id,
            help="The project of sessions that do not name one: its id, or its name in \\[projects]"
            " of relhealth.toml. From Sentry: only this project; repeat for more.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    org: Annotated[
        str | None,
        typer.Option(
            "--org",
            metavar="ORG",
            help="The organisation of sessions that do not name one: its id. From Sentry: the name"
            " of the organisation, as in the address of its pages.",
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
    dimensions: Annotated[
        list[str] | None,
        typer.Option(
            "--dimension",
            metavar="NAME=COLUMN",
            help="A further column of the data set, such as os, from a column of a table, an"
            " attribute of sessions or a tag of buckets; NAME alone if both have the same name."
            " Repeat for more.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            metavar="WORD=STATUS",
            help="What a table's word for a status means, such as bad=crashed, or =exited for a"
            " missing one; repeat for more.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    unknown_status: Annotated[
        Unknown | None,
        typer.Option(
            "--unknown-status",
            metavar="ACTION",
            help="What to do with a table's rows whose word for a status is unknown: stop, or"
            " reject them. Default: stop.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    no_status: Annotated[
        bool,
        typer.Option(
            "--no-status",
            help="The table has no status column: every session ended normally.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    no_release: Annotated[
        bool,
        typer.Option(
            "--no-release",
            help="The table has no release column: no session has a release.",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--mapping",
            metavar="FILE",
            help="A TOML file with these options. Default: \\[ingest] of relhealth.toml.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            "--retention",
            metavar="DAYS",
            help="Reject sessions that started longer ago. Default: 90d.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    max_rejected: Annotated[
        str,
        typer.Option(
            "--max-rejected",
            metavar="PERCENT",
            help="End with 4 if more of the items are rejected, after adding the good ones.",
            rich_help_panel=_INPUT,
        ),
    ] = "5%",
    sentry: Sentry,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show how relhealth would read the inputs, with three sessions; write nothing.",
            rich_help_panel=_KNOWN,
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Ingest each input again and remove what it added before.",
            rich_help_panel=_KNOWN,
        ),
    ] = False,
    forget: Annotated[
        str | None,
        typer.Option(
            "--forget",
            metavar="INPUT",
            help="Take an input out of the data set: its name, path, or digest.",
            show_default=False,
            rich_help_panel=_KNOWN,
        ),
    ] = None,
    list_inputs: Annotated[
        bool,
        typer.Option(
            "--list",
            help="List the inputs, with their times and options.",
            rich_help_panel=_KNOWN,
        ),
    ] = False,
    kafka: Kafka,
    now: options.IngestNow = None,
    format: options.TableOrJson = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    strict: options.Strict = False,
    engine: options.NoEngine = None,
    spark: options.NoSpark = None,
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    cache_size: options.CacheSize = DEFAULT_SIZE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Make session metrics from Sentry, SDKs, Kafka or tables of sessions.

    Adds each input once, and completely or not at all.

    Examples:

      relhealth ingest envelopes/ --to data/ --project 1

      kcat -C -J -t ingest-metrics -e | relhealth ingest - --to data/

      relhealth ingest sessions.csv --to data/ --status bad=crashed

      relhealth ingest sessions.csv --to data/ --dimension device=model

      relhealth ingest --from-sentry https://sentry.io --org acme --to data/

      relhealth ingest --from-sentry https://sentry.io --org acme -p 1 --to data/

      relhealth ingest --from-kafka kafka:9092 --group relhealth --to data/

      relhealth ingest --from-kafka kafka:9092 --group cron --to data/ --until-end
    """
    if now == "latest" and origin(now):  # the variable is for questions, too
        now = None
    refuse_cluster("ingest", [*(inputs or ()), to], engine=engine, spark=spark)
    _check_action(
        inputs,
        forget=forget,
        listed=list_inputs,
        replace=replace,
        dry_run=dry_run,
        from_kafka=kafka.from_kafka,
    )
    kafka.check()
    of_others = {
        "an INPUT": inputs,
        "--from": kind,
        "--map": columns,
        "--dimension": dimensions,
        "--status": statuses,
        "--unknown-status": unknown_status,
        "--no-status": no_status,
        "--no-release": no_release,
        "--mapping": mapping,
        "--retention": retention,
        "--dry-run": dry_run,
        "--forget": forget is not None,
        "--list": list_inputs,
        "--from-kafka": kafka.from_kafka is not None,
    }
    sentry.check([name for name, given in of_others.items() if given], org)
    answer = Answer.to(format, output, quiet=quiet, formats=(Format.TABLE, Format.JSON))
    from relhealth.output.layouts.ingestion import ingestion_report
    from relhealth.output.layouts.inputs import forgotten_report, inputs_report
    from relhealth.output.progress import progress

    def waiting() -> None:
        say(f"waiting for another change of {to}")

    if sentry.from_sentry is not None:
        from_sentry(
            sentry,
            answer,
            to,
            org=org or "",
            projects=project or [],
            now=now,
            replace=replace,
            strict=strict,
            most_rejected=_share(max_rejected),
            memory_limit=memory_limit,
            threads=threads,
            waiting=waiting,
        )
        return
    if list_inputs:
        from relhealth.ingest.run import ingested_inputs

        answer.give(inputs_report(ingested_inputs(to)))
        return
    faults: tuple[str, ...] = ()
    from relhealth.ingest import run
    from relhealth.ingest.settings import Settings, settings_of
    from relhealth.machine import memory
    from relhealth.stores.addresses import refuse_to_write
    from relhealth.stores.mirror import mirrored

    memory.use_one_heap()
    with progress(quiet=quiet) as observer:
        if forget is not None:
            forgotten = run.forget(
                forget,
                to,
                memory_limit=memory_limit,
                threads=threads,
                observer=observer,
                waiting=waiting,
            )
            report = forgotten_report(forgotten)
        else:
            given = Settings(
                map=_pairs("--map", columns),
                dimensions=_dimensions(dimensions),
                status=_pairs("--status", statuses, empty_key=True),
                project=_one_project(project),
                org=_org_id(org),
                kind=kind,
                no_status=no_status or None,
                no_release=no_release or None,
                unknown_status=unknown_status,
                retention=retention,
            )
            file = current().file if mapping is None else read(mapping, "the mapping")
            settings = given.over(settings_of(file, named=mapping is not None))
            refuse_to_write(to, "write to a folder, then copy it, such as with aws s3 sync")
            options_of_run: dict[str, Any] = {
                "strict": strict,
                "most_rejected": _share(max_rejected),
                "memory_limit": memory_limit,
                "threads": threads,
                "waiting": waiting,
            }
            if kafka.from_kafka is None:
                plan = settings.plan(now)
                with mirrored(inputs or [], cache_size, observer) as local:
                    found = run.ingest(
                        local,
                        to,
                        plan,
                        replace=replace,
                        dry_run=dry_run,
                        observer=observer,
                        **options_of_run,
                    )
            else:

                def take(path: str, stream: str) -> "Ingested":
                    # The span of time in which sessions are accepted goes on.
                    plan = settings.plan(now)
                    return run.ingest([path], to, plan, stream=stream, **options_of_run)

                found = consumed(kafka, take, quiet=quiet)
            report, faults = ingestion_report(found, dry_run=dry_run), found.faults
    answer.give(report)
    for fault in faults:
        say(f"error: {fault}")
    if faults:
        raise typer.Exit(ExitCode.DATA)


def _check_action(
    inputs: list[str] | None,
    *,
    forget: str | None,
    listed: bool,
    replace: bool,
    dry_run: bool,
    from_kafka: str | None,
) -> None:
    """Refuse inputs that have no effect, and two actions at once."""
    given = {
        "--forget": forget is not None,
        "--list": listed,
        "--from-kafka": from_kafka is not None,
    }
    alone = [name for name, is_given in given.items() if is_given]
    given = {"--replace": replace, "--dry-run": dry_run}
    others = [name for name, is_given in given.items() if is_given]
    if alone and (inputs or others or len(alone) > 1):
        beside = [*alone[1:], *others, *(["an INPUT"] if inputs else [])][0]
        raise QuestionError(f"{alone[0]} and {beside} exclude each other")


def _one_project(projects: list[int] | None) -> int | None:
    """Return the project of sessions that name none; only of Sentry there can be several."""
    if projects and len(projects) > 1:
        raise QuestionError("--project: several are for --from-sentry only")
    return projects[0] if projects else None


def _org_id(org: str | None) -> int | None:
    """Return the organisation of sessions that name none."""
    try:
        return None if org is None else int(org)
    except ValueError:
        raise QuestionError(
            f"--org {printable(org or '')}: expected the id of an organisation, a whole number;"
            " its name is for --from-sentry"
        ) from None


def _share(text: str) -> float:
    """Return the share, 0 to 1, of a text in percent."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:  # noqa: PLR2004 - percent
        raise QuestionError(f"--max-rejected {text}: expected percent, such as 5%")
    return percent / 100


def _dimensions(texts: list[str] | None) -> dict[str, str]:
    """Return the column of each dimension; without one, it has the name of the dimension."""
    return _pairs("--dimension", [one if "=" in one else f"{one}={one}" for one in texts or ()])


def _pairs(option: str, texts: list[str] | None, *, empty_key: bool = False) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.rpartition("=") if empty_key else text.partition("=")
        if not (equals and value and (key or empty_key)):
            raise QuestionError(f"{option} {text}: expected two words with = between them")
        if pairs.setdefault(key, value) != value:
            raise QuestionError(f"{option} {key}: given twice, as {pairs[key]} and as {value}")
    return pairs
