-- One row per session that started on a day, out of BigQuery into Parquet files of a bucket.
-- The tests of relhealth do not run this query: they have no BigQuery. They ingest a file with its columns.
-- Change the bucket, the day and the table.
EXPORT DATA OPTIONS (
    uri = 'gs://my-bucket/sessions/2026-11-20/*.parquet',
    format = 'PARQUET',
    compression = 'SNAPPY',
    overwrite = TRUE
) AS
SELECT
    session_uuid,
    account_id,
    app_version,
    stage,
    outcome,
    error_count,
    started_at,
    TIMESTAMP_DIFF(ended_at, started_at, MILLISECOND) / 1000 AS duration_seconds
FROM `my-project.telemetry.app_sessions`
WHERE
    started_at >= TIMESTAMP '2026-11-20 00:00:00+00'
    AND started_at < TIMESTAMP '2026-11-21 00:00:00+00';
