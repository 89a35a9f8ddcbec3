drop view if exists metrics_hourly_share${on_cluster} sync
