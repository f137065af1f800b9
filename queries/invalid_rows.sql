-- One row per reason why session-metric rows are invalid.
-- reason: in words; invalid: how many rows, 1 or more.
-- Parameters: $start, $end (the window, end excluded); $projects, $environments (lists, NULL = all).
-- Rows without a timestamp or a project could belong to any window or project, so they are always counted.
WITH judged_rows AS (
    SELECT
        CASE
            WHEN timestamp IS NULL
                THEN 'no timestamp'
            WHEN project_id IS NULL
                THEN 'no project'
            WHEN
                metric = 'c:sessions/session@none'
                AND NOT coalesce(value BETWEEN 0 AND 4294967296, FALSE)
                THEN 'session counter null, NaN, infinite, negative or above 2^32'
            WHEN metric = 'c:sessions/session@none' AND value <> floor(value)
                THEN 'session counter not a whole number'
            WHEN
                metric = 'd:sessions/duration@second'
                AND NOT coalesce(value BETWEEN 0 AND 1.7976931348623157e308, FALSE)
                THEN 'duration null, NaN, infinite or negative'
            WHEN metric = 's:sessions/user@none' AND member IS NULL
                THEN 'user without a member'
            WHEN metric = 's:sessions/error@none' AND member IS NULL
                THEN 'error without a member'
        END AS reason
    FROM metric_rows
    WHERE
        list_contains(
            [
                'c:sessions/session@none',
                's:sessions/user@none',
                's:sessions/error@none',
                'd:sessions/duration@second'
            ],
            metric
        )
        AND (timestamp IS NULL OR (timestamp >= $start AND timestamp < $end))
        AND ($projects IS NULL OR project_id IS NULL OR list_contains($projects, project_id))
        AND ($environments IS NULL OR list_contains($environments, environment))
)

SELECT
    reason,
    count(*) AS invalid
FROM judged_rows
WHERE reason IS NOT NULL
GROUP BY reason
ORDER BY reason
