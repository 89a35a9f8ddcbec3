drop view if exists metrics_hourly_view${on_cluster} sync
