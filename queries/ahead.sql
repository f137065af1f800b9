-- One row per project and release with session metrics at or after an instant, the newest first.
-- release: null for rows without one.
-- newest_us: the newest one's timestamp in microseconds since the epoch.
-- Parameters: $start (the instant).
SELECT
    project_id,
    release,
    epoch_us(max(timestamp)) AS newest_us
FROM metric_rows
WHERE
    list_contains(
        [
            'c:sessions/session@none',
            's:sessions/user@none',
            's:sessions/error@none',
            'd:sessions/duration@second'
        ],
        metric
    )
    AND timestamp >= $start
GROUP BY project_id, release
ORDER BY newest_us DESC, project_id, release
