-- One row per (project_id, release, environment, bucket) selected, with an exited session of known duration.
-- mean, longest: of durations in seconds; percentiles: their p50, p75, p90, p95, p99, linear between neighbours.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all);
-- $by_project, $by_release, $by_environment (whether to group by it; else it is null); $interval (bucket
-- width in seconds; NULL: no buckets). bucket: its start in epoch seconds. No release, no environment: ''.
-- Left out: durations that are null, NaN, infinite or negative.
SELECT
    CASE WHEN $by_project THEN project_id END AS project_id,
    CASE WHEN $by_release THEN coalesce(release, '') END AS release,
    CASE WHEN $by_environment THEN environment END AS environment,
    floor(epoch(timestamp) / $interval::BIGINT)::BIGINT * $interval::BIGINT AS bucket,
    -- As integers of 2^-50 s, so that the sum does not depend on the order of the rows.
    CASE
        WHEN max(value) <= 1099511627776
            THEN sum(
                CASE
                    WHEN value <= 1099511627776 THEN (value * 1125899906842624)::DECIMAL(38, 0)
                END
            )::DOUBLE / 1125899906842624 / count(*)
        ELSE avg(value / 1073741824) * 1073741824
    END AS mean,
    quantile_cont(abs(value), [0.5, 0.75, 0.9, 0.95, 0.99]) AS percentiles,
    max(abs(value)) AS longest
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
    4
