-- One row per session that started on a day, out of Spark or Databricks into a folder of Parquet files.
-- Run with Spark 4.3.0; the tests of relhealth, which have none, ingest a file with its columns.
-- Change the folder, the day and the table. On Databricks, where it was not run, name a folder of a volume.
INSERT OVERWRITE DIRECTORY '/exports/sessions/2026-11-20'
USING PARQUET
SELECT
    session_uuid,
    account_id,
    app_version,
    stage,
    outcome,
    error_count,
    started_at,
    CAST(ended_at AS DOUBLE) - CAST(started_at AS DOUBLE) AS duration_seconds
FROM telemetry.app_sessions
WHERE
    started_at >= TIMESTAMP '2026-11-20 00:00:00 UTC'
    AND started_at < TIMESTAMP '2026-11-21 00:00:00 UTC';
