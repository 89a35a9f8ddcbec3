-- What was known at a time: `select … from metrics_hourly_as_of(as_of = '2026-05-01 12:00:00')`, in UTC. Columns as in
-- metrics_hourly_view. Revisions count from the end of the minute in which they were made, rebuilds from when they
-- became visible. Hours that had not ended by then are left out; whether an hour was complete by then is told by the
-- watermarks in batch_ledger.
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
