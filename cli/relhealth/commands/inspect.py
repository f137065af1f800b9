"""``relhealth inspect``: what is in the files."""

from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import opened
from relhealth.core.errors import DataError
from relhealth.output.answer import Answer
from relhealth.output.formats import Format
from relhealth.stores.limits import DEFAULT_SIZE

Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Instead read every page of every file, also of a rollup, and name the damaged files.",
        rich_help_panel=options.HOW,
    ),
]


def inspect(
    sources: options.Sources,
    org: options.Org = None,
    now: options.Now = None,
    format: options.TableOrJson = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    strict: options.Strict = False,
    verify: Verify = False,
    engine: options.EngineOption = "auto",
    spark: options.SparkOption = None,
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    cache_size: options.CacheSize = DEFAULT_SIZE,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what is in the files: metrics, projects, releases, freshness, invalid rows.

    Try this first on unknown data. The answer is a table or JSON.

    Examples:

      relhealth inspect data/

      relhealth inspect data/ -f json

      relhealth inspect data/ --verify
    """
    answer = Answer.to(
        format, output, quiet=quiet, formats=(Format.TABLE, Format.JSON), sources=sources
    )
    from relhealth.output.layouts.inspection import inspection_report
    from relhealth.output.layouts.verification import verification_report

    with opened(
        answer,
        sources,
        debug=debug,
        org=org,
        strict=strict,
        memory_limit=memory_limit,
        threads=threads,
        cache_size=cache_size,
        engine=engine,
        spark=spark,
    ) as health:
        if not verify:
            answer.give(inspection_report(health.inspect(now=now)), health.engines)
            return
        found = health.verify()
    answer.give(verification_report(found), health.engines)
    if found.damaged:
        raise DataError(found.damaged)
