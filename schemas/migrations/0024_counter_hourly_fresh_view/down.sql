drop view if exists counter_hourly_fresh_view${on_cluster} sync
