-- One row per update of one day whose marks (ingest_marked_updates.sql) another input set: they would count without it.
-- Reads marked_updates and known_sessions.
-- Left out: marks that the same input set before, and equal updates.
WITH set_by AS (
    SELECT
        session,
        user_key,
        marks_set AS marks,
        input
    FROM marked_updates
    UNION ALL
    SELECT
        session,
        user_key,
        marks,
        input
    FROM known_sessions
),

own_of_session AS (
    SELECT
        session,
        input,
        bit_or(marks) & 63::USMALLINT AS marks
    FROM set_by
    GROUP BY
        session,
        input
),

own_of_user AS (
    SELECT
        session,
        user_key,
        input,
        bit_or(marks) & 8128::USMALLINT AS marks
    FROM set_by
    GROUP BY
        session,
        user_key,
        input
)

SELECT DISTINCT
    org_id,
    project_id,
    sid_member,
    did_member,
    init,
    started_us,
    status,
    errored,
    duration,
    release,
    environment,
    abnormal_mechanism,
    dimensions,
    repeated.input
FROM (SELECT * FROM marked_updates WHERE marks_repeated > 0) AS repeated
LEFT JOIN own_of_session USING (session, input)
LEFT JOIN own_of_user USING (session, user_key, input)
WHERE
    marks_repeated
    & ~(coalesce(own_of_session.marks, 0::USMALLINT) | coalesce(own_of_user.marks, 0::USMALLINT))
    > 0
