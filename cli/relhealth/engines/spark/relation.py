"""The relation ``metric_rows`` on a cluster: the contract's columns, with Spark's types.

Members are the same 64 bits, signed, because Spark has no unsigned numbers.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from relhealth.core.data_files import PARQUET, may_be_parquet
from relhealth.core.dimensions import ENVIRONMENT, ESCAPES, Cut
from relhealth.core.errors import DataError, QuestionError
from relhealth.core.printable import printable
from relhealth.datasets import casts, contract, dimensions
from relhealth.datasets.contract import HIVE_NULL, Column, ColumnType, Stored
from relhealth.engines.spark.session import NANOS_AS_LONG
from relhealth.engines.spark.sources import is_table

if TYPE_CHECKING:
    from pyspark.sql.connect.dataframe import DataFrame

_GLOB = "*{" + ",".join((*PARQUET, *map(str.upper, PARQUET))) + "}"  # Spark heeds case
_PATTERN = re.compile(r"[*?\[{]")
# The folder of a table's log, and how files of one end.
_LOGS = {"Delta Lake": ("_delta_log", ".json"), "Iceberg": ("metadata", ".metadata.json")}
_NO_FOLDER = re.compile(r"PATH_NOT_FOUND|does not exist|not a directory", re.IGNORECASE)
_CLASH = re.compile(r"CANNOT_MERGE_SCHEMAS|Failed merging schema|Fail to merge schema")
_NANOS = re.compile(r"TIMESTAMP\(NANOS")
_PATH = "relhealth_path"  # a column with the path of each row's file
_TYPES = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "void": pa.null(),
}
_PLAIN = re.compile(r"[\w.-]+")  # a folder's key that a pattern in SQL can hold
_DECIMAL = re.compile(r"decimal\((\d+),(-?\d+)\)")
_TEXT = re.compile(r"(?:var)?char\(\d+\)|string collate \w+")
_SQL_TYPES = {
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.TEXT: "STRING",
    ColumnType.TIMESTAMP: "TIMESTAMP",
}
_MOST_SIGNED, _ALL_BITS = 2**63 - 1, 2**64


class Source(NamedTuple):
    """One source as a cluster has it: its rows as they are, and what its files are."""

    name: str
    frame: "DataFrame"
    files: tuple[str, ...]  # paths; none if the format does not name them
    folders: frozenset[str]  # the contract's columns that are folders of the path
    nanoseconds: bool

    @property
    def others(self) -> dict[str, tuple[Stored, ...]]:
        """The columns beside the contract's, by their names without case."""
        return contract.others(_schema(self))

    @property
    def other_folders(self) -> dict[str, str]:
        """The folders of the path beside the contract's columns, by their names without case."""
        names = {name for path in self.files for name in _spelled_partitions(path)}
        found = {name.casefold(): name for name in sorted(names) if _PLAIN.fullmatch(name)}
        return {key: name for key, name in found.items() if key not in contract.NAMES}


class ClusterSources(NamedTuple):
    """The sources of a question on a cluster, with what questions need to know of them."""

    sources: tuple[Source, ...]
    measure: Callable[[], int]  # bytes
    empty: tuple[str, ...] = ()
    rows: None = None  # reading them tells

    @property
    def total(self) -> int:
        """How many files there are; a table that does not name its files counts as one."""
        return sum(len(source.files) or 1 for source in self.sources)

    @property
    def any_rows(self) -> bool:
        """Whether there may be rows: only a question tells."""
        return True

    @property
    def size(self) -> int:
        """The bytes of the files that the sources name."""
        return self.measure()

    @property
    def dimensions(self) -> dict[str, str]:
        """The columns and folders beside the contract's, by their names without case."""
        found: dict[str, str] = {}
        for source in self.sources:
            found |= {name: spelled[0].name for name, spelled in source.others.items()}
            found |= source.other_folders
        found.pop(_PATH, None)
        return found

    @property
    def one_organisation(self) -> bool:
        """Whether it is known that there is at most one organisation."""
        return all(
            "org_id" not in {*(name.casefold() for name in source.frame.columns), *source.folders}
            for source in self.sources
        )


