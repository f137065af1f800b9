"""The shared options of commands, each with one meaning everywhere."""

from pathlib import Path
from typing import Annotated, Any

import typer

from relhealth.core.errors import QuestionError
from relhealth.core.nearest import hint
from relhealth.core.printable import printable
from relhealth.core.project_names import project_id
from relhealth.engines import AUTO, ENGINES
from relhealth.output.formats import METRICS, PAGES, ROWS, Format

WHAT = "Fields and groups"
WHO = "Filters"
WHEN = "When"
OUT = "Output"
HOW = "How it runs"

PERIOD = "LENGTH"

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        default_factory=list,
        help="Parquet files, directories (read recursively), glob patterns, or places such as"
        " s3://BUCKET/PATH or FILE.duckdb::TABLE. Default: the sources of relhealth.toml.",
        show_default=False,
    ),
]
Projects = Annotated[
    list[int] | None,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        parser=project_id,
        help="Only this project, by its id or its name in \\[projects] of relhealth.toml; repeat"
        " for more.",
        show_default=False,
        rich_help_panel=WHO,
    ),
]
Releases = Annotated[
    list[str] | None,
    typer.Option(
        "--release",
        "-r",
        metavar="RELEASE",
        help="Only this release, or PROJECT/RELEASE, with a row even if it is unknown; repeat for"
        " more.",
        show_default=False,
        rich_help_panel=WHO,
    ),
]
ReleaseNames = Annotated[
    list[str] | None,
    typer.Option(
        "--release",
        "-r",
        metavar="RELEASE",
        help="Only this release ('' = sessions without one); repeat for more.",
        show_default=False,
        rich_help_panel=WHO,
    ),
]
Environments = Annotated[
    list[str] | None,
    typer.Option(
        "--environment",
        "-e",
        metavar="ENVIRONMENT",
        help="Only sessions of this environment ('' = without one); repeat for more.",
        show_default=False,
        rich_help_panel=WHO,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Only rows with this value of a further column, such as os ('' = none); with != only"
        " others. Repeat for more values, which are alternatives, and for more columns.",
        show_default=False,
        rich_help_panel=WHO,
    ),
]
Org = Annotated[
    int | None,
    typer.Option(
        "--org",
        metavar="ID",
        help="Only this organisation; needed if projects belong to several.",
        show_default=False,
        rich_help_panel=WHO,
    ),
]
Period = Annotated[
    str,
    typer.Option(
        "--period",
        metavar=PERIOD,
        help="The length of the window of totals, up to now: hours or days, up to 90d, as 24h.",
        rich_help_panel=WHEN,
    ),
]
StatsPeriod = Annotated[
    str | None,
    typer.Option(
        "--stats-period",
        metavar=PERIOD,
        help="Add a time series of this length, up to now, such as 7d.",
        show_default=False,
        rich_help_panel=WHEN,
    ),
]
StatOption = Annotated[
    str,
    typer.Option(
        "--stat",
        metavar="COUNT",
        help="What the time series counts: sessions or users.",
        rich_help_panel=WHEN,
    ),
]
Now = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="INSTANT",
        envvar="RELHEALTH_NOW",
        help="The instant of the question: ISO 8601, or 'latest' for the newest data. Default: the"
        " clock.",
        show_default=False,
        rich_help_panel=WHEN,
    ),
]
IngestNow = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="INSTANT",
        envvar="RELHEALTH_NOW",
        help="The instant of the ingest, ISO 8601, from which --retention, --period and --since"
        " count. Default: the clock.",
        show_default=False,
        rich_help_panel=WHEN,
    ),
]


def _format(*formats: Format) -> Any:
    one_of = f"{', '.join(formats[:-1])} or {formats[-1]}"

    def parsed(word: str) -> Format:
        if word in formats:
            return Format(word)
        raise QuestionError(f"{printable(word)!r} is not {one_of}{hint(word, formats)}")

    return typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        parser=parsed,
        help=f"{one_of}. Default: by the suffix of --output, else table.",
        show_default=False,
        rich_help_panel=OUT,
    )


FormatOption = Annotated[Format | None, _format(*ROWS)]
TableOrJson = Annotated[Format | None, _format(Format.TABLE, Format.JSON)]
PageFormatOption = Annotated[Format | None, _format(*ROWS, *PAGES)]
OverviewFormatOption = Annotated[Format | None, _format(*ROWS, *PAGES, *METRICS)]
GateFormatOption = Annotated[
    Format | None, _format(*ROWS, *PAGES, Format.JUNIT, Format.GITLAB, *METRICS)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to a file, completely or not at all.",
        show_default=False,
        rich_help_panel=OUT,
    ),
]
Reports = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="FORMAT=FILE",
        help="Write a further report to a file, in any format; repeat for more.",
        show_default=False,
        rich_help_panel=OUT,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="COLUMNS",
        help="Only these columns, in this order, with commas between them, by their names in CSV;"
        " in overview also status and adoption_stage.",
        show_default=False,
        rich_help_panel=OUT,
    ),
]
Wide = Annotated[
    bool,
    typer.Option(
        "--wide",
        help="Show every column, even if the lines do not fit.",
        rich_help_panel=OUT,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort",
        metavar="FIGURE",
        help="Sort by a figure of the CSV, such as users or adoption, largest first (crash-free:"
        " worst first), or by 'release' in version order. Default: total_sessions; for people, by"
        " project, bad releases first, then the newest.",
        show_default=False,
        rich_help_panel=OUT,
    ),
]
Reverse = Annotated[bool, typer.Option("--reverse", help="Reverse the order.", rich_help_panel=OUT)]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        help="Only the first N rows; reports how many it left out.",
        show_default=False,
        rich_help_panel=OUT,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse data with invalid rows, instead of leaving them out.",
        rich_help_panel=HOW,
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help=f"The engine that computes the answer: {', '.join(ENGINES)}, or {AUTO}: the fastest"
        " for the data. All return the same answer.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
SparkOption = Annotated[
    str | None,
    typer.Option(
        "--spark",
        metavar="ADDRESS",
        envvar="RELHEALTH_SPARK",
        help="A cluster's Spark Connect server, sc://HOST:PORT, for sources that are on it:"
        " s3a://…, or a table such as lake.metrics.sessions.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
MaxAge = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="AGE",
        help="Refuse data whose newest session is older, such as 3h, and end with 4.",
        show_default=False,
        rich_help_panel=WHEN,
    ),
]
# Of the commands that write files: they say why a cluster cannot do it.
NoEngine = Annotated[str | None, typer.Option("--engine", metavar="ENGINE", hidden=True)]
NoSpark = Annotated[str | None, typer.Option("--spark", metavar="ADDRESS", hidden=True)]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        metavar="SIZE",
        help="Use at most this much memory, such as 512MB. Default: half of the available memory.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="Use this many threads. Default: one per core.",
        show_default=False,
        rich_help_panel=HOW,
    ),
]
CacheSize = Annotated[
    str,
    typer.Option(
        "--cache-size",
        metavar="SIZE",
        envvar="RELHEALTH_CACHE_SIZE",
        help="Keep at most this much of object stores on this machine; 0 for nothing.",
        rich_help_panel=HOW,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only errors on stderr.", rich_help_panel=HOW),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", help="Show the traceback of an error, and the engines.", rich_help_panel=HOW
    ),
]
