-- One row per session that started on a day, out of Snowflake into Parquet files of a stage.
-- The tests of relhealth do not run this query: they have no Snowflake. They ingest a file with its columns.
-- Change the stage, the day and the table. HEADER keeps the names of the columns, in capitals. Snowflake does not
-- write TIMESTAMP_TZ and TIMESTAMP_LTZ as Parquet, so that the start is made a TIMESTAMP_NTZ, in UTC.
COPY INTO @my_stage/sessions/2026-11-20/
FROM (
    SELECT
        session_uuid,
        account_id,
        app_version,
        stage,
        outcome,
        error_count,
        CONVERT_TIMEZONE('UTC', started_at)::TIMESTAMP_NTZ AS started_at,
        DATEDIFF('millisecond', started_at, ended_at) / 1000 AS duration_seconds
    FROM telemetry.app_sessions
    WHERE
        started_at >= '2026-11-20 00:00:00 +0000'::TIMESTAMP_TZ
        AND started_at < '2026-11-21 00:00:00 +0000'::TIMESTAMP_TZ
)
FILE_FORMAT = (TYPE = PARQUET)
HEADER = TRUE
OVERWRITE = TRUE;

GET @my_stage/sessions/2026-11-20/ file:///tmp/sessions/;
