-- One row per (project, release) with an exited session of known duration in the window, and per fraction:
-- duration_ranks.sql, for databases that have no exact ranks. fraction: one of $fractions. seconds: the duration, 0 or more:
-- of n sessions, shortest first, that is the one of rank r for the fraction (r - 0.5) / n.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all);
-- $fractions (a list of 0 to 1).
-- Left out: rows without a release; durations that are null, NaN, infinite or negative.
WITH histogram AS (
    SELECT
        project_id,
        release,
        -- abs: 0.0 and -0.0 are one duration, whichever comes first
        abs(value) AS seconds,
        count(*) AS sessions
    FROM metric_rows
    WHERE
        metric = 'd:sessions/duration@second'
        AND session_status = 'exited'
        AND timestamp >= $start
        AND timestamp < $end
        AND project_id IS NOT NULL
        AND release IS NOT NULL
        AND value BETWEEN 0 AND 1.7976931348623157e308
        AND ($projects IS NULL OR list_contains($projects, project_id))
        AND ($releases IS NULL OR list_contains($releases, release))
        AND ($environments IS NULL OR list_contains($environments, environment))
    GROUP BY
        1,
        2,
        3
),

ranked AS (
    SELECT
        project_id,
        release,
        seconds,
        sum(sessions) OVER (PARTITION BY project_id, release)::BIGINT AS exited,
        sum(sessions) OVER (
            PARTITION BY project_id, release
            ORDER BY seconds ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )::BIGINT AS up_to
    FROM histogram
),

asked AS (
    SELECT unnest($fractions) AS fraction
)

SELECT
    ranked.project_id,
    ranked.release,
    asked.fraction,
    min(ranked.seconds) AS seconds
FROM ranked
CROSS JOIN asked
WHERE
    ranked.up_to >= 1
    AND ranked.up_to >= ranked.exited - floor(ranked.exited - ranked.exited * asked.fraction)
GROUP BY
    ranked.project_id,
    ranked.release,
    asked.fraction
