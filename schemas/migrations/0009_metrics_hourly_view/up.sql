-- Hourly aggregates for analysts: one row per key and hour, with partial aggregates and revisions merged. A filter on
-- key columns reaches the primary key of metrics_hourly, because the inner query groups by those columns unchanged; a
-- filter on anything else is applied to merged hours. Columns that are not selected are not computed.
create view if not exists metrics_hourly_view${on_cluster} as
with ${quantile_functions}
select
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
    ${merged_columns}
from
(
    select
        tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
        ${merged_partials}
    from visible_partials as h
    group by tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit
)
