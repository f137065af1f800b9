-- One row per (project, release), and one per project (whole_project, release null) over all its releases.
-- sessions: sessions that started; users: distinct users; both 0 or more, in the window.
-- Parameters: $start, $end (the window, end excluded); $projects, $environments (lists, NULL = all).
-- Sessions without a release count only in the project's row.
-- Left out: counters that are not integers of 0 to 2^32; users without a member.
SELECT
    project_id,
    release,
    grouping(release) = 1 AS whole_project,
    -- CASE, not FILTER: the cast must not see the value of another metric
    sum(
        CASE
            WHEN metric = 'c:sessions/session@none' AND session_status = 'init'
                THEN value::BIGINT
            ELSE 0
        END
    )::BIGINT AS sessions,
    count(DISTINCT member) FILTER (WHERE metric = 's:sessions/user@none') AS users
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
        OR (metric = 's:sessions/user@none' AND member IS NOT NULL)
    )
    AND ($projects IS NULL OR list_contains($projects, project_id))
    AND ($environments IS NULL OR list_contains($environments, environment))
GROUP BY GROUPING SETS (
    (project_id, release),
    (project_id)
)
HAVING grouping(release) = 1 OR release IS NOT NULL
