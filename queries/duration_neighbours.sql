-- One row per (project, release) with an exited session of known duration in the window: durations.sql, for databases
-- that count no exact percentiles. exited: sessions of known duration, 1 or more. below, above: lists with the durations,
-- in seconds, 0 or more, of the sessions at the two ranks next to p50 and p90; equal if the percentile is at a rank.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all).
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
)

SELECT
    project_id,
    release,
    max(exited) AS exited,
    [
        min(CASE WHEN up_to > floor((exited - 1) * 0.5::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > floor((exited - 1) * 0.9::DOUBLE) THEN seconds END)
    ] AS below,
    [
        min(CASE WHEN up_to > ceil((exited - 1) * 0.5::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > ceil((exited - 1) * 0.9::DOUBLE) THEN seconds END)
    ] AS above
FROM ranked
GROUP BY
    project_id,
    release
