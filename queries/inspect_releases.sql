-- One row per (project, release) with session metrics, of all time; release_name is null for sessions without one.
-- sessions: sessions that started, 0 or more; metric_rows: rows of any session metric; first_us, last_us: first and last
-- timestamp in microseconds since the epoch.
-- Left out: rows without a project; from sessions: counters without a timestamp and counters that are not integers of 0 to 2^32.
SELECT
    project_id,
    release AS release_name,
    -- CASE, not FILTER: the cast must not see the value of another metric
    sum(
        CASE
            WHEN
                metric = 'c:sessions/session@none'
                AND session_status = 'init'
                AND timestamp IS NOT NULL
                AND value BETWEEN 0 AND 4294967296
                AND value = floor(value)
                THEN value::BIGINT
            ELSE 0
        END
    )::BIGINT AS sessions,
    count(*) AS metric_rows,
    epoch_us(min(timestamp)) AS first_us,
    epoch_us(max(timestamp)) AS last_us
FROM metric_rows
WHERE
    list_contains(
        [
            'c:sessions/session@none',
            's:sessions/user@none',
            's:sessions/error@none',
            'd:sessions/duration@second'
        ],
        metric
    )
    AND project_id IS NOT NULL
GROUP BY
    project_id,
    release_name
