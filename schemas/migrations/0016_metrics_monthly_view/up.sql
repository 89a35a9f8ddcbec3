-- Hours rolled up to months in UTC; for months of another time zone see metrics_monthly_in_zone, which has the same columns. (It is not called
-- here: a view with parameters is looked up in the caller's database.)
create view if not exists metrics_monthly_view${on_cluster} as
with ${quantile_functions}
select
    tenant_id, metric_name, month, hours, service_id, plugin_id, environment, team_id, metric_type, unit,
    ${merged_columns}
from
(
    select
        tenant_id, metric_name, toStartOfMonth(h.hour, 'UTC') as month, service_id, plugin_id, environment, team_id, metric_type, unit,
        uniqExact(h.hour) as hours,
        ${merged_partials}
    from visible_partials as h
    group by tenant_id, metric_name, month, service_id, plugin_id, environment, team_id, metric_type, unit
)
