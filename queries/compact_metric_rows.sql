-- One row per metric datum of one day, as it was, in the order that questions about a metric, project and time like.
-- Reads metric_rows: all data of that day.
SELECT
    org_id,
    project_id,
    timestamp,
    metric,
    release,
    environment,
    session_status,
    abnormal_mechanism,
    value,
    member
FROM metric_rows
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
