-- One row per (project, release, bucket) with users in it.
-- bucket: its start in epoch seconds, a multiple of $interval; count: distinct users of the bucket, 1 or more.
-- Parameters: $start, $end (the window, end excluded); $interval (bucket width, seconds);
-- $projects, $releases, $environments (lists, NULL = all).
-- Left out: rows without a release or without a member.
SELECT
    project_id,
    release,
    floor(epoch(timestamp) / $interval)::BIGINT * $interval AS bucket,
    count(DISTINCT member) AS count
FROM metric_rows
WHERE
    metric = 's:sessions/user@none'
    AND timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND release IS NOT NULL
    AND member IS NOT NULL
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, release))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    project_id,
    release,
    bucket
