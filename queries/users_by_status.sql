-- One row per (project, release) with a user in the window.
-- users: distinct users of any status; crashed, unhandled, errored, abnormal: those ever seen with that status.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
-- Left out: rows without a release or without a member.
WITH release_users AS (
    SELECT
        project_id,
        release,
        member,
        bool_or(session_status = 'crashed') AS crashed,
        bool_or(session_status = 'unhandled') AS unhandled,
        bool_or(session_status = 'errored') AS errored,
        bool_or(session_status = 'abnormal') AS abnormal
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
    count(*) FILTER (WHERE crashed) AS crashed,
    count(*) FILTER (WHERE unhandled) AS unhandled,
    count(*) FILTER (WHERE errored) AS errored,
    count(*) FILTER (WHERE abnormal) AS abnormal
FROM release_users
GROUP BY
    project_id,
    release
