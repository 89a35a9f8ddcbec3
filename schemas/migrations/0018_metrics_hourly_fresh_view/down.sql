drop view if exists metrics_hourly_fresh_view${on_cluster} sync