def opened(spark: Any, name: str) -> Source:
    """Find a source on the cluster; raise the cluster's errors, or one of the source."""
    if is_table(name):
        frame = spark.table(name)
        return Source(name, frame, _files(frame), frozenset(), nanoseconds=False)
    listed = _listed(spark, name) if not _PATTERN.search(name) else None
    options = {"mergeSchema": "true", "recursiveFileLookup": "true"}
    if listed is not None and listed != [_without_slash(name)]:
        options["pathGlobFilter"] = _GLOB

    def read() -> "DataFrame":
        frame = spark.read.options(**options).parquet(name)
        frame.schema  # noqa: B018 - it is what the cluster finds out
        return frame

    nanoseconds = False
    try:
        frame = read()
    except Exception as error:
        _refuse_clash(spark, listed or [], error)
        if not _NANOS.search(str(error)):
            raise
        spark.conf.set(NANOS_AS_LONG, "true")
        nanoseconds = True
        frame = read()
    files = _files(frame)
    folders = {key for path in files for key in _partitions(path)} & contract.NAMES
    if not folders <= {column.casefold() for column in frame.columns}:
        frame = _with_paths(frame)
    return Source(name, frame, files, frozenset(folders), nanoseconds)


def with_paths(source: Source) -> Source:
    """Return a source whose rows have the path of their file, as dimensions of folders need."""
    if _PATH in source.frame.columns:
        return source
    return source._replace(frame=_with_paths(source.frame))


def _with_paths(frame: "DataFrame") -> "DataFrame":
    return frame.selectExpr("*", f"_metadata.file_path AS {_PATH}")


def _refuse_clash(spark: Any, files: Sequence[str], error: Exception) -> None:
    """Raise ``DataError`` with the first file whose types do not go with those before it."""
    if not _CLASH.search(str(error)):
        return
    paths = sorted(path for path in files if may_be_parquet(path))

    def types(some: Sequence[str]) -> dict[str, str] | None:
        try:
            return dict(spark.read.option("mergeSchema", "true").parquet(*some).dtypes)
        except Exception as failure:
            if _CLASH.search(str(failure)):
                return None
            raise

    # How many files go together, by halves.
    count = bisect_left(range(1, len(paths) + 1), 1, key=lambda some: types(paths[:some]) is None)
    if count in {0, len(paths)}:
        return
    before, own = types(paths[:count]) or {}, types([paths[count]]) or {}
    faults = [
        f"{printable(paths[count])}: column {column}: found {kind}, but {before[column]} in files"
        " before it; a cluster needs one type in all files, so write it as that"
        for column, kind in own.items()
        if before.get(column, kind) != kind
    ]
    if faults:
        raise DataError(faults) from error


def size(spark: Any, source: Source) -> int:
    """Return the bytes of a source's files."""
    if not source.files:
        return 0
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    listed = reader.load(list(source.files) if is_table(source.name) else source.name)
    found = listed.select("path", "length").toArrow().to_pylist()
    lengths = {_path_of(row["path"]): row["length"] for row in found}
    return sum(lengths.get(path, 0) for path in set(map(_path_of, source.files)))


def _path_of(uri: str) -> str:
    """Return a path as all servers write it: Sail's have no scheme in some places."""
    return unquote(uri.partition(":")[2] or uri).lstrip("/")


def refuse_overlaps(sources: Sequence[Source]) -> None:
    """Raise ``QuestionError`` if two sources share a file, whose rows would count twice."""
    seen: dict[str, str] = {}
    for source in sources:
        for path in source.files:
            if path in seen:
                raise QuestionError(
                    f"{printable(source.name)}: has files of {printable(seen[path])} too, such as"
                    f" {printable(path)}; name each file once"
                )
        seen |= dict.fromkeys(source.files, source.name)


def refuse_columns(sources: Sequence[Source], columns: Sequence[str]) -> None:
    """Raise ``DataError`` with a line for each source where a column cannot be a dimension."""
    faults = [
        f"{printable(source.name)}: {told}"
        for source in sources
        for column in columns
        if (told := dimensions.fault(source.others.get(column, ()))) is not None
    ]
    if faults:
        raise DataError(faults)


