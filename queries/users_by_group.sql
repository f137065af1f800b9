-- One row per (project_id, release, environment, bucket) selected, with a user in the window.
-- users: distinct users of any status; crashed, unhandled, errored, abnormal: those ever seen with that status;
-- anr, foreground_anr: those whose app did not respond, at all or in the foreground. 0 or more.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all);
-- $by_project, $by_release, $by_environment (whether to group by it; else it is null); $interval (bucket
-- width in seconds; NULL: no buckets). bucket: its start in epoch seconds. No release, no environment: ''.
WITH group_users AS (
    SELECT
        CASE WHEN $by_project THEN project_id END AS project_id,
        CASE WHEN $by_release THEN coalesce(release, '') END AS release,
        CASE WHEN $by_environment THEN environment END AS environment,
        floor(epoch(timestamp) / $interval::BIGINT)::BIGINT * $interval::BIGINT AS bucket,
        member,
        bool_or(session_status = 'crashed') AS crashed,
        bool_or(session_status = 'unhandled') AS unhandled,
        bool_or(session_status = 'errored') AS errored,
        bool_or(session_status = 'abnormal') AS abnormal,
        bool_or(list_contains(['anr_foreground', 'anr_background'], abnormal_mechanism)) AS anr,
        bool_or(abnormal_mechanism = 'anr_foreground') AS foreground_anr
    FROM metric_rows
    WHERE
        metric = 's:sessions/user@none'
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
        4,
        5
)

SELECT
    project_id,
    release,
    environment,
    bucket,
    count(*) AS users,
    count(*) FILTER (WHERE crashed) AS crashed,
    count(*) FILTER (WHERE unhandled) AS unhandled,
    count(*) FILTER (WHERE errored) AS errored,
    count(*) FILTER (WHERE abnormal) AS abnormal,
    count(*) FILTER (WHERE anr) AS anr,
    count(*) FILTER (WHERE foreground_anr) AS foreground_anr
FROM group_users
GROUP BY
    1,
    2,
    3,
    4
