-- Columns: the steps of a series in an hour, added up. A value below its predecessor is a reset and counts in full.
count() as samples,
sum(if(value >= previous, value - previous, greatest(value, 0.))) as increase,
countIf(value < previous) as resets,
argMin((previous_time, previous), (time, kafka_partition, kafka_offset)) as before,
min(time) as first_time,
max(time) as last_time,
argMax(value, (time, kafka_partition, kafka_offset)) as last_value