def select(source: Source, view: str, org: int | None, further: Sequence[str] = ()) -> str:
    """Return a statement for the contract's columns of a source, whose rows are in ``view``.

    ``further`` are dimensions. Raises ``DataError`` where the source does not fit the contract.
    """
    schema = _schema(source)
    stored = contract.stored(schema)
    # Spark adds the columns of folders to the rows of some tables and servers, as text.
    of_path = {key for key in source.folders if key not in stored or _is_text(stored[key])}
    own = pa.schema([field for field in schema if field.name.casefold() not in of_path])
    texts = {key: _any_text(source, key) for key in of_path}
    faults = contract.faults(own, texts)
    if faults:
        raise DataError([f"{printable(source.name)}: {fault}" for fault in faults])
    columns = [
        _of_path(column, given=column.name in stored)
        if column.name in of_path
        else _expression(column, stored.get(column.name), nanoseconds=source.nanoseconds)
        for column in contract.COLUMNS
    ]
    where = "" if org is None else f" WHERE {columns[0].rpartition(' AS ')[0]} = {org:d}"
    columns += [_dimension(source, one) for one in further]
    return f"SELECT {', '.join(columns)} FROM `{view}`{where}"


def cut_of(frame: "DataFrame", cut: Cut) -> "DataFrame":
    """Return the rows and keys of a cut, of a relation with its dimensions.

    These are left out, because templates have names of their own.
    """
    from pyspark.sql.functions import col, concat_ws, lit, replace

    def column(name: str) -> Any:
        return col(_quoted(name.casefold()))

    def escaped(name: str) -> Any:
        found = column(name)
        for plain, escape in ESCAPES:
            found = replace(found, lit(plain), lit(escape))
        return found

    for one in cut.where:
        holds = column(one.column).isin(list(one.values))
        frame = frame.filter(~holds if one.negated else holds)
    if cut.by:
        several = len(cut.by) > 1
        key = concat_ws("/", *map(escaped, cut.by)) if several else column(cut.by[0])
        frame = frame.withColumn(ENVIRONMENT, key)
    return frame.drop(*cut.columns)


def _schema(source: Source) -> pa.Schema:
    return pa.schema(
        [
            pa.field(name, _arrow(kind, nanoseconds=source.nanoseconds and _is_time(name)))
            for name, kind in source.frame.dtypes
        ]
    )


def _dimension(source: Source, name: str) -> str:
    """Return a dimension, of a column or a folder; ``''`` where there is neither."""
    spelled = source.others.get(name, ())
    folder = source.other_folders.get(name)
    if spelled and not pa.types.is_null(spelled[0].type):
        text = f"CAST({_quoted(spelled[0].name)} AS STRING)"
    elif folder is not None:
        text = f"url_decode(regexp_extract({_PATH}, r'(?i)/{re.escape(folder)}=([^/]*)/', 1))"
    else:
        return f"'' AS {_quoted(name)}"
    if folder is not None:  # some servers add the columns of folders to the rows
        text = f"NULLIF({text}, '{HIVE_NULL}')"
    return f"COALESCE({text}, '') AS {_quoted(name)}"


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _listed(spark: Any, name: str) -> list[str]:
    """Return the files of a path; refuse tables, whose folders have files of the past too."""
    for kind, (folder, suffix) in _LOGS.items():
        if any(
            path.endswith(suffix) for path in _files_in(spark, f"{_without_slash(name)}/{folder}")
        ):
            raise QuestionError(
                f"{printable(name)}: a table of {kind}, whose log alone tells its files; name it"
                " as a table of the cluster's catalogue"
            )
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(name)
    found: list[str] = files.inputFiles()
    names = [path.rpartition("/")[2] for path in found]
    if not found:
        raise DataError(f"{printable(name)}: no such path, or no file in it")
    if found == [_without_slash(name)]:
        return found
    suffixless = [one for one in names if "." not in one and not one.isupper()]
    if suffixless:
        raise DataError(
            f"{printable(name)}: a file without a suffix, {printable(suffixless[0])}; on a cluster,"
            " rename it to end in .parquet, or name the files by a pattern"
        )
    if not any(map(may_be_parquet, names)):
        raise DataError(f"{printable(name)}: no Parquet file in this directory")
    return found


def _files_in(spark: Any, folder: str) -> list[str]:
    """Return the files of a folder that may not be there."""
    try:
        found: list[str] = spark.read.format("binaryFile").load(folder).inputFiles()
    except Exception as error:
        if _NO_FOLDER.search(str(error)):
            return []
        raise
    return found


def _files(frame: "DataFrame") -> tuple[str, ...]:
    return tuple(sorted(frame.inputFiles()))


