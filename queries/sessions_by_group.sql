-- One row per (project_id, release, environment, bucket) selected, with a session counter in the window.
-- sessions: sessions that started; crashed, abnormal, unhandled, errored_preaggr: sessions of that status; 0 or more.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all);
-- $by_project, $by_release, $by_environment (whether to group by it; else it is null); $interval (bucket
-- width in seconds; NULL: no buckets). bucket: its start in epoch seconds. No release, no environment: ''.
-- Left out: counters that are not integers of 0 to 2^32.
SELECT
    CASE WHEN $by_project THEN project_id END AS project_id,
    CASE WHEN $by_release THEN coalesce(release, '') END AS release,
    CASE WHEN $by_environment THEN environment END AS environment,
    floor(epoch(timestamp) / $interval::BIGINT)::BIGINT * $interval::BIGINT AS bucket,
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
    AND value BETWEEN 0 AND 4294967296
    AND value = floor(value)
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, coalesce(release, '')))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    1,
    2,
    3,
    4
