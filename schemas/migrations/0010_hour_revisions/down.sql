drop table if exists hour_revisions${on_cluster} sync
