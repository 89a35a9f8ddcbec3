drop table if exists metrics_hourly${on_cluster} sync
