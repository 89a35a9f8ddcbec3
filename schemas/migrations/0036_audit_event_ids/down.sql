drop table if exists audit_event_ids${on_cluster} sync
