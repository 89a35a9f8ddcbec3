drop view if exists counter_hourly_as_of${on_cluster} sync
