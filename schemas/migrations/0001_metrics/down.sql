drop table if exists metrics${on_cluster} sync
