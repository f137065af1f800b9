-- One row per update of a session of one day, with the marks that it sets first, and those that it repeats.
-- A mark is a bit for each thing that counts once a session (init 1, crashed 2, abnormal 4, unhandled 8, error set 16,
-- duration 32) or once a session and user (user 64, errored 128, crashed 256, unhandled 512, abnormal 1024, of these in
-- the foreground 2048 and in the background 4096). Earlier updates come first; known sessions of the day come before all.
-- Reads session_updates (one row an update, ids as 64-bit numbers) and known_sessions (marks that were set before).
WITH fates AS (
    SELECT
        *,
        xor(sid_member, (md5_number(project_id::VARCHAR) >> 64)::UBIGINT) AS session,
        coalesce(greatest(did_member & 4294967295, 1), 0)::UINTEGER AS user_key,
        errored OR status NOT IN ('ok', 'exited') AS has_errors
    FROM session_updates
),

updates AS MATERIALIZED (
    SELECT
        *,
        (
            CASE WHEN init THEN 1 ELSE 0 END
            | CASE status WHEN 'crashed' THEN 2 WHEN 'abnormal' THEN 4 WHEN 'unhandled' THEN 8 ELSE 0 END
            | CASE WHEN has_errors THEN 16 ELSE 0 END
            | CASE WHEN status = 'exited' AND duration IS NOT NULL THEN 32 ELSE 0 END
            | CASE
                WHEN did_member IS NULL THEN 0
                ELSE
                    CASE WHEN has_errors THEN 128 ELSE 64 END
                    | CASE status
                        WHEN 'crashed' THEN 256
                        WHEN 'unhandled' THEN 512
                        WHEN 'abnormal' THEN
                            CASE abnormal_mechanism
                                WHEN 'anr_foreground' THEN 2048
                                WHEN 'anr_background' THEN 4096
                                ELSE 1024
                            END
                        ELSE 0
                    END
            END
        )::USMALLINT AS marks
    FROM fates
),

in_order AS (
    SELECT
        *,
        true AS is_new
    FROM updates
    UNION ALL BY NAME
    SELECT
        session,
        user_key,
        marks,
        false AS is_new
    FROM known_sessions
),

-- If a session has several users, the marks of the session and those of each user are separate rows.
of_several_users AS (
    SELECT session
    FROM (
        SELECT
            session,
            user_key
        FROM updates
        UNION ALL
        SELECT
            session,
            user_key
        FROM known_sessions
    )
    GROUP BY session
    HAVING min(user_key) < max(user_key)
),

parts AS (
    SELECT
        in_order.* REPLACE (
            CASE WHEN of_several_users.session IS NULL THEN marks ELSE marks & 63::USMALLINT END AS marks
        ),
        0::UINTEGER AS part
    FROM in_order
    LEFT JOIN of_several_users USING (session)
    UNION ALL BY NAME
    SELECT
        * REPLACE (marks & 8128::USMALLINT AS marks),
        user_key AS part
    FROM in_order
    WHERE session IN (SELECT session FROM of_several_users)
),

after_others AS (
    SELECT
        *,
        coalesce(bit_or(marks) OVER earlier, 0::USMALLINT) AS marks_before
    FROM parts
    WINDOW earlier AS (
        PARTITION BY session, part
        ORDER BY
            is_new,
            started_us,
            release,
            environment,
            status,
            duration,
            abnormal_mechanism,
            dimensions,
            user_key,
            input
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
)

SELECT
    org_id,
    project_id,
    session,
    sid_member,
    user_key,
    did_member,
    init,
    started_us,
    status,
    errored,
    has_errors,
    duration,
    release,
    environment,
    abnormal_mechanism,
    dimensions,
    input,
    marks & ~marks_before AS marks_set,
    marks & marks_before AS marks_repeated
FROM after_others
WHERE is_new AND marks > 0
ORDER BY
    project_id,
    started_us
