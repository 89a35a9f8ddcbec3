-- Columns: partial aggregates `h` merged, for a `select … group by` over them.
sum(h.count) as count,
sum(h.late_count) as late_count,
sum(h.sum) as sum,
toFloat64(min(h.min)) as min,
toFloat64(max(h.max)) as max,
tupleElement(max(h.last), 'value') as last,
toDateTime64(max(h.inserted_at), 3, 'UTC') as inserted_at,
mapSort(sumMap(h.positive)) as positive,
mapSort(sumMap(h.negative)) as negative,
sum(h.zero_count) as zero_count
