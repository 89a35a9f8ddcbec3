drop view if exists metrics_daily_view${on_cluster} sync