def _without_slash(name: str) -> str:
    return name.rstrip("/")


def _partitions(path: str) -> dict[str, str]:
    """Return the ``key=value`` folders of a path, by the contract's names."""
    return {key.casefold(): text for key, text in _spelled_partitions(path).items()}


def _spelled_partitions(path: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in path.split("/")[:-1])
    return {unquote(key): unquote(value) for key, equals, value in pairs if equals}


def _any_text(source: Source, key: str) -> str:
    """Return the text of a folder that fits the column least: the contract checks one a column."""
    texts = [_partitions(path).get(key, HIVE_NULL) for path in source.files]
    return next((text for text in texts if not text.lstrip("-").isdigit()), texts[0])


def _is_time(name: str) -> bool:
    return name.casefold() == "timestamp"


def _is_text(own: Stored) -> bool:
    return casts.is_text(own.type)


def _arrow(kind: str, *, nanoseconds: bool) -> pa.DataType:
    if nanoseconds and kind == "bigint":
        return pa.timestamp("ns", tz="UTC")
    decimal = _DECIMAL.fullmatch(kind)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if _TEXT.fullmatch(kind):
        return pa.string()
    return _TYPES.get(kind, pa.struct([]))


def _of_path(column: Column, *, given: bool) -> str:
    """Return a column of folders, which a server gives, or else is in the path of each file."""
    text = f"`{column.name}`"
    if not given:
        text = f"url_decode(regexp_extract({_PATH}, '(?i)/{column.name}=([^/]*)/', 1))"
    plain = f"NULLIF({text}, '{HIVE_NULL}')"
    return _named(column, f"CAST({plain} AS {_SQL_TYPES[column.kind]})")


def _expression(column: Column, own: Stored | None, *, nanoseconds: bool) -> str:
    if own is None or pa.types.is_null(own.type):
        return _named(column, f"CAST(NULL AS {_SQL_TYPES[column.kind]})")
    name = _quoted(own.name)
    match column.kind:
        case ColumnType.INTEGER if column.name == "member" and pa.types.is_decimal(own.type):
            read = (
                f"CASE WHEN {name} > {_MOST_SIGNED} THEN CAST({name} - {_ALL_BITS} AS BIGINT)"
                f" ELSE CAST({name} AS BIGINT) END"
            )
        case ColumnType.TEXT if casts.is_binary(own.type):
            read = f"validate_utf8(CAST({name} AS STRING))"
        case ColumnType.TIMESTAMP if nanoseconds:
            # This cuts, also before 1970; a cast would round, even into the next hour.
            read = f"TIMESTAMP_MICROS(({name} - PMOD({name}, 1000)) DIV 1000)"
        case ColumnType.TIMESTAMP if casts.is_text(own.type) or casts.is_binary(own.type):
            read = _instant(f"CAST({name} AS STRING)")
        case kind if own.type == _TYPES[_SQL_TYPES[kind].lower()]:
            # Without a cast: Spark looks into statistics only for plain columns, and Sail says that
            # unsigned numbers are signed, but casts them as what they are.
            read = name
        case _:
            read = f"CAST({name} AS {_SQL_TYPES[column.kind]})"
    return _named(column, read)


def _instant(text: str) -> str:
    """Return SQL for the instant of ISO 8601 text; other text is an error."""
    iso = f"upper(trim({text}))"
    for pattern, by in casts.REWRITTEN:
        by_groups = re.sub(r"\\(\d)", r"$\1", by)
        iso = f"regexp_replace({iso}, r'{pattern}', '{by_groups}')"
    wrong = f"RAISE_ERROR(CONCAT('column timestamp: no instant of ISO 8601: ', {text}))"
    checked = f"CASE WHEN {iso} RLIKE r'^{casts.INSTANT}$' THEN {iso} ELSE {wrong} END"
    return f"CASE WHEN {text} IS NOT NULL THEN CAST({checked} AS TIMESTAMP) END"


def _named(column: Column, read: str) -> str:
    match column.name:
        case "environment":  # null and '' both mean none
            read = f"COALESCE({read}, '')"
        case "release":
            read = f"NULLIF({read}, '')"
        case "value":
            read = f"NULLIF({read}, CAST('NaN' AS DOUBLE))"
    return f"{read} AS {column.name}"
