-- The next revision of some hours: the current time, and above every one that exists, even if it never counted.
select greatest(toUInt64(toUnixTimestamp64Milli(now64(3))), max(newest) + 1) as revision
from
(
    select max(r.revision) as newest from counter_revisions as r
    where r.tenant_id = {tenant:String} and r.kafka_topic = {topic:String}
        and r.hour >= toDateTime({from:UInt32}, 'UTC') and r.hour < toDateTime({to:UInt32}, 'UTC')
    union all
    select max(c.revision) from counter_hourly as c
    where c.tenant_id = {tenant:String} and c.kafka_topic = {topic:String}
        and c.hour >= toDateTime({from:UInt32}, 'UTC') and c.hour < toDateTime({to:UInt32}, 'UTC')
)
