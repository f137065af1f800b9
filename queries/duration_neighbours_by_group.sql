-- One row per (project_id, release, environment, bucket) selected, with an exited session of known duration:
-- durations_by_group.sql, for other databases, with its keys and parameters $start, $end, $interval, $projects, $releases,
-- $environments, $by_project, $by_release, $by_environment. exited: sessions. below, above: lists with the durations, in
-- seconds, of the sessions at the two ranks next to p50, p75, p90, p95, p99. parts: a list of four integers, which add up
-- to the sum of durations in units of 2^20, 1, 2^-25 and 2^-50 s. longest: seconds; mean: used if longest is above 2^40.
-- Left out: durations that are null, NaN, infinite or negative.
WITH histogram AS (
    SELECT
        CASE WHEN $by_project THEN project_id END AS project_id,
        CASE WHEN $by_release THEN coalesce(release, '') END AS release,
        CASE WHEN $by_environment THEN environment END AS environment,
        floor(epoch(timestamp) / $interval::BIGINT)::BIGINT * $interval::BIGINT AS bucket,
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
        AND value BETWEEN 0 AND 1.7976931348623157e308
        AND ($projects IS NULL OR list_contains($projects, project_id))
        AND ($releases IS NULL OR list_contains($releases, coalesce(release, '')))
        AND ($environments IS NULL OR list_contains($environments, environment))
    GROUP BY
        1,
        2,
        3,
        4,
        5
),

ranked AS (
    SELECT
        project_id,
        release,
        environment,
        bucket,
        seconds,
        sessions,
        -- What the parts are made of; longer durations do not fit into them.
        CASE WHEN seconds <= 1099511627776 THEN floor(seconds) END AS entire,
        CASE WHEN seconds <= 1099511627776 THEN floor((seconds - floor(seconds)) * 33554432) END AS fine,
        CASE
            WHEN seconds <= 1099511627776
                THEN
                    (
                        (seconds - floor(seconds)) * 33554432
                        - floor((seconds - floor(seconds)) * 33554432)
                    )
                    * 33554432
        END AS finest,
        sum(sessions) OVER (PARTITION BY project_id, release, environment, bucket)::BIGINT AS exited,
        sum(sessions) OVER (
            PARTITION BY project_id, release, environment, bucket
            ORDER BY seconds ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )::BIGINT AS up_to
    FROM histogram
)

SELECT
    project_id,
    release,
    environment,
    bucket,
    max(exited) AS exited,
    [
        min(CASE WHEN up_to > floor((exited - 1) * 0.5::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > floor((exited - 1) * 0.75::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > floor((exited - 1) * 0.9::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > floor((exited - 1) * 0.95::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > floor((exited - 1) * 0.99::DOUBLE) THEN seconds END)
    ] AS below,
    [
        min(CASE WHEN up_to > ceil((exited - 1) * 0.5::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > ceil((exited - 1) * 0.75::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > ceil((exited - 1) * 0.9::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > ceil((exited - 1) * 0.95::DOUBLE) THEN seconds END),
        min(CASE WHEN up_to > ceil((exited - 1) * 0.99::DOUBLE) THEN seconds END)
    ] AS above,
    [
        sum(floor(entire / 1048576)::BIGINT * sessions)::BIGINT,
        sum((entire - floor(entire / 1048576) * 1048576)::BIGINT * sessions)::BIGINT,
        sum(fine::BIGINT * sessions)::BIGINT,
        sum(
            (floor(finest)::BIGINT + CASE WHEN finest - floor(finest) >= 0.5::DOUBLE THEN 1 ELSE 0 END) * sessions
        )::BIGINT
    ] AS parts,
    max(seconds) AS longest,
    sum(seconds / 1073741824 * sessions) / max(exited) * 1073741824 AS mean
FROM ranked
GROUP BY
    1,
    2,
    3,
    4
