"""``relhealth compact``: merges a day's many small files into one."""

from pathlib import Path
from typing import Annotated

import typer

from relhealth.commands import options
from relhealth.commands.opening import refuse_cluster
from relhealth.output.answer import Answer
from relhealth.output.formats import Format
from relhealth.output.talk import say


def compact(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="The folder of a data set made by ingest.", show_default=False
        ),
    ],
    format: options.TableOrJson = None,  # noqa: A002 - the option's name
    output: options.Output = None,
    engine: options.NoEngine = None,
    spark: options.NoSpark = None,
    memory_limit: options.MemoryLimit = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,  # noqa: ARG001 - read by the error boundary
) -> None:
    """Merge the many small files of each day into one sorted file, with the same answers.

    Others can read meanwhile: they see a day before or after its compaction.

    Examples:

      relhealth compact data/

      relhealth compact data/ --memory-limit 2GB
    """
    refuse_cluster("compact", [dataset], engine=engine, spark=spark)
    answer = Answer.to(format, output, quiet=quiet, formats=(Format.TABLE, Format.JSON))
    from relhealth.ingest.compact import compact as run
    from relhealth.output.layouts.compaction import compaction_report
    from relhealth.output.progress import progress

    with progress(quiet=quiet) as observer:
        found = run(
            dataset,
            memory_limit=memory_limit,
            threads=threads,
            observer=observer,
            waiting=lambda: say(f"waiting for another change of {dataset}"),
        )
    answer.give(compaction_report(found))
