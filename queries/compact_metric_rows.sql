-- One row per metric datum of one day, unchanged, and its input; by metric, project and time.
-- Reads day_rows: all data of that day, with any further columns.
SELECT *
FROM day_rows
ORDER BY
    metric,
    project_id,
    timestamp,
    release,
    environment,
    session_status,
    abnormal_mechanism,
    value,
    member,
    org_id
