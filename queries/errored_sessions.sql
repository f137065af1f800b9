-- One row per (project, release) with an error in the window.
-- errored: distinct sessions of the error set, with any status; 1 or more.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: rows without a release or without a member.
SELECT
    project_id,
    release,
    count(DISTINCT member) AS errored
FROM metric_rows
WHERE
    metric = 's:sessions/error@none'
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
    release
