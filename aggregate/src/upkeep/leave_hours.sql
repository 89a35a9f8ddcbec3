-- Hours that could not be computed: revision 0 of 0 samples, so they stay due. What had been computed of one before stands.
insert into counter_revisions
(tenant_id, hour, kafka_topic, decided_at, revision, outcome, hourly_samples, raw_samples, series, overflow_series, inserted_at)
select left.1, toDateTime(left.2, 'UTC'), {topic:String}, now64(3), 0, 'computed', 0, 0, 0, 0, now64(3)
from (select arrayJoin(arrayZip({tenants:Array(String)}, {hours:Array(UInt32)})) as left)
where left not in
(
    select r.tenant_id, toUInt32(r.hour) from counter_revisions as r
    where r.kafka_topic = {topic:String} and r.revision > 0 and r.tenant_id in {tenants:Array(String)}
)
