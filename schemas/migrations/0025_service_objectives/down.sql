drop table if exists service_objectives${on_cluster} sync
