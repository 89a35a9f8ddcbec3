-- As before, but also correct for a metric with several units in an hour, and for series that were folded.
--
-- Health of each service in the last complete hour of a topic, by tenant, service and environment. Nothing is stored:
-- an answer is as new as the hours and the counters. Select with a tenant; a service whose metrics are in two topics
-- has a row for each.
--
-- p99 comes from the distribution of the latency metric, in seconds. Requests and errors are increases of counters over
-- all series; without a request counter, the observations of the latency metric are the requests. Error rate,
-- availability and burn rate are null without an error metric, and also if a label marks the errors and series were
-- folded beyond `upkeep.label_sets_max` (a folded series has no labels). Without a latency metric the latency is null:
-- unknown is not zero. A burn rate of 1 uses up exactly the errors that the objective allows, 2 uses them up in half
-- the time.
create or replace view service_health_summary${on_cluster} as
with
    last_hours as (select kafka_topic, through - interval 1 hour as hour from (${counters_through}) where through > 0),
    (select groupArray((tenant_id, metric_name, rank)) from service_signals_view where signal = 'latency') as latency_signals,
    (select groupArray((tenant_id, metric_name, signal, label_name, label_pattern, rank)) from service_signals_view where signal != 'latency') as counter_signals,
    (select groupArray((tenant_id, service_id, environment, availability)) from service_objectives final) as objectives,
    (its_environment) -> arrayMax(
        o -> if(o.1 = tenant_id and o.2 = service_id and o.3 = its_environment, o.4, 0.), objectives
    ) as objective_of
select
    tenant_id, service_id, environment, kafka_topic, hour,
    latency_p50_s, latency_p99_s,
    if(isNull(counted_requests), toFloat64(observations), counted_requests) as requests,
    errors,
    requests / 3600 as throughput_per_s,
    if(isNull(errors) or requests = 0, null, least(1, assumeNotNull(errors) / requests)) as error_rate,
    1 - error_rate as availability,
    coalesce(
        nullIf(objective_of(environment), 0),
        nullIf(objective_of(''), 0),
        0.999
    ) as objective,
    availability >= objective as objective_met,
    error_rate / (1 - objective) as burn_rate
from
(
    select
        tenant_id, service_id, environment, kafka_topic, hour,
        if(observations > 0, anyIf(p50, source = 'latency'), null) as latency_p50_s,
        if(observations > 0, anyIf(p99, source = 'latency'), null) as latency_p99_s,
        sumIf(count, source = 'latency') as observations,
        if(countIf(source = 'requests') > 0, sumIf(increase, source = 'requests'), null) as counted_requests,
        if(countIf(source = 'errors') > 0 and sumIf(unlabelled, source = 'errors') = 0, sumIf(increase, source = 'errors'), null) as errors
    from
    (
        select tenant_id, service_id, environment, kafka_topic, hour, 'latency' as source, p50, p99, observations as count, 0. as increase, toUInt64(0) as unlabelled
        from
        (
            with ${quantile_functions}
            select
                tenant_id, service_id, environment, kafka_topic, hour, count, rank, quantile_at(0.5) * scale as p50, quantile_at(0.99) * scale as p99,
                sum(count) over (partition by tenant_id, service_id, environment, kafka_topic, metric_name) as observations
            from
            (
                select
                    tenant_id, service_id, environment, kafka_topic, hour, metric_name,
                    arrayMin(s -> if((s.1 = '' or s.1 = tenant_id) and s.2 = metric_name, s.3, 255), latency_signals) as rank,
                    multiIf(h.unit in ('ms', 'milliseconds'), 0.001, h.unit in ('us', 'microseconds'), 0.000001, h.unit in ('ns', 'nanoseconds'), 0.000000001, 1.) as scale,
                    ${merged_partials}
                from visible_partials as h
                where (h.kafka_topic, h.hour) in last_hours and h.metric_type = 'histogram'
                    and h.metric_name in (select metric_name from service_signals_view where signal = 'latency')
                group by tenant_id, service_id, environment, kafka_topic, hour, metric_name, scale
            )
            where rank < 255
            -- If a metric has two units (as while a deployment changes it), use the quantiles of the one with more
            -- observations.
            order by rank, count desc, scale
            limit 1 by tenant_id, service_id, environment, kafka_topic
        )
        union all
        select tenant_id, service_id, environment, kafka_topic, hour, signal as source, 0. as p50, 0. as p99, toUInt64(0) as count, increase, unlabelled
        from
        (
            select
                tenant_id, service_id, environment, kafka_topic, hour, s.3 as signal, s.6 as rank,
                sum(if(s.4 = '' or c.labels[s.4] like s.5, c.increase, 0)) as increase,
                countIf(s.4 != '' and c.series_id = 0) as unlabelled
            from counter_hourly_view as c
            array join arrayFilter(
                s -> (s.1 = '' or s.1 = c.tenant_id) and s.2 = c.metric_name and (s.4 = '' or c.series_id = 0 or mapContains(c.labels, s.4)),
                counter_signals
            ) as s
            where (c.kafka_topic, c.hour) in last_hours
                and c.metric_name in (select metric_name from service_signals_view where signal != 'latency')
            group by tenant_id, service_id, environment, kafka_topic, hour, signal, rank
            order by rank
            limit 1 by tenant_id, service_id, environment, kafka_topic, signal
        )
    )
    group by tenant_id, service_id, environment, kafka_topic, hour
)
