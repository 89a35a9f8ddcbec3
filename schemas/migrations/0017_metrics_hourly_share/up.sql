-- The share of an hour's observations that are at most a threshold: `select … from metrics_hourly_share(threshold =
-- 0.25)`. Exact except in the one bucket that holds the threshold, whose values are assumed to be evenly spread. A
-- bucket is 1.09 % wide, so the share is exact for some threshold within 1.09 % of the one asked for, and its error is
-- at most that bucket's share. `share_least` and `share_most` are the bounds. Exact below the smallest value and from
-- the largest on.
create view if not exists metrics_hourly_share${on_cluster} as
with
    toFloat64({threshold:Float64}) as threshold,
    ${bucket_index threshold} as place,
    -- Observations whose magnitude is in buckets below the threshold's, and in that bucket itself.
    arraySum((i, c) -> if(i < place, c, 0), mapKeys(buckets), mapValues(buckets)) as inside,
    buckets[place] as within,
    -- Position of the threshold within its bucket, from 0 to 1.
    greatest(0., least(1., (abs(threshold) / exp2(place / 64) - 1) / (exp2(1 / 64) - 1))) as position,
    multiIf(
        threshold < min, (0., 0., 0.),
        threshold >= max, (1., 1., 1.),
        threshold = 0, (below_zero + zero_count, below_zero + zero_count, below_zero + zero_count) / count,
        threshold > 0, (below_zero + zero_count + inside, below_zero + zero_count + inside + within * position, below_zero + zero_count + inside + within) / count,
        (below_zero - inside - within, below_zero - inside - within * position, below_zero - inside) / count
    ) as shares
select
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
    count,
    shares.2 as share,
    shares.1 as share_least,
    shares.3 as share_most
from
(
    select
        tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
        count, min, max, zero_count,
        arraySum(mapValues(negative)) as below_zero,
        if(toFloat64({threshold:Float64}) < 0, negative, positive) as buckets
    from metrics_hourly_view
)
