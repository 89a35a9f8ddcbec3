drop table if exists counter_hourly${on_cluster} sync
