-- One row per organisation with session metrics of the selected projects in the window.
-- org_id: its id.
-- Parameters: $start, $end (the window, end excluded); $projects (list, NULL = all).
-- Left out: rows without an organisation.
SELECT DISTINCT org_id
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
    AND timestamp >= $start
    AND timestamp < $end
    AND org_id IS NOT NULL
    AND ($projects IS NULL OR list_contains($projects, project_id))
ORDER BY org_id
