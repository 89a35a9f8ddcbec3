-- Hourly aggregates as an analyst reads them: one row a key and hour, partial aggregates and revisions merged.
-- A filter on key columns reaches the primary key of metrics_hourly, because the inner query groups by those columns as
-- they are; a filter on anything else is applied to merged hours. What is not selected is not computed.
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
