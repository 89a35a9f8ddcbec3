insert into counter_revisions
(tenant_id, hour, kafka_topic, decided_at, revision, outcome, hourly_samples, raw_samples, series, overflow_series, inserted_at)
select
    {tenant:String}, toDateTime({from:UInt32}, 'UTC'), {topic:String}, now64(3),
    argMax(revision, decided_at), 'raw_expired', {hourly_samples:UInt64}, argMax(raw_samples, decided_at),
    argMax(series, decided_at), argMax(overflow_series, decided_at), now64(3)
from counter_revisions
where tenant_id = {tenant:String} and kafka_topic = {topic:String} and hour = toDateTime({from:UInt32}, 'UTC')
