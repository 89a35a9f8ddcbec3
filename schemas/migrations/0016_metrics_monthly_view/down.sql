drop view if exists metrics_monthly_view${on_cluster} sync
