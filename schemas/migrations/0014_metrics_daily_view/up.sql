-- Hours rolled up to days in UTC; for days of another time zone see metrics_daily_in_zone, which has the same columns.
create view if not exists metrics_daily_view${on_cluster} as
select * from metrics_daily_in_zone(time_zone = 'UTC')
