-- One row per (project, release) with a session counter in the window.
-- sessions: sessions that started; crashed, abnormal, unhandled, errored_preaggr: sessions of that status.
-- All are sums of counters: integers of 0 or more.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: rows without a release; counters that are not integers of 0 to 2^32.
SELECT
    project_id,
    release,
    coalesce(sum(value::BIGINT) FILTER (WHERE session_status = 'init'), 0)::BIGINT AS sessions,
    coalesce(sum(value::BIGINT) FILTER (WHERE session_status = 'crashed'), 0)::BIGINT AS crashed,
    coalesce(sum(value::BIGINT) FILTER (WHERE session_status = 'abnormal'), 0)::BIGINT AS abnormal,
    coalesce(sum(value::BIGINT) FILTER (WHERE session_status = 'unhandled'), 0)::BIGINT AS unhandled,
    coalesce(sum(value::BIGINT) FILTER (WHERE session_status = 'errored_preaggr'), 0)::BIGINT AS errored_preaggr
FROM metric_rows
WHERE
    metric = 'c:sessions/session@none'
    AND timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND release IS NOT NULL
    AND value BETWEEN 0 AND 4294967296
    AND value = floor(value)
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release
