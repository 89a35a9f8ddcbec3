-- Hours rolled up to months of a time zone: `select … from metrics_monthly_in_zone(time_zone = 'Europe/Berlin')`. One row a key and month;
-- `hours` says how many hours of it have samples. Late records and rebuilds show at once, because nothing is stored twice.
-- A filter on `month`, tenant and metric reaches the primary key of metrics_hourly.
--
-- Hours cannot be cut: a zone whose offset is not whole hours at any of the hours asked for is refused (error 395).
create view if not exists metrics_monthly_in_zone${on_cluster} as
with ${quantile_functions}
select
    tenant_id, metric_name, month, hours, service_id, plugin_id, environment, team_id, metric_type, unit,
    ${merged_columns}
from
(
    select
        tenant_id, metric_name, toStartOfMonth(h.hour, {time_zone:String}) as month, service_id, plugin_id, environment, team_id, metric_type, unit,
        uniqExact(h.hour) as hours,
        max(timezoneOffset(toTimeZone(h.hour, {time_zone:String})) % 3600 != 0) as cuts_hours,
        ${merged_partials}
    from visible_partials as h
    group by tenant_id, metric_name, month, service_id, plugin_id, environment, team_id, metric_type, unit
)
where throwIf(cuts_hours, 'time_zone: its offset from UTC is not a whole number of hours, and hourly aggregates cannot be cut') = 0
