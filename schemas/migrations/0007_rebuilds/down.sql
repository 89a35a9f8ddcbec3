drop table if exists rebuilds${on_cluster} sync
