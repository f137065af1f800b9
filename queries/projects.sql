-- One row per project with session metrics, of all time.
-- project_id: its id.
SELECT DISTINCT project_id
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
    AND project_id IS NOT NULL
ORDER BY project_id
