drop view if exists counter_hourly_view${on_cluster} sync
