-- Hours rolled up to days in UTC; for other time zones see metrics_daily_in_zone, which has the same columns. (It is
-- not used here, because a view with parameters is looked up in the caller's database.)
create view if not exists metrics_daily_view${on_cluster} as
with 'UTC' as zone, ${rolled_up day toDate}
