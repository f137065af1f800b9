-- One row per most frequent dimension_value, most sessions first: sessions, metric_rows, and total_values, the number
-- of all values. What is no value, '', can be a row but is not in that number.
-- Reads metric_rows, whose environment is the value.
WITH value_rows AS (
    SELECT
        environment AS dimension_value,
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
        count(*) AS metric_rows
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
    GROUP BY environment
)

SELECT
    dimension_value,
    sessions,
    metric_rows,
    (SELECT count(*) FROM value_rows WHERE dimension_value <> '') AS total_values
FROM value_rows
ORDER BY
    sessions DESC,
    metric_rows DESC,
    dimension_value
LIMIT 10
