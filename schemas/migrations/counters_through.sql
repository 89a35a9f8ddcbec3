-- For each topic that the aggregate stage reads: hours before `through` are computed; 1970 if none is.
select kafka_topic, max(t.topic_through) as through
from
(
    select u.kafka_topic as kafka_topic, argMax(u.through, u.inserted_at) as topic_through
    from upkeep_progress as u where u.task = 'counters' group by kafka_topic
    union all
    select distinct p.kafka_topic as kafka_topic, toDateTime(0, 'UTC') as topic_through from partition_progress as p
) as t
group by kafka_topic
