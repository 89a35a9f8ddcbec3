-- Functions, then hours merged to the longer steps that `${start_of_step}` gives in the time zone `zone`.
${quantile_functions}
select
    tenant_id, metric_name, ${step}, hours, service_id, plugin_id, environment, team_id, metric_type, unit,
    ${merged_columns}
from
(
    select
        tenant_id, metric_name, ${start_of_step}(h.hour, zone) as ${step}, service_id, plugin_id, environment, team_id, metric_type, unit,
        uniqExact(h.hour) as hours,
        max(timezoneOffset(toTimeZone(h.hour, zone)) % 3600 != 0) as cuts_hours,
        ${merged_partials}
    from visible_partials as h
    group by tenant_id, metric_name, ${step}, service_id, plugin_id, environment, team_id, metric_type, unit
)
