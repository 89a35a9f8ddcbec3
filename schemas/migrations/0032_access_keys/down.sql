drop table if exists access_keys${on_cluster} sync
