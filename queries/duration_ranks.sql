-- One row per (project, release) with an exited session of known duration in the window.
-- durations: a list with the duration, in seconds, 0 or more, at each of $fractions, in their order:
-- of n sessions, shortest first, that is the one of rank r for the fraction (r - 0.5) / n.
-- Parameters: $start, $end (the window, end excluded); $projects, $releases, $environments (lists, NULL = all);
-- $fractions (a list of 0 to 1).
-- Left out: rows without a release; durations that are null, NaN, infinite or negative.
SELECT
    project_id,
    release,
    -- abs: 0.0 and -0.0 are one duration, whichever comes first
    quantile_disc(abs(value), $fractions) AS durations
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
    project_id,
    release
