-- One row per session of Google Analytics for Firebase that started on a day, crashed where an exception was fatal.
-- The tests of relhealth do not run this query: they have no BigQuery. They ingest a file with its columns.
-- Needs the export of Analytics to BigQuery; app_exception events come from Crashlytics in the same app. Change the
-- bucket, the days and the property. The day after is read too, for sessions that end in it.
EXPORT DATA OPTIONS (
    uri = 'gs://my-bucket/analytics/2026-11-20/*.parquet',
    format = 'PARQUET',
    compression = 'SNAPPY',
    overwrite = TRUE
) AS
WITH events AS (
    SELECT
        user_pseudo_id,
        (SELECT value.int_value FROM UNNEST(event_params) WHERE key = 'ga_session_id') AS ga_session_id,
        (SELECT value.int_value FROM UNNEST(event_params) WHERE key = 'fatal') AS fatal,
        event_name,
        TIMESTAMP_MICROS(event_timestamp) AS happened_at,
        CONCAT(app_info.id, '@', app_info.version) AS release
    FROM `my-project.analytics_123456789.events_*`
    WHERE _TABLE_SUFFIX BETWEEN '20261120' AND '20261121'
)

SELECT
    CONCAT(user_pseudo_id, ':', CAST(ga_session_id AS STRING)) AS session_id,
    user_pseudo_id,
    MIN(IF(event_name = 'session_start', happened_at, NULL)) AS started,
    ARRAY_AGG(release ORDER BY happened_at LIMIT 1)[OFFSET(0)] AS release,
    IF(COUNTIF(event_name = 'app_exception' AND fatal = 1) > 0, 'crashed', 'exited') AS status,
    COUNTIF(event_name = 'app_exception') AS errors,
    TIMESTAMP_DIFF(MAX(happened_at), MIN(happened_at), MILLISECOND) / 1000 AS duration
FROM events
WHERE
    user_pseudo_id IS NOT NULL
    AND ga_session_id IS NOT NULL
GROUP BY
    user_pseudo_id,
    ga_session_id
HAVING
    started >= TIMESTAMP '2026-11-20 00:00:00+00'
    AND started < TIMESTAMP '2026-11-21 00:00:00+00';
