drop table if exists replayed_records${on_cluster} sync
