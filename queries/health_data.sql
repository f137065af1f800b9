-- One row per (project, release) seen in the window by any session metric; release is null for sessions without.
-- has_sessions: whether one of these is a session counter; then the release has health data.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: invalid rows (see invalid_rows.sql).
SELECT
    project_id,
    release,
    bool_or(metric = 'c:sessions/session@none') AS has_sessions
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
        OR (list_contains(['s:sessions/user@none', 's:sessions/error@none'], metric) AND member IS NOT NULL)
    )
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release
