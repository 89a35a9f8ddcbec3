-- The partial aggregates that count: those of metrics_hourly that the newest visible rebuild of their hour has not replaced.
-- The rule is told in rebuilds; everything that answers questions reads here. Filters on key columns reach the primary key.
create view if not exists visible_partials${on_cluster} as
with
    (
        select groupArray((number, hour_from, hour_to, tenant_id, metric_name)) from rebuilds final where state = 'visible'
    ) as visible,
    arrayMax(
        r -> if(h.hour >= r.2 and h.hour < r.3 and (r.4 = '' or r.4 = h.tenant_id) and (r.5 = '' or r.5 = h.metric_name), r.1, 0),
        visible
    ) as rebuild
select h.*
from metrics_hourly as h
where h.epoch = 2 * rebuild - 1 or (h.epoch % 2 = 0 and h.epoch >= 2 * rebuild)
