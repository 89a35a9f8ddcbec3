drop table if exists rejected_records${on_cluster} sync
