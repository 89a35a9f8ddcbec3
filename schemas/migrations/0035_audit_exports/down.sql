drop table if exists audit_exports${on_cluster} sync
