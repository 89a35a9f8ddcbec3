drop table if exists upkeep_progress${on_cluster} sync
