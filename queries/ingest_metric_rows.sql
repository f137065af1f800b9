-- One row per metric datum of one day: what its sessions emit by Relay's rules, and data that came as metrics.
-- Columns, types and units are those of the data contract; members are the lower 64 bits of the MD5 of an id.
-- Reads session_updates (one row an update) and metric_data (one row a datum) of that day.
-- Left out: a first update of a session, of the same status, that was delivered before.
-- Sorted before the updates become several rows each, which costs less than after: each part of the union comes
-- by project and time, and the parts by metric.
WITH repeated AS (
    SELECT
        project_id,
        sid,
        count(*) AS deliveries
    FROM session_updates
    WHERE init
    GROUP BY
        project_id,
        sid
    HAVING count(*) > 1
),

first_updates AS (
    SELECT session_updates.*
    FROM session_updates
    INNER JOIN repeated USING (project_id, sid)
    WHERE init
    QUALIFY
        row_number() OVER (
            PARTITION BY project_id, sid, status
            ORDER BY started_us, release, environment, duration
        ) = 1
),

updates AS (
    SELECT
        *,
        init AS begins
    FROM session_updates
    WHERE
        NOT init
        OR NOT EXISTS (
            SELECT 1
            FROM repeated
            WHERE
                repeated.project_id = session_updates.project_id
                AND repeated.sid = session_updates.sid
        )
    UNION ALL
    SELECT
        *,
        row_number() OVER (
            PARTITION BY project_id, sid
            ORDER BY started_us, release, environment, status
        ) = 1 AS begins
    FROM first_updates
),

sorted_updates AS MATERIALIZED (
    SELECT
        *,
        errored OR NOT list_contains(['ok', 'exited'], status) AS has_errors,
        list_contains(['crashed', 'abnormal', 'unhandled'], status) AS has_fate
    FROM updates
    ORDER BY
        project_id,
        started_us
),

sorted_metric_data AS MATERIALIZED (
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
        NULL::UBIGINT AS member
    FROM sorted_updates
    WHERE begins
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
        NULL AS member
    FROM sorted_updates
    WHERE has_fate
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
        NULL AS member
    FROM sorted_updates
    WHERE
        status = 'exited'
        AND duration IS NOT NULL
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
        md5_number_lower(sid) AS member
    FROM sorted_updates
    WHERE has_errors
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
        md5_number_lower(did) AS member
    FROM sorted_updates
    WHERE did IS NOT NULL
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
        md5_number_lower(did) AS member
    FROM sorted_updates
    WHERE
        has_fate
        AND did IS NOT NULL
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
        member
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
    member
FROM emitted
