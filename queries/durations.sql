-- One row per (project, release) with an exited session of known duration in the window.
-- exited: sessions of known duration, 1 or more;
-- p50, p90: percentiles of duration in seconds, 0 or more, linear between the two nearest sessions.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: rows without a release; durations that are null, NaN, infinite or negative.
SELECT
    project_id,
    release,
    count(*) AS exited,
    -- abs: 0.0 and -0.0 are one duration, whichever comes first
    quantile_cont(abs(value), 0.5) AS p50,
    quantile_cont(abs(value), 0.9) AS p90
FROM metric_rows
WHERE
    metric = 'd:sessions/duration@second'
    AND session_status = 'exited'
    AND timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND release IS NOT NULL
    AND value BETWEEN 0 AND 1.7976931348623157e308
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release
