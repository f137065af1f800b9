"""``relhealth rollup``: an exact pre-aggregation beside a data set."""

from pathlib import Path
from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import refuse_cluster
from relhealth.output.answer import Answer
from relhealth.output.formats import Format
from relhealth.output.talk import say


def rollup(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="The folder of a data set of any layout.", show_default=False
        ),
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Rebuild all days.", rich_help_panel=options.HOW),
    ] = False,
    format: options.TableOrJson = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    strict: options.Strict = False,
    engine: options.NoEngine = None,
    spark: options.NoSpark = None,
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Make or update the rollup of a data set: exact figures in a fraction of the time.

    Rebuilds only days whose files changed. Others can read meanwhile; a kill does no harm.

    Examples:

      relhealth rollup data/

      relhealth rollup data/ --force
    """
    refuse_cluster("rollup", [dataset], engine=engine, spark=spark)
    answer = Answer.to(
        format, output, quiet=quiet, formats=(Format.TABLE, Format.JSON), sources=[str(dataset)]
    )
    from relhealth.output.layouts.rollup import rollup_report
    from relhealth.output.progress import progress
    from relhealth.rollup.build import make

    with progress(quiet=quiet) as observer:
        made = make(
            dataset,
            force=force,
            strict=strict,
            memory_limit=memory_limit,
            threads=threads,
            observer=observer,
            waiting=lambda: None if quiet else say(f"waiting for another rollup of {dataset}"),
        )
    answer.give(rollup_report(made))
