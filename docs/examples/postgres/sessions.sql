-- One row per session that started on a day, out of PostgreSQL as CSV on standard output.
-- Run with PostgreSQL 15; the tests of relhealth, which have none, ingest a file with its columns.
-- Change the day and the table.
COPY (
    SELECT
        session_uuid,
        account_id,
        app_version,
        stage,
        outcome,
        error_count,
        started_at,
        extract(EPOCH FROM ended_at - started_at) AS duration_seconds
    FROM app_sessions
    WHERE
        started_at >= '2026-11-20 00:00:00+00'
        AND started_at < '2026-11-21 00:00:00+00'
) TO STDOUT WITH (FORMAT csv, HEADER);
