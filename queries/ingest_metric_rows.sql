-- One row per metric datum of one day: what its sessions emit by Relay's rules, and data that came as metrics; with
-- the input of each.
-- Columns, types and units are those of the data contract; members are the lower 64 bits of the MD5 of an id.
-- Reads marked_updates (one row an update, by project and time) and metric_data (one row a datum) of that day.
-- Left out: what an earlier update of the session emitted.
-- Each part of the union is in order of project and time, and the parts in order of metric.
WITH sorted_metric_data AS MATERIALIZED (
    SELECT *
    FROM metric_data
    ORDER BY
        metric,
        project_id,
        started_us
),

emitted AS (
    SELECT
        org_id,
        project_id,
        started_us,
        'c:sessions/session@none' AS metric,
        release,
        environment,
        'init' AS session_status,
        NULL::VARCHAR AS abnormal_mechanism,
        1.0::DOUBLE AS value,
        NULL::UBIGINT AS member,
        dimensions,
        input
    FROM marked_updates
    WHERE marks_set & 1 > 0
    UNION ALL
    SELECT
        org_id,
        project_id,
        started_us,
        'c:sessions/session@none' AS metric,
        release,
        environment,
        status AS session_status,
        NULL AS abnormal_mechanism,
        1.0 AS value,
        NULL AS member,
        dimensions,
        input
    FROM marked_updates
    WHERE marks_set & (2 | 4 | 8) > 0
    UNION ALL
    SELECT
        org_id,
        project_id,
        started_us,
        'd:sessions/duration@second' AS metric,
        release,
        environment,
        'exited' AS session_status,
        NULL AS abnormal_mechanism,
        duration AS value,
        NULL AS member,
        dimensions,
        input
    FROM marked_updates
    WHERE marks_set & 32 > 0
    UNION ALL
    SELECT
        org_id,
        project_id,
        started_us,
        's:sessions/error@none' AS metric,
        release,
        environment,
        NULL AS session_status,
        NULL AS abnormal_mechanism,
        NULL AS value,
        sid_member AS member,
        dimensions,
        input
    FROM marked_updates
    WHERE marks_set & 16 > 0
    UNION ALL
    SELECT
        org_id,
        project_id,
        started_us,
        's:sessions/user@none' AS metric,
        release,
        environment,
        CASE WHEN has_errors THEN 'errored' END AS session_status,
        NULL AS abnormal_mechanism,
        NULL AS value,
        did_member AS member,
        dimensions,
        input
    FROM marked_updates
    WHERE marks_set & (64 | 128) > 0
    UNION ALL
    SELECT
        org_id,
        project_id,
        started_us,
        's:sessions/user@none' AS metric,
        release,
        environment,
        status AS session_status,
        CASE WHEN status = 'abnormal' THEN abnormal_mechanism END AS abnormal_mechanism,
        NULL AS value,
        did_member AS member,
        dimensions,
        input
    FROM marked_updates
    WHERE marks_set & (256 | 512 | 1024 | 2048 | 4096) > 0
    UNION ALL
    SELECT
        org_id,
        project_id,
        started_us,
        metric,
        release,
        environment,
        session_status,
        abnormal_mechanism,
        value,
        member,
        dimensions,
        input
    FROM sorted_metric_data
)

SELECT
    org_id,
    project_id,
    make_timestamp(started_us // 10000000 * 10000000)::TIMESTAMPTZ AS timestamp,
    metric,
    release,
    environment,
    session_status,
    abnormal_mechanism,
    value,
    member,
    dimensions,
    input
FROM emitted
