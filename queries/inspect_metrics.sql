-- One row per metric, session metric or not, of all time.
-- metric: its name, null where a row has none; metric_rows: its rows; first_us, last_us: its first and last
-- timestamp in microseconds since the epoch, null where no row has one.
SELECT
    metric,
    count(*) AS metric_rows,
    epoch_us(min(timestamp)) AS first_us,
    epoch_us(max(timestamp)) AS last_us
FROM metric_rows
GROUP BY metric
ORDER BY
    metric_rows DESC,
    metric
