drop table if exists audit_logs${on_cluster} sync
