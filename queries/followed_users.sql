-- One row per (project, release) with a user who could be followed: one whose first session in the window began at least
-- $follow_up seconds before its end.
-- users: these users; affected: those with a session of one of $statuses within $follow_up seconds of their first.
-- Parameters: $start, $end (the window, end excluded); $follow_up (seconds); $statuses (a list); $projects, $releases,
-- $environments (lists, NULL = all).
-- Left out: rows without a release or without a member.
WITH release_user AS (
    SELECT
        project_id,
        release,
        member,
        min(epoch_us(timestamp)) AS began,
        min(CASE WHEN list_contains($statuses, session_status) THEN epoch_us(timestamp) END) AS first_event
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
        member
)

SELECT
    project_id,
    release,
    count(*) AS users,
    count(*) FILTER (WHERE first_event < began + $follow_up::BIGINT * 1000000) AS affected
FROM release_user
WHERE began + $follow_up::BIGINT * 1000000 <= epoch_us($end)
GROUP BY
    project_id,
    release
