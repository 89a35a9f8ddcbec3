drop table if exists rebuild_parts${on_cluster} sync
