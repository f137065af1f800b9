-- One row per (project, release) with a session counter in the window; release is null for sessions without.
-- first_seen, last_seen: the timestamps of its first and last session counter, in microseconds since the epoch.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: counters that are not integers of 0 to 2^32.
SELECT
    project_id,
    release,
    epoch_us(min(timestamp)) AS first_seen,
    epoch_us(max(timestamp)) AS last_seen
FROM metric_rows
WHERE
    metric = 'c:sessions/session@none'
    AND timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND value BETWEEN 0 AND 4294967296
    AND value = floor(value)
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release
