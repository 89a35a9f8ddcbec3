drop table if exists daily_rollups${on_cluster} sync
