-- One row per (project, release) with a user in the window: how the sessions with an event are spread over its users.
-- users: distinct users; sessions: their sessions (of one user, those of one timestamp are one session); events: their
-- sessions of one of $statuses; affected: the users with an event. Sums over the users of the square of each user's
-- sessions: sessions_squared; of the events: events_squared; of sessions times events: products.
-- Parameters: $start, $end (the window, end excluded); $statuses (a list); $projects, $releases, $environments (lists,
-- NULL = all). Left out: rows without a release or without a member.
WITH user_session AS (
    SELECT
        project_id,
        release,
        member,
        timestamp,
        max(CASE WHEN list_contains($statuses, session_status) THEN 1 ELSE 0 END) AS event
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
        member,
        timestamp
),

release_user AS (
    SELECT
        project_id,
        release,
        member,
        count(*) AS sessions,
        sum(event) AS events
    FROM user_session
    GROUP BY
        project_id,
        release,
        member
)

SELECT
    project_id,
    release,
    count(*) AS users,
    sum(sessions)::BIGINT AS sessions,
    sum(events)::BIGINT AS events,
    count(*) FILTER (WHERE events > 0) AS affected,
    sum(sessions * sessions)::BIGINT AS sessions_squared,
    sum(events * events)::BIGINT AS events_squared,
    sum(sessions * events)::BIGINT AS products
FROM release_user
GROUP BY
    project_id,
    release
