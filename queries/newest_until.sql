-- One row: the newest session metric before an instant.
-- newest_us: its timestamp in microseconds since the epoch; null where there is none.
-- Parameters: $end (the instant, excluded).
SELECT epoch_us(max(timestamp)) AS newest_us
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
    AND timestamp < $end
