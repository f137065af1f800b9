"""``relhealth receive``: a server for Sentry SDKs, whose sessions become a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relhealth.commands import options
from relhealth.commands.configuration import current
from relhealth.commands.opening import refuse_cluster
from relhealth.core.errors import QuestionError
from relhealth.core.printable import printable
from relhealth.output.talk import say
from relhealth.receive import check_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

_SENDERS = "Who may send"
_KEPT = "What is kept"
_PASSED = "Passing on"
_MOST_DAYS = 10_000
_KEEP = "90d"


def receive(
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="DATASET", help="The folder of the data set.", show_default=False
        ),
    ],
    listen: Annotated[
        str,
        typer.Option(
            "--listen",
            metavar="ADDRESS",
            help="Where SDKs send, HOST:PORT. Where other machines reach it, a key is required.",
        ),
    ] = "127.0.0.1:8090",
    *,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="RELHEALTH_RECEIVE_KEY",
            help="Only who has this key may send: KEY, or PROJECT:KEY for one project; repeat for"
            " more. SDKs have it in their DSN. Default on this machine alone: everybody.",
            show_default=False,
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="FILE",
            help="A file with a key on each line, as of --key.",
            show_default=False,
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert",
            metavar="FILE",
            help="A certificate with its chain, in PEM, for HTTPS.",
            show_default=False,
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key",
            metavar="FILE",
            help="The key of the certificate.",
            show_default=False,
            rich_help_panel=_SENDERS,
        ),
    ] = None,
    max_size: Annotated[
        str,
        typer.Option(
            "--max-size",
            metavar="SIZE",
            help="Refuse larger envelopes, with 413: before or after decompression.",
            rich_help_panel=_SENDERS,
        ),
    ] = "32MiB",
    max_connections: Annotated[
        int,
        typer.Option(
            "--max-connections",
            metavar="N",
            min=1,
            help="Refuse more connections at the same time, with 503.",
            rich_help_panel=_SENDERS,
        ),
    ] = 1000,
    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="LENGTH",
            help="Ingest what was received each LENGTH, such as 30s or 5m.",
            rich_help_panel=_KEPT,
        ),
    ] = "30s",
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="DAYS",
            help="Remove days of the data set that are older, and reject older sessions. Default:"
            " 90d.",
            show_default=False,
            rich_help_panel=_KEPT,
        ),
    ] = None,
    max_spool: Annotated[
        str,
        typer.Option(
            "--max-spool",
            metavar="SIZE",
            help="Answer 429 while more than this waits to be ingested.",
            rich_help_panel=_KEPT,
        ),
    ] = "1GB",
    org: Annotated[
        int | None,
        typer.Option(
            "--org",
            metavar="ID",
            min=0,
            max=2**63 - 1,
            help="The organisation of the sessions.",
            show_default=False,
            rich_help_panel=_KEPT,
        ),
    ] = None,
    dimensions: Annotated[
        list[str] | None,
        typer.Option(
            "--dimension",
            metavar="NAME",
            help="A further column of the data set, such as os, from the attribute NAME of"
            " sessions, or NAME=ATTRIBUTE; repeat for more.",
            show_default=False,
            rich_help_panel=_KEPT,
        ),
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(
            "--forward",
            metavar="DSN",
            envvar="RELHEALTH_FORWARD",
            help="Pass every envelope on to Sentry: to the project of a DSN, or, with the URL of a"
            " server, to the project and with the key that the SDK has.",
            show_default=False,
            rich_help_panel=_PASSED,
        ),
    ] = None,
    forward_limits: Annotated[
        bool,
        typer.Option(
            "--forward-limits",
            help="Tell SDKs the rate limits of Sentry, but for sessions.",
            rich_help_panel=_PASSED,
        ),
    ] = False,
    forward_queue: Annotated[
        str,
        typer.Option(
            "--forward-queue",
            metavar="SIZE",
            help="Drop envelopes, with a count, while more than this waits for Sentry.",
            rich_help_panel=_PASSED,
        ),
    ] = "64MB",
    metrics_listen: Annotated[
        str | None,
        typer.Option(
            "--metrics-listen",
            metavar="ADDRESS",
            help="Answer /health and /metrics at this HOST:PORT, and not where SDKs send.",
            show_default=False,
            rich_help_panel=options.HOW,
        ),
    ] = None,
    access_log: Annotated[
        bool,
        typer.Option(
            "--access-log",
            help="Write a line of JSON on stderr for each request.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    engine: options.NoEngine = None,
    spark: options.NoSpark = None,
    memory_limit: options.MemoryLimit = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Receive what Sentry SDKs send: their sessions become a data set, Sentry can have the rest.

    Point the DSN of an SDK here, such as http://KEY@127.0.0.1:8090/1 for project 1. An answer of
    200 means that the sessions are on disk. Ends on Ctrl-C or SIGTERM, after a last ingest.

    Examples:

      relhealth receive --to data/

      relhealth receive --to data/ --listen 0.0.0.0:8090 --keys keys.txt

      relhealth receive --to data/ --forward https://KEY@o1.ingest.sentry.io/42
    """
    refuse_cluster("receive", [to], engine=engine, spark=spark)
    check_installed()
    from relhealth.machine.memory import memory_bytes, size_in_bytes
    from relhealth.receive.keys import Keys, read_file
    from relhealth.receive.limits import Limits
    from relhealth.receive.server import run
    from relhealth.receive.settings import Settings, address_of
    from relhealth.receive.upstream import target_of
    from relhealth.stores.addresses import refuse_to_write

    refuse_to_write(to, "write to a folder, then copy it, such as with aws s3 sync")
    if memory_limit is not None:
        memory_bytes(memory_limit)
    words = [*(key or ()), *(read_file(keys) if keys is not None else ())]
    settings = Settings(
        dataset=to.absolute(),
        listen=address_of("--listen", listen),
        keys=Keys(words),
        forward=None if forward is None else target_of(forward),
        forward_limits=forward_limits,
        forward_bytes=size_in_bytes("--forward-queue", forward_queue),
        every=_seconds(every),
        keep_days=_kept_days(to, keep),
        spool_bytes=size_in_bytes("--max-spool", max_spool),
        metrics_listen=(
            None if metrics_listen is None else address_of("--metrics-listen", metrics_listen)
        ),
        tls_cert=tls_cert,
        tls_key=tls_key,
        access_log=access_log,
        org=org,
        dimensions=_named(dimensions),
        memory_limit=memory_limit,
        limits=Limits(body=size_in_bytes("--max-size", max_size), connections=max_connections),
    )
    current()
    run(settings, _silent if quiet else say)


