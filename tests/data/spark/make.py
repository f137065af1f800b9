"""Write the rows of ``metrics.jsonl`` and ``sessions.jsonl`` as Apache Spark writes them.

Run ``pip install pyspark`` in a separate environment, with Java on the path, then
``python make.py``. No test runs it.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, expr

from places import TESTS

HERE = TESTS
METRICS = (
    "org_id LONG, project_id LONG, timestamp TIMESTAMP, metric STRING, release STRING,"
    " environment STRING, session_status STRING, abnormal_mechanism STRING, value DOUBLE,"
    " member DECIMAL(20, 0)"
)
SESSIONS = (
    "session_id STRING, user_id LONG, project_id LONG, started TIMESTAMP, release STRING,"
    " environment STRING, status STRING, errors INT, duration DOUBLE"
)
# Spark has no unsigned integers: the same 64 bits, as a signed one.
SIGNED = "CAST(IF(member < 9223372036854775808BD, member, member - 18446744073709551616BD) AS LONG)"
DELTAS = {"parquet.writer.version": "v2", "parquet.enable.dictionary": "false"}
BLOOM = {
    "parquet.bloom.filter.enabled#release": "true",
    "parquet.bloom.filter.expected.ndv#release": "10",
    "parquet.page.row.count.limit": "5",
}


def main() -> None:
    """Write a folder a kind of file, below one for each table."""
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    metrics = read(spark, "metrics", METRICS, "timestamp")
    signed = metrics.withColumn("member", expr(SIGNED))
    write_all("metrics", signed, "timestamp")
    write("metrics/v2", signed, {"parquet.writer.version": "v2"})
    write("metrics/bloom", signed, BLOOM)
    integers = ["org_id", "project_id"]
    write("metrics/decimal", cast(metrics, integers, "decimal(18,0)"))
    write("metrics/wide_decimal", cast(metrics, [*integers, "member"], "decimal(38,0)"))
    for codec in ("gzip", "zstd", "lz4", "lz4_raw"):
        write(f"metrics/{codec}", signed, {"compression": codec})

    sessions = read(spark, "sessions", SESSIONS, "started")
    write_all("sessions", sessions, "started")
    integers = ["user_id", "project_id", "errors"]
    write("sessions/wide_decimal", cast(sessions, integers, "decimal(38,0)"))
    spark.stop()


def write_all(table: str, frame: DataFrame, time: str) -> None:
    """Write the kinds of file that both tables have."""
    texts = [name for name, kind in frame.dtypes if kind == "string"]
    write(f"{table}/default", frame)
    write(f"{table}/v2_deltas", frame, DELTAS)
    write(f"{table}/binary", cast(frame, texts, "binary"))
    write(f"{table}/text_times", cast(frame, [time], "string"))
    write(f"{table}/no_zone", cast(frame, [time], "timestamp_ntz"))
    for kind in ("INT96", "TIMESTAMP_MILLIS"):
        frame.sparkSession.conf.set("spark.sql.parquet.outputTimestampType", kind)
        write(f"{table}/{kind.lower()}", frame)
    frame.sparkSession.conf.unset("spark.sql.parquet.outputTimestampType")
    write(f"{table}/by_release", frame, by=["release"])
    write(f"{table}/by_project_and_environment", frame, by=["project_id", "environment"])
    nothing = frame.filter(col("project_id") < 0)
    nothing.union(frame.repartition(2)).write.parquet(str(HERE / table / "empty_part"))
    write(f"{table}/empty", nothing)


def write(
    folder: str,
    frame: DataFrame,
    options: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
) -> None:
    """Write rows in one part, or one a partition."""
    writer = frame.coalesce(1).write.options(**options or {}).partitionBy(*by)
    writer.parquet(str(HERE / folder))


def cast(frame: DataFrame, names: list[str], kind: str) -> DataFrame:
    """Return rows with some columns of another type."""
    return frame.withColumns({name: col(name).cast(kind) for name in names})


def read(spark: SparkSession, table: str, schema: str, time: str) -> DataFrame:
    """Return the rows of a table, whose folder of files is removed."""
    shutil.rmtree(HERE / table, ignore_errors=True)
    rows = []
    for line in (HERE / f"{table}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        row[time] = datetime.fromisoformat(row[time])
        if row.get("member") is not None:
            row["member"] = Decimal(row["member"])
        rows.append(row)
    return spark.createDataFrame(rows, schema)


if __name__ == "__main__":
    main()
