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
    with
        (
            select groupArray((number, hour_from, hour_to, tenant_id, metric_name)) from rebuilds final
            where state = 'visible' and visible_at <= toDateTime({as_of:String}, 'UTC')
        ) as visible,
        arrayMax(
            r -> if(h.hour >= r.2 and h.hour < r.3 and (r.4 = '' or r.4 = h.tenant_id) and (r.5 = '' or r.5 = h.metric_name), r.1, 0),
            visible
        ) as rebuild
    select
        tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit,
        ${merged_partials}
    from metrics_hourly as h
    where (h.epoch = 2 * rebuild - 1 or (h.epoch % 2 = 0 and h.epoch >= 2 * rebuild))
        and h.hour + interval 1 hour <= toDateTime({as_of:String}, 'UTC')
        and (h.revised_at = toDateTime(0, 'UTC') or h.revised_at + interval 1 minute <= toDateTime({as_of:String}, 'UTC'))
    group by tenant_id, metric_name, hour, service_id, plugin_id, environment, team_id, metric_type, unit
)
