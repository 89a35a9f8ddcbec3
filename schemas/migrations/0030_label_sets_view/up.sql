-- Which services contribute label sets, by tenant, hour, metric and service, within 1 %. From raw rows, so only for as
-- long as those are kept: `select * from label_sets_view where tenant_id = … and hour = … order by label_sets desc
-- limit 10`.
create view if not exists label_sets_view${on_cluster} as
select
    m.tenant_id as tenant_id, toDateTime(toStartOfHour(m.time), 'UTC') as hour, m.metric_name as metric_name, m.service_id as service_id,
    uniqCombined64(${series_id}) as label_sets,
    count() as samples
from metrics as m
group by tenant_id, hour, metric_name, service_id
