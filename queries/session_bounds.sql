-- One row per (project, release) with a session counter or a known duration in the window; release may be null.
-- first_seen, last_seen: the timestamps of the first and the last of these, in microseconds since the epoch.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: invalid rows (see invalid_rows.sql).
SELECT
    project_id,
    release,
    epoch_us(min(timestamp)) AS first_seen,
    epoch_us(max(timestamp)) AS last_seen
FROM metric_rows
WHERE
    timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND (
        (
            metric = 'c:sessions/session@none'
            AND value BETWEEN 0 AND 4294967296
            AND value = floor(value)
        )
        OR (metric = 'd:sessions/duration@second' AND value BETWEEN 0 AND 1.7976931348623157e308)
    )
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release
