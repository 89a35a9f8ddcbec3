-- Hours rolled up to days in UTC; for days of another time zone see metrics_daily_in_zone, which has the same columns. (It is not called
-- here: a view with parameters is looked up in the caller's database.)
create view if not exists metrics_daily_view${on_cluster} as
with 'UTC' as zone, ${rolled_up day toDate}
