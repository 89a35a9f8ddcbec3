-- What was known at a time: `select … from metrics_hourly_as_of(as_of = '2026-05-01 12:00:00')`, in UTC. Columns as in
-- metrics_hourly_view. Revisions count from the end of the minute they were made in, rebuilds from when they were visible. An hour
-- that had not ended by then is left out; whether one was complete by then, the watermarks in batch_ledger tell.
create view if not exists metrics_hourly_as_of${on_cluster} as
with ${quantile_functions}
select
    tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
    ${merged_columns}
from
(
    with (${visible_rebuilds} and visible_at <= toDateTime({as_of:String}, 'UTC')) as visible
    select
        tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
        ${merged_partials}
    from metrics_hourly as h
    where (${visible_epochs h})
        and h.hour + interval 1 hour <= toDateTime({as_of:String}, 'UTC')
        and (h.revised_at = toDateTime(0, 'UTC') or h.revised_at + interval 1 minute <= toDateTime({as_of:String}, 'UTC'))
    group by tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit
)
