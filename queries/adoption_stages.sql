-- One row per (project, release, environment) with sessions in the window; environment '' = none, or all together.
-- sessions, environment_sessions: started since $recent, of the release and of all releases; 0 or more. first_adopted,
-- last_adopted: epoch seconds; ends of the first and last six full hours up to $now in which the release had a tenth
-- of the environment's sessions; null for none. Parameters: $start, $end (the window, end excluded), $recent, $now;
-- $projects, $releases, $environments (lists, NULL = all); $by_environment (whether to group by these).
-- Left out: counters that are not integers of 0 to 2^32.
WITH release_hours AS (
    SELECT
        project_id,
        coalesce(release, '') AS release,
        CASE WHEN $by_environment THEN environment ELSE '' END AS environment,
        floor(epoch(timestamp) / 3600)::BIGINT AS hour,
        sum(value::BIGINT)::BIGINT AS sessions
    FROM metric_rows
    WHERE
        metric = 'c:sessions/session@none'
        AND session_status = 'init'
        AND timestamp >= $start
        AND timestamp < $end
        AND project_id IS NOT NULL
        AND value BETWEEN 0 AND 4294967296
        AND value = floor(value)
        AND ($projects IS NULL OR list_contains($projects, project_id))
        AND ($environments IS NULL OR list_contains($environments, environment))
    GROUP BY
        1,
        2,
        3,
        4
),

hours_later AS (
    SELECT unnest(generate_series(1, 6)) AS later
),

-- Sessions of an hour count in the six windows that end one to six hours after its start.
release_looks AS (
    SELECT
        release_hours.project_id,
        release_hours.release,
        release_hours.environment,
        release_hours.hour + hours_later.later AS look,
        sum(release_hours.sessions)::BIGINT AS sessions
    FROM release_hours
    CROSS JOIN hours_later
    GROUP BY
        1,
        2,
        3,
        4
),

environment_looks AS (
    SELECT
        project_id,
        environment,
        look,
        sum(sessions)::BIGINT AS sessions
    FROM release_looks
    GROUP BY
        project_id,
        environment,
        look
),

adopted_looks AS (
    SELECT
        release_looks.project_id,
        release_looks.release,
        release_looks.environment,
        min(release_looks.look) * 3600 AS first_adopted,
        max(release_looks.look) * 3600 AS last_adopted
    FROM release_looks
    INNER JOIN environment_looks
        ON
            release_looks.project_id = environment_looks.project_id
            AND release_looks.environment = environment_looks.environment
            AND release_looks.look = environment_looks.look
    WHERE
        release_looks.sessions > 0
        AND release_looks.sessions * 10 >= environment_looks.sessions
        AND release_looks.look * 3600 >= epoch($start) + 6 * 3600
        AND release_looks.look * 3600 <= epoch($now)
    GROUP BY
        release_looks.project_id,
        release_looks.release,
        release_looks.environment
),

environment_sessions AS (
    SELECT
        project_id,
        environment,
        coalesce(sum(sessions) FILTER (WHERE hour * 3600 >= epoch($recent)), 0)::BIGINT AS sessions
    FROM release_hours
    GROUP BY
        project_id,
        environment
),

release_sessions AS (
    SELECT
        project_id,
        release,
        environment,
        coalesce(sum(sessions) FILTER (WHERE hour * 3600 >= epoch($recent)), 0)::BIGINT AS sessions
    FROM release_hours
    GROUP BY
        project_id,
        release,
        environment
    HAVING sum(release_hours.sessions) > 0
)

SELECT
    release_sessions.project_id,
    release_sessions.release,
    release_sessions.environment,
    release_sessions.sessions,
    environment_sessions.sessions AS environment_sessions,
    adopted_looks.first_adopted,
    adopted_looks.last_adopted
FROM release_sessions
INNER JOIN environment_sessions
    ON
        release_sessions.project_id = environment_sessions.project_id
        AND release_sessions.environment = environment_sessions.environment
LEFT JOIN adopted_looks
    ON
        release_sessions.project_id = adopted_looks.project_id
        AND release_sessions.release = adopted_looks.release
        AND release_sessions.environment = adopted_looks.environment
WHERE
    release_sessions.release <> ''
    AND ($releases IS NULL OR list_contains($releases, release_sessions.release))
