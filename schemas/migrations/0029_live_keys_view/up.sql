-- Which services contribute the keys of hourly aggregates, by tenant, hour, metric and service. The top contributors of
-- an hour: `select * from live_keys_view where hour = … order by live_keys desc limit 10`. Sum by tenant for the usage
-- of its limit.
create view if not exists live_keys_view${on_cluster} as
select
    tenant_id, hour, metric_name, service_id,
    uniqExact(plugin_id, environment, team_id, metric_type, unit) as live_keys,
    toUInt64(sum(h.count)) as samples
from visible_partials as h
group by tenant_id, hour, metric_name, service_id
