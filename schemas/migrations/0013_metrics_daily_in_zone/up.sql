-- Hours rolled up to days of a time zone: `select … from metrics_daily_in_zone(time_zone = 'Europe/Berlin')`. One row
-- per key and day; `hours` says how many of its hours have samples. Late records and rebuilds show at once, because
-- nothing is stored twice. A filter on `day`, tenant and metric reaches the primary key of metrics_hourly.
--
-- Hours cannot be split: a zone whose offset is not a whole number of hours at any of the hours asked for is refused
-- (error 395).
create view if not exists metrics_daily_in_zone${on_cluster} as
with {time_zone:String} as zone, ${rolled_up day toDate}
where throwIf(cuts_hours, 'time_zone: its offset from UTC is not a whole number of hours, and hourly aggregates cannot be cut') = 0
