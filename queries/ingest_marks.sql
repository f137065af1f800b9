-- One row per session, user and input of one day: the marks (ingest_marked_updates.sql) that the input set first.
-- Reads marked_updates. Left out: updates that set no mark.
SELECT
    session,
    user_key,
    bit_or(marks_set) AS marks,
    input
FROM marked_updates
WHERE marks_set > 0
GROUP BY
    session,
    user_key,
    input
ORDER BY session
