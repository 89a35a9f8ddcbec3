drop table if exists counter_revisions${on_cluster} sync
