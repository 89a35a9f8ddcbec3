-- Columns for analysts, from merged partial aggregates.
--
-- Quantiles. The q-quantile is the value of rank floor(q * count) in sorted order, as quantileExact takes it. Buckets in
-- sorted order are the negative ones by falling index, zero, the positive ones by rising index; the first whose
-- cumulative count exceeds the rank holds it. Bucket i covers (2^(i/64), 2^((i+1)/64)] and is represented by the harmonic
-- mean of its bounds, 2 * lo * hi / (lo + hi) = lo * 2 / (1 + 2^(-1/64)): the value is off by less than 0.6 %. The
-- clamp makes single-valued and extreme hours exact.
count,
late_count,
sum,
sum / count as avg,
min,
max,
last,
quantile_at(0.5) as p50,
quantile_at(0.9) as p90,
quantile_at(0.95) as p95,
quantile_at(0.99) as p99,
quantile_at(0.999) as p999,
positive,
negative,
zero_count,
inserted_at
