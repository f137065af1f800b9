-- One row per (project_id, release, environment, bucket) selected, with an error in the window.
-- errored: distinct sessions of the error set, with any status; 1 or more.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all);
-- $by_project, $by_release, $by_environment (whether to group by it; else it is null); $interval (bucket
-- width in seconds; NULL: no buckets). bucket: its start in epoch seconds. No release, no environment: ''.
-- Left out: rows without a member.
SELECT
    CASE WHEN $by_project THEN project_id END AS project_id,
    CASE WHEN $by_release THEN coalesce(release, '') END AS release,
    CASE WHEN $by_environment THEN environment END AS environment,
    floor(epoch(timestamp) / $interval::BIGINT)::BIGINT * $interval::BIGINT AS bucket,
    count(DISTINCT member) AS errored
FROM metric_rows
WHERE
    metric = 's:sessions/error@none'
    AND timestamp >= $start
    AND timestamp < $end
    AND project_id IS NOT NULL
    AND member IS NOT NULL
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($releases IS NULL OR list_contains($releases, coalesce(release, '')))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY
    1,
    2,
    3,
    4
