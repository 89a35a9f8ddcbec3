-- The hours or days of each metric over all of its series, for the days of a span, of some tenants or of all, of which
-- hours and totals have different counts. Days that a rebuild has written into stay as hours.
insert into ${made}
(
    tenant_id, metric_name, hour, metric_type, unit, kafka_topic,
    count, late_count, sum, min, max, last, codes, weights, inserted_at
)
with
    toDateTime({from:UInt32}, 'UTC') as span_from, toDateTime({to:UInt32}, 'UTC') as span_to,
    sumMap(h.positive) as positives, sumMap(h.negative) as negatives
select
    h.tenant_id, h.metric_name, ${start} as start, h.metric_type, h.unit, {topic:String},
    sum(h.count), sum(h.late_count), sum(h.sum), min(h.min), max(h.max), max(h.last),
    arrayConcat(arrayMap(k -> toInt32(-100000 - k), mapKeys(positives)), [toInt32(0)], arrayMap(k -> toInt32(100000 + k), mapKeys(negatives))),
    arrayConcat(mapValues(positives), [sum(h.zero_count)], mapValues(negatives)), now64(3)
${hours_to_make}
group by h.tenant_id, h.metric_name, start, h.metric_type, h.unit
