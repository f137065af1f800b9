-- One row per session, user and input of one day: the marks (ingest_marked_updates.sql) that the input set first.
-- Reads known_sessions: those of all files of that day.
SELECT
    session,
    user_key,
    bit_or(marks) AS marks,
    input
FROM known_sessions
GROUP BY
    session,
    user_key,
    input
ORDER BY session
