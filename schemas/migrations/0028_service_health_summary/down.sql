drop view if exists service_health_summary${on_cluster} sync
