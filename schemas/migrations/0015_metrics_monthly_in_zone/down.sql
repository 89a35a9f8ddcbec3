drop view if exists metrics_monthly_in_zone${on_cluster} sync
