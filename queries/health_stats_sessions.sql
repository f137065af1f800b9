-- One row per (project, release, bucket) with sessions that started in it.
-- bucket: its start in epoch seconds, a multiple of $interval; count: sessions that started, 1 or more.
-- Parameters: $start, $end (the window, end excluded); $interval (bucket width, seconds);
-- $projects, $releases, $environments (lists, NULL = all).
-- Left out: rows without a release; counters that are not integers of 1 to 2^32.
SELECT
    project_id,
    release,
    floor(epoch(timestamp) / $interval)::BIGINT * $interval AS bucket,
    sum(value::BIGINT)::BIGINT AS count
FROM metric_rows
WHERE
    metric = 'c:sessions/session@none'
    AND session_status = 'init'
    AND timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND release IS NOT NULL
    AND value BETWEEN 1 AND 4294967296
    AND value = floor(value)
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release,
    bucket
