drop table if exists partition_progress${on_cluster} sync
