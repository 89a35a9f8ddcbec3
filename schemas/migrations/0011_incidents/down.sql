drop table if exists incidents${on_cluster} sync