def _silent(_line: str) -> None:
    """Say nothing."""


def _seconds(text: str) -> float:
    from relhealth.core.windows import parse_length

    try:
        return parse_length(text).total_seconds()
    except QuestionError:
        raise QuestionError(f"--every {text}: expected a length such as 30s, 5m or 1h") from None


def _kept_days(dataset: Path, keep: str | None) -> int:
    """Return the days to keep; nobody loses a history by the default, at the first receiver."""
    from relhealth.datasets.ledger import SPOOL
    from relhealth.ingest.dataset import Dataset
    from relhealth.ingest.keeping import old_days

    found = _days(keep or _KEEP)
    old = [] if keep or (dataset / SPOOL).exists() else old_days(Dataset(dataset), found)
    if old:
        raise QuestionError(
            f"{printable(str(dataset))}: a receiver would remove its days before the last {_KEEP},"
            f" {len(old)} from {old[0]}: say with --keep how many days to keep"
        )
    return found


def _days(text: str) -> int:
    number = text.removesuffix("d")
    if not (number != text and number.isascii() and number.isdecimal()):
        raise QuestionError(f"--keep {text}: expected days, such as 90d")
    if not 1 <= int(number) <= _MOST_DAYS:
        raise QuestionError(f"--keep {text}: expected 1d to {_MOST_DAYS}d")
    return int(number)


def _named(dimensions: list[str] | None) -> "Mapping[str, str]":
    """Return the attribute of each dimension; without one, it has the name of the dimension."""
    found = {}
    for one in dimensions or ():
        name, _, attribute = one.partition("=")
        found[name] = attribute or name
    return found
