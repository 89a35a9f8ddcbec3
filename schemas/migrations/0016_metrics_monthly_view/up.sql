-- Hours rolled up to months in UTC; for months of another time zone see metrics_monthly_in_zone, which has the same columns.
create view if not exists metrics_monthly_view${on_cluster} as
select * from metrics_monthly_in_zone(time_zone = 'UTC')
