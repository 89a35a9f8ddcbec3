-- Hours rolled up to days in UTC; for days of another time zone see metrics_daily_in_zone, which has the same columns. (It is not called
-- here: a view with parameters is looked up in the caller's database.)
create view if not exists metrics_daily_view${on_cluster} as
with ${quantile_functions}
select
    tenant_id, metric_name, day, hours, service_id, plugin_id, environment, team_id, metric_type, unit,
    ${merged_columns}
from
(
    select
        tenant_id, metric_name, toDate(h.hour, 'UTC') as day, service_id, plugin_id, environment, team_id, metric_type, unit,
        uniqExact(h.hour) as hours,
        ${merged_partials}
    from visible_partials as h
    group by tenant_id, metric_name, day, service_id, plugin_id, environment, team_id, metric_type, unit
)
