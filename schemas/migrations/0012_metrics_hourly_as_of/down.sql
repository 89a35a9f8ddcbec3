drop view if exists metrics_hourly_as_of${on_cluster} sync
