drop view if exists metrics_daily_in_zone${on_cluster} sync
