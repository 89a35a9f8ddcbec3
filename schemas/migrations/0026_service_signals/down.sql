drop table if exists service_signals${on_cluster} sync
