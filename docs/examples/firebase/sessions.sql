-- One row per session of an app that started on a day, with the worst that Crashlytics has of it.
-- The tests of relhealth do not run this query: they have no BigQuery. They ingest a file with its columns.
-- Needs the export of Crashlytics and of Firebase sessions to BigQuery. Change the bucket, the day, the project and the
-- app: com_example_shop_ANDROID is com.example.shop on Android.
-- Left out: sessions in which Crashlytics did not collect, since none of them can be seen to crash.
EXPORT DATA OPTIONS (
    uri = 'gs://my-bucket/firebase/2026-11-20/*.parquet',
    format = 'PARQUET',
    compression = 'SNAPPY',
    overwrite = TRUE
) AS
WITH errors AS (
    SELECT
        firebase_session_id,
        LOGICAL_OR(error_type = 'FATAL') AS is_fatal,
        LOGICAL_OR(error_type = 'ANR') AS is_anr,
        LOGICAL_OR(error_type = 'ANR' AND process_state = 'FOREGROUND') AS is_foreground,
        COUNTIF(error_type = 'NON_FATAL') AS non_fatal
    FROM `my-project.firebase_crashlytics.com_example_shop_ANDROID`
    WHERE
        event_timestamp >= TIMESTAMP '2026-11-20 00:00:00+00'
        AND event_timestamp < TIMESTAMP '2026-11-22 00:00:00+00'
    GROUP BY firebase_session_id
)

SELECT
    sessions.session_id,
    sessions.instance_id,
    sessions.event_timestamp,
    CONCAT(
        'com.example.shop@', sessions.application.display_version, '+', sessions.application.build_version
    ) AS release,
    CASE
        WHEN errors.is_fatal THEN 'FATAL'
        WHEN errors.is_anr THEN 'ANR'
        ELSE 'exited'
    END AS worst,
    CASE
        WHEN NOT errors.is_anr THEN NULL
        WHEN errors.is_foreground THEN 'anr_foreground'
        ELSE 'anr_background'
    END AS anr,
    IFNULL(errors.non_fatal, 0) AS non_fatal
FROM `my-project.firebase_sessions.com_example_shop_ANDROID` AS sessions
LEFT JOIN errors
    ON errors.firebase_session_id = sessions.session_id
WHERE
    sessions.event_type = 'SESSION_START'
    AND sessions.crashlytics_data_collection_enabled
    AND sessions.event_timestamp >= TIMESTAMP '2026-11-20 00:00:00+00'
    AND sessions.event_timestamp < TIMESTAMP '2026-11-21 00:00:00+00';
