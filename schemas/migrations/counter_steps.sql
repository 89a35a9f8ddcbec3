-- From samples `r` with their series_id: each sample beside its predecessor. The first sample of a series is its own
-- predecessor and so adds nothing: what it rose from is unknown.
select
    r.*,
    toDateTime(toStartOfHour(r.time), 'UTC') as hour,
    lagInFrame(r.value, 1, r.value) over samples as previous,
    lagInFrame(r.time, 1, toDateTime64(0, 6, 'UTC')) over samples as previous_time
from r
window samples as (
    partition by r.kafka_topic, r.tenant_id, r.metric_name, r.service_id, r.plugin_id, r.environment, r.series_id
    order by r.time, r.kafka_partition, r.kafka_offset
    rows between 1 preceding and current row
)
